;; Grows between the host's look and the host's write, and answers from the new end.
;; expect: done
;; run: function f
;; input: hello
(module (memory (export "memory") 1)
  (func (export "weft_alloc") (param i32) (result i32) (i32.shl (memory.grow (i32.const 16)) (i32.const 16)))
  (func (export "weft_fn_f") (param i32 i32) (result i64)
    (if (i32.ne (i32.load (local.get 0)) (i32.const 0x6c6c6568)) (then unreachable))
    (i64.or (i64.shl (i64.extend_i32_u (i32.shl (memory.grow (i32.const 16)) (i32.const 16))) (i64.const 32))
      (i64.const 1))))
