;; Throws and catches without end: each is an object that is garbage at once.
;; expect: limit time
;; limits: memory_mib=16 wall_ms=200
(module (memory (export "memory") 1) (tag $e (param i64 i64))
  (func (export "_start")
    (loop
      (block $caught (result i64 i64) (try_table (catch $e $caught) (throw $e (i64.const 1) (i64.const 2))) unreachable)
      (drop) (drop) (br 0))))
