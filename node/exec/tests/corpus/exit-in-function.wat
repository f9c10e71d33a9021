;; Exits instead of answering, with a code.
;; expect: failed exit code 3
;; run: function f
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "weft_alloc") (param i32) (result i32) (i32.const 64))
  (func (export "weft_fn_f") (param i32 i32) (result i64) (call $exit (i32.const 3)) unreachable))
