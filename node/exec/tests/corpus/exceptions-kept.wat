;; Keeps every exception that it throws.
;; expect: limit memory: asked for
;; limits: memory_mib=16 wall_ms=10000
(module (memory (export "memory") 1) (tag $e)
  (type $kept (struct (field exnref) (field (ref null $kept))))
  (global $all (mut (ref null $kept)) (ref.null $kept))
  (func (export "_start")
    (loop
      (block $caught (result exnref) (try_table (catch_all_ref $caught) (throw $e)) unreachable)
      (global.get $all) (struct.new $kept) (global.set $all)
      (br 0))))
