;; Its `_start` wants parameters.
;; expect: invalid `_start` must be a function
(module (memory (export "memory") 1) (func (export "_start") (param i32)))
