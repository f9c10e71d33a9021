;; Calls the host at the very end of its stack.
;; expect: trapped stack overflow
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func $deep (param i32) (result i32)
    (drop (call $random (i32.const 0) (i32.const 64)))
    (i32.add (local.get 0) (call $deep (i32.add (local.get 0) (i32.const 1)))))
  (func (export "_start") (drop (call $deep (i32.const 0)))))
