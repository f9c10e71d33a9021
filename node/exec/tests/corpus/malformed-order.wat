;; Its sections are in the wrong order.
;; expect: invalid
(module binary "\00asm\01\00\00\00\03\02\01\00\01\04\01\60\00\00")
