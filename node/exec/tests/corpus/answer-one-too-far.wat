;; Answers one byte more than there is.
;; expect: trapped guest ABI: the answer (2 bytes at 65535) is outside the memory
;; run: function f
(module (memory (export "memory") 1)
  (func (export "weft_alloc") (param i32) (result i32) (i32.const 64))
  (func (export "weft_fn_f") (param i32 i32) (result i64) (i64.const 0x0000ffff00000002)))
