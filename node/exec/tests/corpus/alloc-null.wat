;; Its allocator answers 0, which is a valid address: it harms only itself.
;; expect: done
;; run: function f
;; input: hello
(module (memory (export "memory") 1) (data (i32.const 64) "\00")
  (func (export "weft_alloc") (param i32) (result i32) (i32.const 0))
  (func (export "weft_fn_f") (param i32 i32) (result i64) (i64.const 0x4000000001)))
