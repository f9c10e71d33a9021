;; Its allocator gives up.
;; expect: trapped unreachable
;; run: function f
(module (memory (export "memory") 1)
  (func (export "weft_alloc") (param i32) (result i32) unreachable)
  (func (export "weft_fn_f") (param i32 i32) (result i64) (i64.const 0)))
