;; Buffers that overlap each other, their own list and the place for the answer: what is printed is what lay there.
;; expect: done
;; input: abcdefgh
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\00\00\00\00\10\00\00\00\08\00\00\00\08\00\00\00")
  (func (export "_start")
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 2) (i32.const 4)))
    (i64.store (i32.const 0) (i64.const 0x0000000800000000))
    (i64.store (i32.const 8) (i64.const 0x0000000800000004))
    (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 2) (i32.const 0)))))
