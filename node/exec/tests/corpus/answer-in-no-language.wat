;; Its error text is no UTF-8.
;; expect: trapped guest ABI: the error text is not UTF-8
;; run: function f
(module (memory (export "memory") 1) (data (i32.const 0) "\01\ff\fe\80")
  (func (export "weft_alloc") (param i32) (result i32) (i32.const 64))
  (func (export "weft_fn_f") (param i32 i32) (result i64) (i64.const 4)))
