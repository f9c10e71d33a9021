;; A section that says that it has 4 GiB.
;; expect: invalid
(module binary "\00asm\01\00\00\00\01\ff\ff\ff\ff\0f")
