;; Its `memory` is a global, and the host is to write into it.
;; expect: trapped memory | invalid memory
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (global (export "memory") i32 (i32.const 1))
  (func (export "_start") (drop (call $random (i32.const 0) (i32.const 8)))))
