;; No bytes at all.
;; expect: invalid
(module binary "")
