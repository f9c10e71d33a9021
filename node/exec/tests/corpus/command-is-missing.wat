;; Is run as a command and is none.
;; expect: invalid no command
(module (memory (export "memory") 1)
  (func (export "weft_alloc") (param i32) (result i32) (i32.const 0))
  (func (export "weft_fn_g") (param i32 i32) (result i64) (i64.const 0)))
