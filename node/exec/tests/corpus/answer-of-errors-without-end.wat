;; Its error text is longer than what it may say.
;; expect: limit standard error: more than 65536 bytes
;; run: function f
;; limits: errors_bytes=65536
(module (memory (export "memory") 16) (data (i32.const 0) "\01")
  (func (export "weft_alloc") (param i32) (result i32) (i32.const 64))
  (func (export "weft_fn_f") (param i32 i32) (result i64)
    (memory.fill (i32.const 1) (i32.const 97) (i32.const 0xfffff))
    (i64.const 0x100000)))
