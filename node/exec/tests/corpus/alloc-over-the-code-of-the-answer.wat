;; Its allocator gives the room where its answer lies: the answer is the input, and its first byte is no tag.
;; expect: trapped guest ABI: the answer's tag is 104
;; run: function f
;; input: hello
(module (memory (export "memory") 1)
  (func (export "weft_alloc") (param i32) (result i32) (i32.const 33))
  (func (export "weft_fn_f") (param i32 i32) (result i64) (i64.const 0x0000002100000005)))
