;; Has the host write its answers at the very end of the memory, and beyond.
;; expect: failed exit code 21 | trapped
(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $env (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_fdstat_get" (func $fdstat (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func $check (param i32) (if (i32.ne (local.get 0) (i32.const 21)) (then (call $exit (i32.const 1)))))
  (func (export "_start")
    (call $check (call $args_sizes (i32.const 65533) (i32.const 0)))
    (call $check (call $args (i32.const -4) (i32.const 0)))
    (call $check (call $args (i32.const 0) (i32.const 65535)))
    (call $check (call $clock (i32.const 0) (i64.const 0) (i32.const 65529)))
    (call $check (call $fdstat (i32.const 0) (i32.const 65513)))
    (call $exit (call $clock (i32.const 1) (i64.const 0) (i32.const -8)))))
