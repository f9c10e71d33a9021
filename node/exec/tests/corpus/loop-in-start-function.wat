;; Never ends, before the door is called.
;; expect: limit time
;; limits: wall_ms=100
(module (memory (export "memory") 1) (func $loop (loop (br 0))) (start $loop) (func (export "_start")))
