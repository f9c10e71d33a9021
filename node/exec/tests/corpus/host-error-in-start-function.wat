;; Breaks a rule of a host call before the door is called: its own fault, not the node's.
;; expect: trapped memory
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (func $bad (drop (call $random (i32.const 0) (i32.const 8)))) (start $bad)
  (func (export "_start")))
