;; Its names are there to break a terminal and fill a log: the text stays short and plain.
;; expect: invalid it imports
(module
  (import "\1b[2J\1b]0;pwned\07\0d\0a\e2\80\ae\00" "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" (func))
  (memory (export "memory") 1) (func (export "_start")))
