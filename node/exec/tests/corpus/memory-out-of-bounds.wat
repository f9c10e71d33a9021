;; Reads beyond the end of its memory, by the largest offset there is.
;; expect: trapped access outside the memory
(module (memory (export "memory") 1)
  (func (export "_start") (drop (i64.load offset=0xffffffff (i32.const -1)))))
