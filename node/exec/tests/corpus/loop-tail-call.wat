;; Never ends, without a loop: tail calls.
;; expect: limit time
;; limits: wall_ms=100
(module (memory (export "memory") 1)
  (func $ping (return_call $pong)) (func $pong (return_call $ping))
  (func (export "_start") (call $ping)))
