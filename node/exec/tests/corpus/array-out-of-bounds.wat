;; Reads beyond the end of an array.
;; expect: trapped out of bounds
(module (memory (export "memory") 1) (type $a (array (mut i32)))
  (func (export "_start") (drop (array.get $a (array.new_default $a (i32.const 4)) (i32.const 4)))))
