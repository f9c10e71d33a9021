;; Makes one array of 2 GiB.
;; expect: limit memory: asked for | trapped no memory for one more collected object | trapped allocation
;; limits: memory_mib=16
(module (memory (export "memory") 1) (type $bytes (array (mut i64)))
  (func (export "_start") (drop (array.new_default $bytes (i32.const 268435456)))))
