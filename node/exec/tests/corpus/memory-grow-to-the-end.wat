;; Asks for memory until there is none.
;; expect: limit memory: asked for 16842752 bytes, limit 16777216
;; limits: memory_mib=16
(module (memory (export "memory") 1)
  (func (export "_start") (loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable))
