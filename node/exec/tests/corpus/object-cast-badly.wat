;; Casts an object to what it is not.
;; expect: trapped cast
(module (memory (export "memory") 1)
  (type $a (sub (struct (field i32)))) (type $b (sub $a (struct (field i32) (field i32))))
  (func (export "_start") (drop (ref.cast (ref $b) (struct.new $a (i32.const 1))))))
