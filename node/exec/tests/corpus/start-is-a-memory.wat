;; Its `_start` is its memory.
;; expect: invalid `_start` must be a function
(module (memory (export "_start") 1))
