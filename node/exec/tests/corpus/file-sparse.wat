;; Writes one byte at 1 EiB.
;; expect: limit files: more than 4194304 bytes
;; limits: files_mib=4
(module
  ;; include: wasi.inc
  (func (export "_start")
    (call $must (call $open (call $tmp) (i32.const 17) (i32.const 1) (i32.const 1)))
    (call $must (call $fd_seek (call $opened) (i64.const 0x1000000000000000) (i32.const 0) (i32.const 72)))
    (call $must (call $write (call $opened) (i32.const 1)))))
