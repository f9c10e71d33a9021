;; Asks for 32 MiB of randomness again and again.
;; expect: limit time
;; limits: wall_ms=100 memory_mib=64
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 512)
  (func (export "_start") (loop (drop (call $random (i32.const 0) (i32.const 0x2000000))) (br 0))))
