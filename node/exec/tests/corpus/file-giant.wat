;; Writes one file without end.
;; expect: limit files: more than 4194304 bytes
;; limits: files_mib=4 wall_ms=20000
(module
  ;; include: wasi.inc
  (func (export "_start")
    (call $must (call $open (call $out) (i32.const 17) (i32.const 3) (i32.const 1)))
    (loop (call $must (call $write (call $opened) (i32.const 65536))) (br 0))))
