;; Renumbers directories over streams and each other, and goes on.
;; expect: done
(module
  ;; include: wasi.inc
  (func (export "_start") (local $tmp i32) (local $fd i32)
    (local.set $tmp (call $tmp))
    (drop (call $fd_renumber (local.get $tmp) (i32.const 1)))
    (drop (call $fd_renumber (i32.const 0) (local.get $tmp)))
    (drop (call $fd_renumber (i32.const 1) (i32.const -1)))
    (drop (call $fd_renumber (i32.const -1) (i32.const 2)))
    (drop (call $fd_renumber (i32.const 2) (i32.const 0x7fffffff)))
    (drop (call $write (i32.const 1) (i32.const 1)))
    (drop (call $write (local.get $tmp) (i32.const 1)))
    (loop
      (drop (call $fd_renumber (local.get $fd) (i32.sub (i32.const 100) (local.get $fd))))
      (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
      (br_if 0 (i32.lt_u (local.get $fd) (i32.const 200))))))
