;; Something else altogether.
;; expect: invalid
(module binary "\7fELF\02\01\01\00 and so on, for a while")
