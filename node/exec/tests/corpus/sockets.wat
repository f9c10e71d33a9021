;; Accepts, receives and sends on every descriptor there might be.
;; expect: done
(module
  (import "wasi_snapshot_preview1" "sock_accept" (func $accept (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_recv" (func $recv (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_send" (func $send (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_shutdown" (func $shutdown (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\40\00\00\00\04\00\00\00")
  (func $must_fail (param i32) (if (i32.eqz (local.get 0)) (then (call $exit (i32.const 1)))))
  (func (export "_start") (local $fd i32)
    (loop
      (call $must_fail (call $accept (local.get $fd) (i32.const 0) (i32.const 32)))
      (call $must_fail (call $recv (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 32) (i32.const 36)))
      (call $must_fail (call $send (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 32)))
      (call $must_fail (call $shutdown (local.get $fd) (i32.const 3)))
      (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
      (br_if 0 (i32.lt_u (local.get $fd) (i32.const 20))))))
