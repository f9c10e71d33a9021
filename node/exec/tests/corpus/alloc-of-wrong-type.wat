;; Its allocator has another signature.
;; expect: invalid `weft_alloc` must be a function
;; run: function f
(module (memory (export "memory") 1)
  (func (export "weft_alloc") (param i64) (result i32) (i32.const 0))
  (func (export "weft_fn_f") (param i32 i32) (result i64) (i64.const 0)))
