;; Never ends, but has a budget of instructions.
;; expect: limit fuel: used up all 1000000
;; limits: fuel=1000000
(module (memory (export "memory") 1) (func (export "_start") (loop (br 0))))
