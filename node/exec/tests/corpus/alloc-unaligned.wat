;; Its allocator answers an odd address.
;; expect: done
;; run: function f
;; input: hello
(module (memory (export "memory") 1) (data (i32.const 64) "\00")
  (func (export "weft_alloc") (param i32) (result i32) (i32.const 333))
  (func (export "weft_fn_f") (param i32 i32) (result i64)
    (if (i32.ne (i32.load align=1 (local.get 0)) (i32.const 0x6c6c6568)) (then unreachable))
    (i64.const 0x4000000001)))
