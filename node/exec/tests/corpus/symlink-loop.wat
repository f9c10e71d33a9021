;; Links that lead to each other: an error number, ELOOP (32), in no time.
;; expect: done
(module
  ;; include: wasi.inc
  (data (i32.const 1024) "ab")
  (func (export "_start") (local $tmp i32)
    (local.set $tmp (call $tmp))
    (call $must (call $symlink (i32.const 1024) (i32.const 1) (local.get $tmp) (i32.const 1025) (i32.const 1)))
    (call $must (call $symlink (i32.const 1025) (i32.const 1) (local.get $tmp) (i32.const 1024) (i32.const 1)))
    (call $must_be (call $open (local.get $tmp) (i32.const 1024) (i32.const 1) (i32.const 0)) (i32.const 32))))
