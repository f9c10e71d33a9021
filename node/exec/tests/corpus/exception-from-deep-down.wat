;; Throws through two thousand frames, again and again.
;; expect: limit time
;; limits: wall_ms=200
(module (memory (export "memory") 1) (tag $e)
  (func $deep (param i32)
    (if (i32.eqz (local.get 0)) (then (throw $e)))
    (call $deep (i32.sub (local.get 0) (i32.const 1))))
  (func (export "_start")
    (loop (block $caught (try_table (catch_all $caught) (call $deep (i32.const 2000)))) (br 0))))
