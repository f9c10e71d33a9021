;; Declares a memory that threads share.
;; expect: invalid threads
(module (memory (export "memory") 1 2 shared) (func (export "_start")))
