;; Declares many tables.
;; expect: invalid tables
(module (memory (export "memory") 1)
  (table 60000 funcref) (table 60000 funcref) (table 60000 funcref) (table 60000 funcref) (table 60000 funcref)
  (table 60000 funcref) (table 60000 funcref) (table 60000 funcref) (table 60000 funcref) (table 60000 funcref)
  (func (export "_start")))
