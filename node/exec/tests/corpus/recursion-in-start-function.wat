;; Calls itself, before the door is called.
;; expect: trapped stack overflow
(module (memory (export "memory") 1)
  (func $deep (param i32) (result i32)
    (i32.add (local.get 0) (call $deep (i32.add (local.get 0) (i32.const 1)))))
  (func $start (drop (call $deep (i32.const 0))))
  (start $start) (func (export "_start")))
