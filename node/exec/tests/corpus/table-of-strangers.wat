;; Grows a table of foreign references.
;; expect: invalid gc types | limit table: asked for
(module (table $t 1 externref) (memory (export "memory") 1)
  (func (export "_start") (loop (drop (table.grow $t (ref.null extern) (i32.const 1000))) (br 0))))
