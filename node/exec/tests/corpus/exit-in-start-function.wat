;; Exits before the door is called.
;; expect: failed exit code 7
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func $leave (call $exit (i32.const 7))) (start $leave)
  (func (export "_start")))
