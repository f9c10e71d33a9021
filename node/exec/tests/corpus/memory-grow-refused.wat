;; Asks for more than it may have, is told so, and ends well without it.
;; expect: done
;; limits: memory_mib=16
(module (memory (export "memory") 1)
  (func (export "_start") (if (i32.ne (memory.grow (i32.const 65535)) (i32.const -1)) (then unreachable))))
