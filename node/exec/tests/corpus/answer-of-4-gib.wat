;; Answers 4 GiB at the end of everything.
;; expect: trapped guest ABI: the answer (4294967295 bytes at 4294967295) is outside the memory
;; run: function f
(module (memory (export "memory") 1)
  (func (export "weft_alloc") (param i32) (result i32) (i32.const 64))
  (func (export "weft_fn_f") (param i32 i32) (result i64) (i64.const -1)))
