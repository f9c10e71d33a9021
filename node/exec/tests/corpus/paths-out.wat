;; Looks for the host's files, by `..`, by an absolute path, through links, and through other names.
;; expect: done
(module
  ;; include: wasi.inc
  (data (i32.const 1024) "../../../../../../../../etc/passwd")
  (data (i32.const 1088) "/etc/passwd")
  (data (i32.const 1104) "l")
  (data (i32.const 1108) "../proc/self/environ")
  (data (i32.const 1140) "l/etc/passwd")
  (data (i32.const 1160) "../../..")
  (func (export "_start") (local $tmp i32)
    (local.set $tmp (call $tmp))
    (call $must_fail (call $open (local.get $tmp) (i32.const 1024) (i32.const 34) (i32.const 0)))
    (call $must_fail (call $open (local.get $tmp) (i32.const 1088) (i32.const 11) (i32.const 0)))
    (call $must_fail (call $open (local.get $tmp) (i32.const 1108) (i32.const 20) (i32.const 0)))
    (drop (call $symlink (i32.const 1160) (i32.const 8) (local.get $tmp) (i32.const 1104) (i32.const 1)))
    (call $must_fail (call $open (local.get $tmp) (i32.const 1140) (i32.const 12) (i32.const 0)))
    (drop (call $symlink (i32.const 1088) (i32.const 11) (local.get $tmp) (i32.const 1105) (i32.const 1)))
    (call $must_fail (call $open (local.get $tmp) (i32.const 1105) (i32.const 1) (i32.const 0)))
    (drop (call $rename (local.get $tmp) (i32.const 1104) (i32.const 1) (local.get $tmp) (i32.const 1024) (i32.const 5)))
    (call $must_fail (call $open (local.get $tmp) (i32.const 1024) (i32.const 34) (i32.const 0)))))
