;; Exits many calls deep, through a table, out of its initialiser.
;; expect: failed exit code 9
;; run: function f
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (table funcref (elem $callback))
  (type $callback (func (param i32)))
  (func $callback (type $callback)
    (if (i32.eqz (local.get 0)) (then (call $exit (i32.const 9))))
    (call_indirect (type $callback) (i32.sub (local.get 0) (i32.const 1)) (i32.const 0))
    unreachable)
  (func (export "_initialize") (call $callback (i32.const 1000)))
  (func (export "weft_alloc") (param i32) (result i32) (i32.const 64))
  (func (export "weft_fn_f") (param i32 i32) (result i64) unreachable))
