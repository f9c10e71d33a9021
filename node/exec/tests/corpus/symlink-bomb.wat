;; Links that each lead twice through the one before: 2^40 steps for a naive look-up.
;; expect: done
(module
  ;; include: wasi.inc
  ;; Link n is named by its letter and says "<n-1>/../<n-1>".
  (data (i32.const 1024) "A/../A")
  (func (export "_start") (local $tmp i32) (local $n i32)
    (local.set $tmp (call $tmp))
    (call $must (call $mkdir (local.get $tmp) (i32.const 1024) (i32.const 1)))
    (local.set $n (i32.const 65))
    (loop
      (i32.store8 (i32.const 1024) (local.get $n))
      (i32.store8 (i32.const 1029) (local.get $n))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (i32.store8 (i32.const 1040) (local.get $n))
      (call $must (call $symlink (i32.const 1024) (i32.const 6) (local.get $tmp) (i32.const 1040) (i32.const 1)))
      (br_if 0 (i32.lt_u (local.get $n) (i32.const 105))))
    (call $must_be (call $open (local.get $tmp) (i32.const 1040) (i32.const 1) (i32.const 2)) (i32.const 32))))
