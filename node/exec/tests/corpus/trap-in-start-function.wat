;; Traps before the door is called.
;; expect: trapped unreachable
(module (memory (export "memory") 1) (func $bad unreachable) (start $bad) (func (export "_start")))
