;; Is asked for a function that it does not have.
;; expect: invalid no function `f`
;; run: function f
(module (memory (export "memory") 1)
  (func (export "weft_alloc") (param i32) (result i32) (i32.const 0))
  (func (export "weft_fn_g") (param i32 i32) (result i64) (i64.const 0)))
