;; An exit is no exception: what catches all does not catch it.
;; expect: failed exit code 7
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start") (loop (block $caught (try_table (catch_all $caught) (call $exit (i32.const 7)))) (br 0))))
