;; Exits while the host asks it for room.
;; expect: trapped exited before it answered
;; run: function f
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "weft_alloc") (param i32) (result i32) (call $exit (i32.const 0)) (i32.const 0))
  (func (export "weft_fn_f") (param i32 i32) (result i64) unreachable))
