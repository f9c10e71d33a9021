;; Wants its memory from the host.
;; expect: invalid `env::memory`
(module (import "env" "memory" (memory 1)) (func (export "_start")))
