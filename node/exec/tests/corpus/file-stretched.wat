;; Says that a file has 4 EiB.
;; expect: limit files: more than 4194304 bytes
;; limits: files_mib=4
(module
  ;; include: wasi.inc
  (func (export "_start")
    (call $must (call $open (call $tmp) (i32.const 17) (i32.const 1) (i32.const 1)))
    (call $must (call $fd_filestat_set_size (call $opened) (i64.const 0x4000000000000000)))))
