;; A component that offers nothing to run.
;; expect: invalid component
(component)
