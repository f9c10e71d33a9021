;; Components in components, which offer nothing to run.
;; expect: invalid component
(component (component (component (component (component (component (component (component))))))))
