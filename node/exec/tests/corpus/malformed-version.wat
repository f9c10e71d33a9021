;; A module of a version to come.
;; expect: invalid
(module binary "\00asm\02\00\00\00")
