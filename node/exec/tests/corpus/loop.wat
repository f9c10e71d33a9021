;; Never ends.
;; expect: limit time: ran longer than 100 ms
;; limits: wall_ms=100
(module (memory (export "memory") 1) (func (export "_start") (loop (br 0))))
