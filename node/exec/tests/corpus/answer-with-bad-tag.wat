;; Answers neither well nor badly.
;; expect: trapped guest ABI: the answer's tag is 7
;; run: function f
(module (memory (export "memory") 1) (data (i32.const 0) "\07hm")
  (func (export "weft_alloc") (param i32) (result i32) (i32.const 64))
  (func (export "weft_fn_f") (param i32 i32) (result i64) (i64.const 3)))
