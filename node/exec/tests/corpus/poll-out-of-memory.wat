;; Says that there are more subscriptions than the memory could hold, so that a product runs over.
;; expect: failed exit code 28
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (call $exit (call $poll (i32.const 64) (i32.const 64) (i32.const 0x05555556) (i32.const 16)))))
