;; Asks for memory again and again, though it is told each time that there is none.
;; expect: limit time
;; limits: memory_mib=16 wall_ms=200
(module (memory (export "memory") 1)
  (func (export "_start") (loop (drop (memory.grow (i32.const 16))) (br 0))))
