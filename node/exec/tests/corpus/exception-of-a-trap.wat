;; A trap is none either.
;; expect: trapped division by zero
(module (memory (export "memory") 1)
  (func (export "_start")
    (loop
      (block $caught (try_table (catch_all $caught) (drop (i32.div_u (i32.const 1) (i32.load (i32.const 0))))))
      (br 0))))
