;; Answers no bytes, not even a tag.
;; expect: trapped guest ABI: the answer is empty
;; run: function f
(module (memory (export "memory") 1)
  (func (export "weft_alloc") (param i32) (result i32) (i32.const 64))
  (func (export "weft_fn_f") (param i32 i32) (result i64) (i64.const 0)))
