;; Writes and reads of a million buffers of no bytes, again and again.
;; expect: limit time
;; limits: memory_mib=16 wall_ms=200
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 128)
  (func (export "_start")
    (loop
      (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1000000) (i32.const 8000004)))
      (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1000000) (i32.const 8000004)))
      (br 0))))
