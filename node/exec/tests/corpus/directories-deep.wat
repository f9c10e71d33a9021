;; A directory in a directory in a directory, and so on.
;; expect: limit files: more than 2000 under
;; limits: files=2000 wall_ms=20000
(module
  ;; include: wasi.inc
  (func (export "_start") (local $dir i32) (local $old i32)
    (local.set $dir (call $tmp))
    (loop
      (call $must (call $mkdir (local.get $dir) (i32.const 17) (i32.const 1)))
      (call $must (call $path_open (local.get $dir) (i32.const 0) (i32.const 17) (i32.const 1) (i32.const 2)
        (i64.const 0x1fffffbf) (i64.const 0x1fffffff) (i32.const 0) (i32.const 64)))
      (local.set $old (local.get $dir))
      (local.set $dir (call $opened))
      (call $must (call $fd_close (local.get $old)))
      (br 0))))
