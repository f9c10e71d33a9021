;; Leaves marks wherever it can: memory, globals, tables, files, streams. `traces-looked-for` comes right after it.
;; expect: done
(module
  ;; include: wasi.inc
  (global $mark (mut i64) (i64.const 0))
  (table $table 64 funcref)
  (elem declare func $leave)
  (func $leave (local $at i32)
    (global.set $mark (i64.const 0x5ec3e7))
    (table.fill $table (i32.const 0) (ref.func $leave) (i32.const 64))
    (drop (memory.grow (i32.const 62)))
    (local.set $at (i32.const 1024))
    (loop
      (i32.store (local.get $at) (i32.const 0x5ec3e7))
      (local.set $at (i32.add (local.get $at) (i32.const 4)))
      (br_if 0 (i32.lt_u (local.get $at) (i32.const 4194304))))
    (call $must (call $open (call $tmp) (i32.const 17) (i32.const 1) (i32.const 1)))
    (call $must (call $write (call $opened) (i32.const 64)))
    (call $must (call $open (call $out) (i32.const 17) (i32.const 1) (i32.const 1)))
    (call $must (call $write (call $opened) (i32.const 64)))
    (call $must (call $mkdir (call $tmp) (i32.const 18) (i32.const 1)))
    (call $must (call $write (i32.const 2) (i32.const 4))))
  (func (export "_start") (call $leave)))
