;; Complains without end.
;; expect: limit standard error: more than 65536 bytes
;; limits: errors_bytes=65536 wall_ms=20000
(module
  ;; include: wasi.inc
  (func (export "_start") (loop (call $must (call $write (i32.const 2) (i32.const 1000))) (br 0))))
