;; Buffers beyond the memory, of 2^32 - 1 bytes, and lists that end beyond it.
;; expect: failed exit code 21 | trapped
(module
  ;; include: wasi.inc
  (func (export "_start")
    (i64.store (i32.const 128) (i64.const 0xffffffff00000000))
    (call $must_fail (call $fd_write (i32.const 1) (i32.const 128) (i32.const 1) (i32.const 72)))
    (i64.store (i32.const 128) (i64.const 0x00000002ffffffff))
    (call $must_fail (call $fd_write (i32.const 1) (i32.const 128) (i32.const 1) (i32.const 72)))
    (call $must_fail (call $fd_read (i32.const 0) (i32.const 128) (i32.const 1) (i32.const 72)))
    (call $must_fail (call $fd_write (i32.const 1) (i32.const 128) (i32.const 0x20000001) (i32.const 72)))
    (call $must_fail (call $fd_write (i32.const 1) (i32.const -4) (i32.const 1) (i32.const 72)))
    (call $exit (call $fd_write (i32.const 1) (i32.const 128) (i32.const -1) (i32.const 72)))))
