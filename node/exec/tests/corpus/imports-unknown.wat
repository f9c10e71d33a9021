;; Imports what no host has.
;; expect: invalid `env::system`, `wasi_snapshot_preview1::sock_dance`
(module
  (import "env" "system" (func (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_dance" (func))
  (memory (export "memory") 1) (func (export "_start")))
