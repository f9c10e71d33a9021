;; A path of 4 GiB.
;; expect: failed exit code 21 | trapped
(module
  ;; include: wasi.inc
  (func (export "_start")
    (call $must (call $open (call $tmp) (i32.const 16) (i32.const -1) (i32.const 1)))
    (call $exit (i32.const 1))))
