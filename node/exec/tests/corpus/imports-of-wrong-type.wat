;; Imports a call of the host with another signature.
;; expect: invalid fd_write
(module
  (import "wasi_snapshot_preview1" "fd_write" (func (param i64 f64)))
  (memory (export "memory") 1) (func (export "_start")))
