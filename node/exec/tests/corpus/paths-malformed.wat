;; Paths with NULs, with bytes that are no UTF-8, of no length, of 64 KiB, of 4 GiB, and out of the memory.
;; expect: done
(module
  ;; include: wasi.inc
  (data (i32.const 1024) "a\00b")
  (data (i32.const 1028) "\ff\fe\80")
  (func (export "_start") (local $tmp i32)
    (local.set $tmp (call $tmp))
    (call $must_fail (call $open (local.get $tmp) (i32.const 1024) (i32.const 3) (i32.const 1)))
    (call $must_fail (call $open (local.get $tmp) (i32.const 1028) (i32.const 3) (i32.const 1)))
    (call $must_fail (call $open (local.get $tmp) (i32.const 1024) (i32.const 0) (i32.const 1)))
    (memory.fill (i32.const 65536) (i32.const 97) (i32.const 65536))
    (call $must_fail (call $open (local.get $tmp) (i32.const 65536) (i32.const 65536) (i32.const 1)))
    (memory.fill (i32.const 65536) (i32.const 47) (i32.const 65536))
    (call $must_fail (call $open (local.get $tmp) (i32.const 65536) (i32.const 65536) (i32.const 1)))))
