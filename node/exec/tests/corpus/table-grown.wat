;; Grows a table until there is no more.
;; expect: limit table: asked for
(module (table $t 1 funcref) (memory (export "memory") 1)
  (func (export "_start") (loop (drop (table.grow $t (ref.null func) (i32.const 1000))) (br 0))))
