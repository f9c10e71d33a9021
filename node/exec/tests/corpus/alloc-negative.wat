;; Its allocator answers -1, and the sum with the length runs over.
;; expect: trapped guest ABI: `weft_alloc` returned a buffer outside the memory
;; run: function f
;; input: hello
(module (memory (export "memory") 1)
  (func (export "weft_alloc") (param i32) (result i32) (i32.const -1))
  (func (export "weft_fn_f") (param i32 i32) (result i64) unreachable))
