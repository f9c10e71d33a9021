;; Opens one file again and again and closes none: the call fails at some point, the run goes on.
;; expect: done
;; limits: wall_ms=20000
(module
  ;; include: wasi.inc
  (func (export "_start") (local $n i32) (local $tmp i32) (local $errno i32)
    (local.set $tmp (call $tmp))
    (call $must (call $open (local.get $tmp) (i32.const 17) (i32.const 1) (i32.const 1)))
    (block $full
      (loop
        (local.set $errno (call $open (local.get $tmp) (i32.const 17) (i32.const 1) (i32.const 0)))
        (br_if $full (local.get $errno))
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br_if 0 (i32.lt_u (local.get $n) (i32.const 100000))))
      (call $exit (i32.const 2)))
    ;; EMFILE is 33, and there is room again after a close.
    (call $must_be (local.get $errno) (i32.const 33))
    (call $must (call $fd_close (call $opened)))
    (call $must (call $open (local.get $tmp) (i32.const 17) (i32.const 1) (i32.const 0)))))
