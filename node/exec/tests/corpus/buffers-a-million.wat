;; One write of a million buffers, each the whole memory: 8 TiB if it were obeyed.
;; expect: failed exit code 28
;; limits: output_bytes=1048576 memory_mib=16 wall_ms=20000
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 128)
  (func (export "_start") (local $at i32)
    (loop
      (i32.store offset=4 (local.get $at) (i32.const 0x800000))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br_if 0 (i32.lt_u (local.get $at) (i32.const 8000000))))
    (call $exit (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1000000) (i32.const 8000004)))
    unreachable))
