;; Waits for a million things at once: answered or refused, never a stall.
;; expect: done
;; limits: memory_mib=96 wall_ms=20000
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1408)
  (func (export "_start")
    (drop (call $poll (i32.const 64) (i32.const 0x3000000) (i32.const 1000000) (i32.const 16)))))
