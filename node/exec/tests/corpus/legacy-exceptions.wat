;; Uses the exceptions from before the standard.
;; expect: invalid wasm-opt --translate-to-exnref
(module (memory (export "memory") 1) (func (export "_start") try catch_all end))
