;; Offsets and sizes at the ends of what 64 bits hold: an error number or the quota, never a wrap.
;; expect: limit files: more than 4194304 bytes
;; limits: files_mib=4
(module
  ;; include: wasi.inc
  (func (export "_start")
    (call $must (call $open (call $tmp) (i32.const 17) (i32.const 1) (i32.const 1)))
    (call $must_fail (call $fd_seek (call $opened) (i64.const -1) (i32.const 0) (i32.const 72)))
    (call $must_fail (call $fd_seek (call $opened) (i64.const 0x8000000000000000) (i32.const 1) (i32.const 72)))
    (call $must_fail (call $fd_seek (call $opened) (i64.const 0) (i32.const 99) (i32.const 72)))
    (drop (call $fd_allocate (call $opened) (i64.const -1) (i64.const -1)))
    (i32.store (i32.const 32) (i32.const 65536))
    (i32.store (i32.const 36) (i32.const 8))
    (call $must_fail (call $fd_pwrite (call $opened) (i32.const 32) (i32.const 1) (i64.const -1) (i32.const 40)))
    (call $must_fail (call $fd_pwrite (call $opened) (i32.const 32) (i32.const 1) (i64.const -4) (i32.const 40)))
    (call $must_fail (call $fd_filestat_set_size (call $opened) (i64.const -1)))))
