;; Has no door.
;; expect: invalid it exports nothing
(module (memory 1) (func))
