;; Never ends, in the initialiser of a function module.
;; expect: limit time
;; run: function f
;; limits: wall_ms=100
(module (memory (export "memory") 1)
  (func (export "_initialize") (loop (br 0)))
  (func (export "weft_alloc") (param i32) (result i32) (i32.const 0))
  (func (export "weft_fn_f") (param i32 i32) (result i64) (i64.const 0)))
