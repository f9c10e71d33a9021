;; A section of 2^32 - 1 types in five bytes.
;; expect: limit 4294967295 types
(module binary "\00asm\01\00\00\00\01\05\ff\ff\ff\ff\0f")
