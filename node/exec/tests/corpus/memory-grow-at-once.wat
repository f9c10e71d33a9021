;; Asks for 4 GiB at once.
;; expect: limit memory: asked for 4096 MiB, limit 16 MiB
;; limits: memory_mib=16
(module (memory (export "memory") 1)
  (func (export "_start") (if (i32.eq (memory.grow (i32.const 65535)) (i32.const -1)) (then unreachable))))
