;; Calls through an element that is not there.
;; expect: trapped access outside a table
(module (type (func)) (table 2 funcref) (memory (export "memory") 1)
  (func (export "_start") (call_indirect (type 0) (i32.const -1))))
