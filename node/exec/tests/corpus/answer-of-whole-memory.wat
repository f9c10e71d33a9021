;; Answers all of its memory, more than it may.
;; expect: limit output: more than 1000 bytes
;; run: function f
;; limits: output_bytes=1000
(module (memory (export "memory") 16)
  (func (export "weft_alloc") (param i32) (result i32) (i32.const 64))
  (func (export "weft_fn_f") (param i32 i32) (result i64) (i64.const 0x0000000000100000)))
