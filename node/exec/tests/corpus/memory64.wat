;; Declares a memory of 64-bit addresses.
;; expect: invalid memory64
(module (memory (export "memory") i64 1) (func (export "_start")))
