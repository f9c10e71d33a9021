;; Declares more memory than it may have.
;; expect: limit memory: asked for 4096 MiB, limit 16 MiB
;; limits: memory_mib=16
(module (memory (export "memory") 65536) (func (export "_start")))
