;; Makes garbage without end, cycles among it.
;; expect: limit time
;; limits: memory_mib=16 wall_ms=300
(module (memory (export "memory") 1)
  (type $cell (struct (field (mut (ref null $cell))) (field i64)))
  (func (export "_start") (local $a (ref null $cell))
    (loop
      (local.set $a (struct.new $cell (ref.null $cell) (i64.const 1)))
      (struct.set $cell 0 (local.get $a) (local.get $a))
      (br 0))))
