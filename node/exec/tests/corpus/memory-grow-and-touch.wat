;; Touches every page that it gets, until it gets no more.
;; expect: limit memory: asked for 65 MiB, limit 64 MiB
;; limits: memory_mib=64 wall_ms=10000
(module (memory (export "memory") 16)
  (func (export "_start") (local $at i32)
    (loop
      (i32.store (local.get $at) (i32.const 1))
      (local.set $at (i32.add (local.get $at) (i32.const 4096)))
      (if (i32.ge_u (local.get $at) (i32.shl (memory.size) (i32.const 16)))
        (then (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))))
      (br 0))))
