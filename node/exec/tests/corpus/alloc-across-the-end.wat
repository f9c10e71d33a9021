;; Its allocator answers room of which the last byte is missing.
;; expect: trapped guest ABI: `weft_alloc` returned a buffer outside the memory
;; run: function f
;; input: hello
(module (memory (export "memory") 1)
  (func (export "weft_alloc") (param i32) (result i32) (i32.const 65532))
  (func (export "weft_fn_f") (param i32 i32) (result i64) unreachable))
