;; Its `memory` is a global.
;; expect: invalid `memory`
;; run: function f
(module (global (export "memory") i32 (i32.const 1))
  (func (export "weft_alloc") (param i32) (result i32) (i32.const 0))
  (func (export "weft_fn_f") (param i32 i32) (result i64) (i64.const 0)))
