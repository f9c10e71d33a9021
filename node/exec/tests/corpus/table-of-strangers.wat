;; Grows a table of foreign references.
;; expect: limit table: asked for
(module (table $t 1 externref) (memory (export "memory") 1)
  (func (export "_start") (loop (br_if 0 (i32.ne (table.grow $t (ref.null extern) (i32.const 1000)) (i32.const -1)))) unreachable))
