;; Prints without end, a byte at a time.
;; expect: limit output: more than 20000 bytes
;; limits: output_bytes=20000 wall_ms=20000
(module
  ;; include: wasi.inc
  (func (export "_start") (loop (call $must (call $write (i32.const 1) (i32.const 1))) (br 0))))
