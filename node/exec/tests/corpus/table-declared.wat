;; Declares a table of ten million elements.
;; expect: limit table: asked for 10000000 elements | invalid table
(module (table 10000000 funcref) (memory (export "memory") 1) (func (export "_start")))
