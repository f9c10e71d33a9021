;; Closes its streams and goes on.
;; expect: done
(module
  ;; include: wasi.inc
  (func (export "_start") (local $fd i32)
    (loop
      (drop (call $fd_close (local.get $fd)))
      (call $must_be (call $fd_close (local.get $fd)) (i32.const 8))
      (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
      (br_if 0 (i32.lt_u (local.get $fd) (i32.const 2000))))
    (call $must_be (call $write (i32.const 1) (i32.const 1)) (i32.const 8))))
