;; Calls itself through a table.
;; expect: trapped stack overflow
(module (memory (export "memory") 1)
  (type $f (func (param i32) (result i32)))
  (table funcref (elem $deep))
  (func $deep (type $f)
    (i32.add (local.get 0) (call_indirect (type $f) (i32.add (local.get 0) (i32.const 1)) (i32.const 0))))
  (func (export "_start") (drop (call $deep (i32.const 0)))))
