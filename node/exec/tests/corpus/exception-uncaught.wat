;; Throws an exception that is not caught, in its start function.
;; expect: trapped an exception was thrown and not caught
(module (memory (export "memory") 1) (tag $e) (func $s (throw $e)) (start $s) (func (export "_start")))
