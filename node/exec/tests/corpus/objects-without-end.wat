;; Conses a list that it keeps.
;; expect: limit memory: asked for
;; limits: memory_mib=32 wall_ms=10000
(module (memory (export "memory") 1)
  (type $cell (struct (field (ref null $cell)) (field i64)))
  (global $list (mut (ref null $cell)) (ref.null $cell))
  (func (export "_start")
    (loop (global.set $list (struct.new $cell (global.get $list) (i64.const 1))) (br 0))))
