;; Spends its time in single instructions that touch the whole memory.
;; expect: limit time
;; limits: wall_ms=200 memory_mib=64
(module (memory (export "memory") 1024)
  (func (export "_start") (local $n i32)
    (loop
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (memory.fill (i32.const 0) (local.get $n) (i32.const 0x4000000))
      (br 0))))
