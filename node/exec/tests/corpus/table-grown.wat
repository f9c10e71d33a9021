;; Grows a table until there is no more.
;; expect: limit table: asked for
(module (table $t 1 funcref) (memory (export "memory") 1)
  (func (export "_start") (loop (br_if 0 (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)))) unreachable))
