;; Looks for what its predecessor left in memory, globals, tables, files and descriptors.
;; expect: done
;; after: traces-left
(module
  ;; include: wasi.inc
  (global $mark (mut i64) (i64.const 0))
  (table $table 64 funcref)
  (func (export "_start") (local $at i32)
    (if (i64.ne (global.get $mark) (i64.const 0)) (then (call $exit (i32.const 2))))
    (loop
      (if (i32.eqz (ref.is_null (table.get $table (local.get $at)))) (then (call $exit (i32.const 3))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if 0 (i32.lt_u (local.get $at) (i32.const 64))))
    (drop (memory.grow (i32.const 62)))
    (local.set $at (i32.const 1024))
    (loop
      (if (i32.load (local.get $at)) (then (call $exit (i32.const 4))))
      (local.set $at (i32.add (local.get $at) (i32.const 4)))
      (br_if 0 (i32.lt_u (local.get $at) (i32.const 4194304))))
    ;; ENOENT is 44: neither the files nor the directory are there.
    (call $must_be (call $open (call $tmp) (i32.const 17) (i32.const 1) (i32.const 0)) (i32.const 44))
    (call $must_be (call $open (call $out) (i32.const 17) (i32.const 1) (i32.const 0)) (i32.const 44))
    (call $must (call $mkdir (call $tmp) (i32.const 18) (i32.const 1)))
    ;; Nor is a descriptor open beyond the preopened directories.
    (local.set $at (i32.const 3))
    (block $end
      (loop
        (br_if $end (call $fd_prestat_get (local.get $at) (i32.const 0)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br 0)))
    (call $must_be (call $fd_close (local.get $at)) (i32.const 8))))
