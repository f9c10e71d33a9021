;; Has functions, but no allocator for their input.
;; expect: invalid `weft_alloc`
;; run: function f
(module (memory (export "memory") 1) (func (export "weft_fn_f") (param i32 i32) (result i64) (i64.const 0)))
