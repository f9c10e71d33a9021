;; Reads a field of nothing.
;; expect: trapped
(module (memory (export "memory") 1) (type $a (struct (field i32)))
  (func (export "_start") (drop (struct.get $a 0 (ref.null $a)))))
