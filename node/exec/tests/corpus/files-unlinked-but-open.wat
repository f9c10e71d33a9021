;; Fills files that have no name any more: they count as long as they are open.
;; expect: limit files: more than 4194304 bytes
;; limits: files_mib=4 wall_ms=20000
(module
  ;; include: wasi.inc
  (func (export "_start") (local $tmp i32) (local $n i32)
    (local.set $tmp (call $tmp))
    (loop
      (call $must (call $open (local.get $tmp) (i32.const 17) (i32.const 1) (i32.const 5)))
      (call $must (call $unlink (local.get $tmp) (i32.const 17) (i32.const 1)))
      (call $must (call $write (call $opened) (i32.const 65536)))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if 0 (i32.lt_u (local.get $n) (i32.const 500))))))
