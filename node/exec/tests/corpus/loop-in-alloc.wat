;; Never ends, in the guest's own allocator, called by the host.
;; expect: limit time
;; run: function f
;; limits: wall_ms=100
(module (memory (export "memory") 1)
  (func (export "weft_alloc") (param i32) (result i32) (loop (br 0)) (i32.const 0))
  (func (export "weft_fn_f") (param i32 i32) (result i64) (i64.const 0)))
