;; Subscriptions with tags, clocks and descriptors that do not exist.
;; expect: done
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start") (local $n i32)
    (loop
      (memory.fill (i32.const 1024) (local.get $n) (i32.const 4800))
      (drop (call $poll (i32.const 1024) (i32.const 8192) (i32.const 100) (i32.const 16)))
      (memory.fill (i32.const 1024) (i32.const 0) (i32.const 4800))
      (i32.store8 (i32.const 1032) (local.get $n))
      (drop (call $poll (i32.const 1024) (i32.const 1024) (i32.const 1) (i32.const 1024)))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if 0 (i32.lt_u (local.get $n) (i32.const 256))))))
