;; Its `_start` is no function.
;; expect: invalid `_start` must be a function
(module (memory (export "memory") 1) (global (export "_start") i32 (i32.const 7)))
