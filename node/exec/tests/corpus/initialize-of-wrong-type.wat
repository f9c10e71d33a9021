;; Its initialiser has another signature.
;; expect: invalid `_initialize` must be a function
;; run: function f
(module (memory (export "memory") 1)
  (func (export "_initialize") (result i32) (i32.const 0))
  (func (export "weft_alloc") (param i32) (result i32) (i32.const 0))
  (func (export "weft_fn_f") (param i32 i32) (result i64) (i64.const 0)))
