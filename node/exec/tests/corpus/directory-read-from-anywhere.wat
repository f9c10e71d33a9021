;; Reads a directory from positions that it was never given, into room of every small size.
;; expect: done
(module
  ;; include: wasi.inc
  (func (export "_start") (local $tmp i32) (local $n i32)
    (local.set $tmp (call $tmp))
    (call $must (call $open (local.get $tmp) (i32.const 17) (i32.const 1) (i32.const 1)))
    (loop
      (drop (call $fd_readdir (local.get $tmp) (i32.const 1024) (local.get $n)
        (i64.mul (i64.extend_i32_u (local.get $n)) (i64.const 0x123456789abcdef)) (i32.const 72)))
      (drop (call $fd_readdir (local.get $tmp) (i32.sub (i32.const 131072) (local.get $n)) (local.get $n) (i64.const 0) (i32.const 72)))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if 0 (i32.lt_u (local.get $n) (i32.const 1000))))
    (drop (call $fd_readdir (local.get $tmp) (i32.const 1024) (i32.const 1024) (i64.const -1) (i32.const 72)))))
