;; Makes 100,000 files.
;; expect: limit files: more than 10000 under
;; limits: files=10000 wall_ms=20000
(module
  ;; include: wasi.inc
  (func (export "_start") (local $n i32) (local $tmp i32)
    (local.set $tmp (call $tmp))
    (loop
      (call $name (local.get $n))
      (call $must (call $open (local.get $tmp) (i32.const 128) (i32.const 8) (i32.const 5)))
      (call $must (call $fd_close (call $opened)))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if 0 (i32.lt_u (local.get $n) (i32.const 100000))))))
