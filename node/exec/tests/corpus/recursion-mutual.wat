;; Two functions call each other.
;; expect: trapped stack overflow
(module (memory (export "memory") 1)
  (func $a (param i32) (result i32) (i32.add (local.get 0) (call $b (i32.add (local.get 0) (i32.const 1)))))
  (func $b (param i32) (result i32) (i32.mul (local.get 0) (call $a (i32.sub (local.get 0) (i32.const 3)))))
  (func (export "_start") (drop (call $a (i32.const 0)))))
