;; Its allocator takes all the memory there is, and gives up then.
;; expect: limit memory: asked for
;; run: function f
;; limits: memory_mib=16
(module (memory (export "memory") 1)
  (func (export "weft_alloc") (param i32) (result i32) (loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable)
  (func (export "weft_fn_f") (param i32 i32) (result i64) (i64.const 0)))
