;; Moves a directory into itself, and links one to a second name.
;; expect: done
(module
  ;; include: wasi.inc
  (data (i32.const 1024) "a/b")
  (func (export "_start") (local $tmp i32)
    (local.set $tmp (call $tmp))
    (call $must (call $mkdir (local.get $tmp) (i32.const 1024) (i32.const 1)))
    (call $must_fail (call $rename (local.get $tmp) (i32.const 1024) (i32.const 1) (local.get $tmp) (i32.const 1024) (i32.const 3)))
    (call $must_fail (call $link (local.get $tmp) (i32.const 0) (i32.const 1024) (i32.const 1) (local.get $tmp) (i32.const 1026) (i32.const 1)))
    (call $must (call $mkdir (local.get $tmp) (i32.const 1024) (i32.const 3)))))
