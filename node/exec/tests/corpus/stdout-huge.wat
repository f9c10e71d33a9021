;; Prints without end.
;; expect: limit output: more than 1048576 bytes
;; limits: output_bytes=1048576 wall_ms=20000
(module
  ;; include: wasi.inc
  (func (export "_start") (loop (call $must (call $write (i32.const 1) (i32.const 65536))) (br 0))))
