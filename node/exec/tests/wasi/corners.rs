//! Calls WASI preview 1 in its corners and prints what it is told. Nothing printed depends on times or inode numbers.
//!
//! Built with Debian's rustc 1.63, whose target has preview 1's old name, as
//! `rustc --edition 2021 --target wasm32-wasi -C opt-level=s -C panic=abort -C strip=symbols -C lto corners.rs`.
//! `corners.txt` came from wasmtime 49.0.3, in a directory `root` with `in/notes.txt`, `in/sub/deep.txt`, `out` and
//! `tmp`: `wasmtime run --dir root::/ --dir root/in::/in --dir root/out::/out --dir root/tmp::/tmp corners.wasm`.
//! Flags that do not exist are not tried: that runtime ends the guest for them, we answer EINVAL.
#![allow(clippy::all)]
#[link(wasm_import_module = "wasi_snapshot_preview1")]
extern "C" {
    fn fd_advise(fd: u32, o: u64, l: u64, a: u32) -> u32;
    fn fd_allocate(fd: u32, o: u64, l: u64) -> u32;
    fn fd_close(fd: u32) -> u32;
    fn fd_datasync(fd: u32) -> u32;
    fn fd_sync(fd: u32) -> u32;
    fn fd_fdstat_get(fd: u32, out: *mut u8) -> u32;
    fn fd_fdstat_set_flags(fd: u32, f: u32) -> u32;
    fn fd_fdstat_set_rights(fd: u32, a: u64, b: u64) -> u32;
    fn fd_filestat_get(fd: u32, out: *mut u8) -> u32;
    fn fd_filestat_set_size(fd: u32, s: u64) -> u32;
    fn fd_filestat_set_times(fd: u32, a: u64, m: u64, f: u32) -> u32;
    fn fd_pread(fd: u32, v: *const [u32; 2], n: u32, o: u64, out: *mut u32) -> u32;
    fn fd_read(fd: u32, v: *const [u32; 2], n: u32, out: *mut u32) -> u32;
    fn fd_pwrite(fd: u32, v: *const [u32; 2], n: u32, o: u64, out: *mut u32) -> u32;
    fn fd_write(fd: u32, v: *const [u32; 2], n: u32, out: *mut u32) -> u32;
    fn fd_prestat_get(fd: u32, out: *mut u8) -> u32;
    fn fd_prestat_dir_name(fd: u32, p: *mut u8, n: u32) -> u32;
    fn fd_readdir(fd: u32, p: *mut u8, n: u32, c: u64, out: *mut u32) -> u32;
    fn fd_renumber(a: u32, b: u32) -> u32;
    fn fd_seek(fd: u32, o: i64, w: u32, out: *mut u64) -> u32;
    fn fd_tell(fd: u32, out: *mut u64) -> u32;
    fn path_create_directory(fd: u32, p: *const u8, n: u32) -> u32;
    fn path_filestat_get(fd: u32, f: u32, p: *const u8, n: u32, out: *mut u8) -> u32;
    fn path_filestat_set_times(fd: u32, f: u32, p: *const u8, n: u32, a: u64, m: u64, w: u32) -> u32;
    fn path_link(fd: u32, f: u32, p: *const u8, n: u32, fd2: u32, p2: *const u8, n2: u32) -> u32;
    fn path_open(fd: u32, f: u32, p: *const u8, n: u32, o: u32, r: u64, i: u64, ff: u32, out: *mut u32) -> u32;
    fn path_readlink(fd: u32, p: *const u8, n: u32, b: *mut u8, bn: u32, out: *mut u32) -> u32;
    fn path_remove_directory(fd: u32, p: *const u8, n: u32) -> u32;
    fn path_rename(fd: u32, p: *const u8, n: u32, fd2: u32, p2: *const u8, n2: u32) -> u32;
    fn path_symlink(t: *const u8, tn: u32, fd: u32, p: *const u8, n: u32) -> u32;
    fn path_unlink_file(fd: u32, p: *const u8, n: u32) -> u32;
    fn clock_time_get(c: u32, p: u64, out: *mut u64) -> u32;
    fn proc_raise(s: u32) -> u32;
    fn sched_yield() -> u32;
    fn poll_oneoff(s: *const u8, e: *mut u8, n: u32, out: *mut u32) -> u32;
}
const R: u64 = 2; const W: u64 = 64;
const ROOT: u32 = 3; const OUT: u32 = 5; const TMP: u32 = 6;
fn u64at(b: &[u8], at: usize) -> u64 { let mut x = [0; 8]; x.copy_from_slice(&b[at..at + 8]); u64::from_le_bytes(x) }
fn u32at(b: &[u8], at: usize) -> u32 { let mut x = [0; 4]; x.copy_from_slice(&b[at..at + 4]); u32::from_le_bytes(x) }
unsafe fn open(fd: u32, follow: u32, p: &str, o: u32, r: u64, ff: u32) -> Result<u32, u32> {
    let mut out = 0;
    match path_open(fd, follow, p.as_ptr(), p.len() as u32, o, r, 0, ff, &mut out) { 0 => Ok(out), e => Err(e) }
}
unsafe fn mkdir(fd: u32, p: &str) -> u32 { path_create_directory(fd, p.as_ptr(), p.len() as u32) }
unsafe fn rmdir(fd: u32, p: &str) -> u32 { path_remove_directory(fd, p.as_ptr(), p.len() as u32) }
unsafe fn unlink(fd: u32, p: &str) -> u32 { path_unlink_file(fd, p.as_ptr(), p.len() as u32) }
unsafe fn symlink(t: &str, fd: u32, p: &str) -> u32 { path_symlink(t.as_ptr(), t.len() as u32, fd, p.as_ptr(), p.len() as u32) }
unsafe fn rename(a: u32, p: &str, b: u32, q: &str) -> u32 { path_rename(a, p.as_ptr(), p.len() as u32, b, q.as_ptr(), q.len() as u32) }
unsafe fn link(f: u32, a: u32, p: &str, b: u32, q: &str) -> u32 { path_link(a, f, p.as_ptr(), p.len() as u32, b, q.as_ptr(), q.len() as u32) }
unsafe fn write(fd: u32, s: &str) -> (u32, u32) { let v = [s.as_ptr() as u32, s.len() as u32]; let mut n = 0; let e = fd_write(fd, &v, 1, &mut n); (e, n) }
unsafe fn pwrite(fd: u32, s: &str, o: u64) -> (u32, u32) { let v = [s.as_ptr() as u32, s.len() as u32]; let mut n = 0; let e = fd_pwrite(fd, &v, 1, o, &mut n); (e, n) }
unsafe fn read(fd: u32) -> (u32, String) { let mut b = [0u8; 64]; let v = [b.as_mut_ptr() as u32, 64]; let mut n = 0; let e = fd_read(fd, &v, 1, &mut n); (e, String::from_utf8_lossy(&b[..n as usize]).into_owned()) }
unsafe fn pread(fd: u32, o: u64) -> (u32, String) { let mut b = [0u8; 64]; let v = [b.as_mut_ptr() as u32, 64]; let mut n = 0; let e = fd_pread(fd, &v, 1, o, &mut n); (e, String::from_utf8_lossy(&b[..n as usize]).into_owned()) }
unsafe fn seek(fd: u32, o: i64, w: u32) -> (u32, u64) { let mut n = 0; let e = fd_seek(fd, o, w, &mut n); (e, n) }
unsafe fn stat(fd: u32, f: u32, p: &str) -> (u32, u8, u64, u64) {
    let mut b = [0u8; 64]; let e = path_filestat_get(fd, f, p.as_ptr(), p.len() as u32, b.as_mut_ptr());
    let dir = b[16] == 3;
    (e, b[16], if dir { 0 } else { u64at(&b, 24) }, if dir { 0 } else { u64at(&b, 32) })
}
unsafe fn fdstat(fd: u32) -> (u32, u8, u16, u64, u64) { let mut b = [0u8; 24]; let e = fd_fdstat_get(fd, b.as_mut_ptr()); (e, b[0], b[2] as u16 | (b[3] as u16) << 8, u64at(&b, 8), u64at(&b, 16)) }
unsafe fn list(fd: u32, len: usize, cookie: u64) -> (u32, u32, Vec<(u64, u8, String)>) {
    let mut b = vec![0u8; len]; let mut n = 0;
    let e = fd_readdir(fd, b.as_mut_ptr(), len as u32, cookie, &mut n);
    let mut all = Vec::new(); let mut at = 0; let used = n as usize;
    while at + 24 <= used { let l = u32at(&b, at + 16) as usize; let end = (at + 24 + l).min(used);
        all.push((u64at(&b, at), b[at + 20], String::from_utf8_lossy(&b[at + 24..end]).into_owned())); at += 24 + l; }
    all.sort_by(|x, y| x.2.cmp(&y.2));
    for one in &mut all { if one.2 != "." && one.2 != ".." { one.0 = 0; } }
    (e, n, all)
}
macro_rules! say { ($($e:expr),* $(,)?) => { $( { let got = $e; println!("{} = {:?}", stringify!($e).replace("\n", " "), got); } )* } }
fn main() { unsafe {
    // The start
    for fd in 0..8 { let mut b = [0u8; 8]; let e = fd_prestat_get(fd, b.as_mut_ptr()); let mut name = [0u8; 16];
        let n = u32at(&b, 4).min(16); let e2 = fd_prestat_dir_name(fd, name.as_mut_ptr(), n);
        println!("prestat {} {:?} {} {:?}", fd, (e, b[0], u32at(&b, 4)), e2, String::from_utf8_lossy(&name[..n as usize])); }
    let mut name = [0u8; 4];
    say!(fd_prestat_dir_name(4, name.as_mut_ptr(), 1), fdstat(0), fdstat(1), fdstat(2), fdstat(3), fdstat(5), fdstat(7), fdstat(99));
    // Paths
    say!(mkdir(TMP, "a"), mkdir(TMP, "a"), mkdir(TMP, "a/"), mkdir(TMP, "a/b/"), mkdir(TMP, "x/y"), mkdir(TMP, ""), mkdir(TMP, "."), mkdir(TMP, ".."), mkdir(TMP, "../q"), mkdir(TMP, "/q"), mkdir(TMP, "a/../c"), mkdir(99, "a"), mkdir(1, "a"));
    say!(stat(TMP, 0, "a"), stat(TMP, 0, "a/"), stat(TMP, 0, "a/."), stat(TMP, 0, "a/.."), stat(TMP, 0, "a/../.."), stat(TMP, 0, "../tmp"), stat(TMP, 0, "/"), stat(TMP, 0, ""), stat(TMP, 0, "nope"), stat(TMP, 0, "nope/x"));
    say!(stat(ROOT, 0, "tmp/a"), stat(ROOT, 0, "tmp/../out"), stat(ROOT, 0, "in"));
    let long = "n".repeat(256); let long = &long[..];
    let longpath = "a/".repeat(2100); let longpath = &longpath[..];
    say!(mkdir(TMP, long), mkdir(TMP, &long[..255]), rmdir(TMP, &long[..255]), stat(TMP, 0, longpath));
    // Open
    let f = open(TMP, 0, "f", 1, R | W, 0); println!("open {:?}", f); let f = f.unwrap();
    say!(fdstat(f), write(f, "hello world"), read(f), seek(f, 0, 0), read(f), seek(f, -5, 2), read(f), seek(f, -50, 1), seek(f, 3, 1), pread(f, 6), pread(f, 100), pwrite(f, "HE", 0), pread(f, 0));
    let mut t = 0; say!(fd_tell(f, &mut t), t, fd_tell(1, &mut t), fd_tell(3, &mut t), seek(0, 0, 0), seek(1, 0, 1), seek(TMP, 0, 0));
    say!(fd_filestat_set_size(f, 5), pread(f, 0), fd_filestat_set_size(f, 8), pread(f, 0), fd_filestat_set_size(1, 8), fd_filestat_set_size(TMP, 8), fd_filestat_set_size(f, 1 << 63));
    say!(seek(f, 20, 0), write(f, "!"), stat(TMP, 0, "f"), pread(f, 8));
    say!(open(TMP, 0, "f", 1 | 4, R | W, 0), open(TMP, 0, "f", 4, R, 0).is_ok(), open(TMP, 0, "f/", 0, R, 0), open(TMP, 0, "f/x", 0, R, 0), open(TMP, 0, "nope", 0, R, 0), open(TMP, 0, "nope/", 1, R | W, 0), open(TMP, 0, "f", 2, R, 0), open(TMP, 0, "a", 2, R, 0).is_ok(), open(TMP, 0, "a", 0, W, 0), open(TMP, 0, "a", 1, R, 0), open(TMP, 0, "a", 8, R, 0), open(TMP, 0, "a", 1 | 4, R, 0), open(TMP, 0, "new", 1 | 2, R, 0), open(TMP, 0, "f", 2 | 8, R, 0), open(TMP, 0, "f", 0, R, 2), open(TMP, 0, "f", 0, R, 8), open(TMP, 0, "f", 0, R, 16), open(f, 0, "f", 0, R, 0), open(0, 0, "f", 0, R, 0), open(99, 0, "f", 0, R, 0));
    let ro = open(TMP, 0, "f", 0, R, 0).unwrap(); let wo = open(TMP, 0, "f", 0, W, 0).unwrap(); let none = open(TMP, 0, "f", 0, 0, 0).unwrap(); let trunc = open(TMP, 0, "g", 1 | 8, R, 0).unwrap();
    say!(fdstat(ro), fdstat(wo), fdstat(none), fdstat(trunc), write(ro, "x"), pwrite(ro, "x", 0), read(wo), pread(wo, 0), read(none).0, write(none, "x"), write(trunc, "from trunc"), pread(trunc, 0), fd_filestat_set_size(ro, 1));
    let ap = open(TMP, 0, "g", 0, R | W, 1).unwrap();
    say!(fdstat(ap), write(ap, "+"), pread(ap, 0), pwrite(ap, "*", 0), pread(ap, 0), seek(ap, 0, 1), fd_fdstat_set_flags(ap, 0), fdstat(ap).2, pwrite(ap, "F", 0), pread(ap, 0), fd_fdstat_set_flags(ap, 4), fdstat(ap).2, fd_fdstat_set_flags(ap, 2), fd_fdstat_set_flags(1, 0), fd_fdstat_set_flags(TMP, 0), fd_fdstat_set_rights(ap, 0, 0), fd_fdstat_set_rights(1, 0, 0), fd_fdstat_set_rights(99, 0, 0));
    let d = open(TMP, 0, "a", 0, R, 0).unwrap(); let d2 = open(TMP, 0, "a", 2, R, 0).unwrap();
    say!(fdstat(d), fdstat(d2), read(d), pread(d, 0), write(d, "x"), pwrite(d, "x", 0), fd_close(d), fd_close(d), fd_close(d2));
    say!(pread(0, 0), pread(1, 0), pwrite(0, "x", 0), pwrite(1, "x", 0), write(0, "x"), read(1), read(99), write(99, ""));
    say!(fd_advise(f, 0, 0, 0), fd_advise(1, 0, 0, 0), fd_advise(TMP, 0, 0, 0), fd_allocate(f, 0, 1), fd_allocate(1, 0, 1), fd_datasync(f), fd_datasync(1), fd_datasync(TMP), fd_sync(f), fd_sync(TMP), fd_sync(99));
    // Links
    say!(symlink("f", TMP, "l"), symlink("f", TMP, "l"), symlink("", TMP, "e"), symlink("/tmp/f", TMP, "abs"), symlink("../in", TMP, "up"), symlink("nowhere", TMP, "dang"), symlink("loop2", TMP, "loop1"), symlink("loop1", TMP, "loop2"), symlink("a", TMP, "la"), symlink("f", TMP, "s/"), symlink("f", TMP, "la/inside"));
    let mut buf = [0u8; 16]; let mut used = 0;
    say!(path_readlink(TMP, "l".as_ptr(), 1, buf.as_mut_ptr(), 16, &mut used), used, buf[0], path_readlink(TMP, "dang".as_ptr(), 4, buf.as_mut_ptr(), 3, &mut used), used, path_readlink(TMP, "f".as_ptr(), 1, buf.as_mut_ptr(), 16, &mut used), path_readlink(TMP, "zz".as_ptr(), 2, buf.as_mut_ptr(), 16, &mut used));
    say!(stat(TMP, 0, "l"), stat(TMP, 1, "l"), stat(TMP, 0, "l/"), stat(TMP, 0, "la"), stat(TMP, 1, "la"), stat(TMP, 0, "la/"), stat(TMP, 0, "la/b"), stat(TMP, 1, "up"), stat(TMP, 0, "up"), stat(TMP, 0, "up/x"), stat(TMP, 1, "dang"), stat(TMP, 1, "loop1"), stat(TMP, 0, "loop1"), stat(TMP, 0, "loop1/x"), stat(TMP, 1, "la/inside"), stat(ROOT, 0, "tmp/up/nothing"));
    say!(open(TMP, 0, "l", 0, R, 0), open(TMP, 1, "l", 0, R, 0).is_ok(), open(TMP, 0, "l", 1, R | W, 0), open(TMP, 1, "l", 1 | 4, R | W, 0), open(TMP, 1, "dang", 0, R, 0), open(TMP, 0, "dang", 1, R | W, 0), open(TMP, 1, "la", 2, R, 0).is_ok(), open(TMP, 0, "la", 2, R, 0), open(TMP, 0, "la/b", 2, R, 0).is_ok(), open(TMP, 1, "up", 0, R, 0), open(TMP, 1, "../in", 0, R, 0), open(TMP, 1, "/tmp/f", 0, R, 0), open(TMP, 1, "a/../../in", 0, R, 0));
    say!(open(TMP, 1, "dang", 1, R | W, 0).is_ok(), stat(TMP, 0, "nowhere"), unlink(TMP, "nowhere"));
    say!(link(0, TMP, "f", TMP, "h"), stat(TMP, 0, "h"), link(0, TMP, "f", TMP, "h"), link(0, TMP, "a", TMP, "ha"), link(0, TMP, "nope", TMP, "hn"), link(1, TMP, "l", TMP, "hl"), link(0, TMP, "f", TMP, "hf/"), link(0, TMP, "f", OUT, "h"), unlink(OUT, "h"), stat(TMP, 0, "h"), link(0, TMP, "f", TMP, "x/h"), link(0, TMP, "l", TMP, "hsl"), stat(TMP, 0, "hsl"));
    // Unlink and rmdir
    say!(unlink(TMP, "a"), unlink(TMP, "nope"), unlink(TMP, "f/"), unlink(TMP, "a/"), unlink(TMP, "."), unlink(TMP, ".."), unlink(TMP, ""), unlink(TMP, "la/"), unlink(TMP, "la"), rmdir(TMP, "f"), rmdir(TMP, "a"), rmdir(TMP, "nope"), rmdir(TMP, "."), rmdir(TMP, "a/."), rmdir(TMP, ".."), rmdir(TMP, "a/.."), rmdir(TMP, "c/"), rmdir(TMP, "l"), rmdir(TMP, ""));
    say!(unlink(TMP, "h"), write(f, "still"), pread(f, 0));
    // Rename
    say!(mkdir(TMP, "d1"), mkdir(TMP, "d2"), mkdir(TMP, "d2/in"), rename(TMP, "f", TMP, "f2"), stat(TMP, 0, "f"), stat(TMP, 0, "f2"), rename(TMP, "nope", TMP, "x"), rename(TMP, "f2", TMP, "g"), stat(TMP, 0, "g"), rename(TMP, "g", TMP, "d1"), rename(TMP, "d1", TMP, "g"), rename(TMP, "d1", TMP, "d2"), rename(TMP, "d2", TMP, "d1"), stat(TMP, 0, "d1/in"), rename(TMP, "d1", TMP, "d1/in/x"), rename(TMP, "d1", TMP, "d1"), rename(TMP, "g", TMP, "g"), rename(TMP, "g", TMP, "g2/"), rename(TMP, "g/", TMP, "g2"), rename(TMP, "d1/", TMP, "d3"), rename(TMP, "d3", TMP, "d4/"), rename(TMP, "d4", TMP, "x/y"), rename(TMP, ".", TMP, "dot"), rename(TMP, "d4", TMP, "."), rename(TMP, "d4/.", TMP, "dd"), rename(TMP, "d4", TMP, ".."), rename(TMP, "../tmp", TMP, "q"), rename(TMP, "d4", TMP, "/q"), rename(TMP, "", TMP, "q"), rename(TMP, "g", TMP, ""), rename(TMP, "g", OUT, "moved"), stat(OUT, 0, "moved"), rename(OUT, "moved", TMP, "g"), rename(TMP, "l", TMP, "l2"), stat(TMP, 0, "l2"), rename(TMP, "d4/in", TMP, "d4"), rename(TMP, "l2", TMP, "d4"), rename(TMP, "d4", TMP, "l2"));
    say!(link(0, TMP, "g", TMP, "same"), rename(TMP, "g", TMP, "same"), stat(TMP, 0, "g"), stat(TMP, 0, "same"));
    // Times
    let set = |fd: u32, f: u32, p: &str, w: u32| path_filestat_set_times(fd, f, p.as_ptr(), p.len() as u32, 1_000_000_007, 2_000_000_009, w);
    let mut b = [0u8; 64];
    say!(set(TMP, 0, "g", 1 | 4), path_filestat_get(TMP, 0, "g".as_ptr(), 1, b.as_mut_ptr()), u64at(&b, 40), u64at(&b, 48), set(TMP, 0, "g", 1 | 2), set(TMP, 0, "g", 4 | 8), set(TMP, 0, "g", 0), set(TMP, 0, "nope", 1), set(TMP, 0, "l2", 4), set(TMP, 1, "dang", 4), fd_filestat_set_times(f, 5, 6, 1 | 4), fd_filestat_get(f, b.as_mut_ptr()), u64at(&b, 40), u64at(&b, 48), fd_filestat_set_times(1, 5, 6, 1), fd_filestat_set_times(f, 5, 6, 3), fd_filestat_set_times(TMP, 5, 6, 0));
    say!(fd_filestat_get(1, b.as_mut_ptr()), b[16], u64at(&b, 24), fd_filestat_get(99, b.as_mut_ptr()));
    // Directories
    for n in 0..5 { let _ = open(TMP, 0, &format!("d4/n{}", n), 1, W, 0); }
    let d = open(TMP, 0, "d4", 2, R, 0).unwrap();
    say!(list(d, 4096, 0), list(d, 20, 0).1, list(d, 25, 0), list(d, 50, 0).1, list(d, 4096, 1).1, list(d, 4096, 2).1, list(d, 4096, 5).1, list(d, 4096, 8), list(d, 4096, 9), list(d, 4096, 1000), list(f, 100, 0).0, list(1, 100, 0).0, list(99, 100, 0).0, list(d, 0, 0).1, fd_close(d));
    let gone = open(TMP, 0, "a/b", 2, R, 0).unwrap();
    say!(rmdir(TMP, "a/b"), mkdir(gone, "x"), open(gone, 0, "x", 1, W, 0), stat(gone, 0, "."), list(gone, 100, 0).0, fd_close(gone));
    // Numbers
    let x = open(TMP, 0, "g", 0, R, 0).unwrap(); let y = open(TMP, 0, "g", 0, R, 0).unwrap(); let z = open(TMP, 0, "g", 0, R, 0).unwrap();
    say!(fd_close(x), fd_close(z), open(TMP, 0, "g", 0, R, 0) == Ok(z), open(TMP, 0, "g", 0, R, 0) == Ok(x), fd_renumber(y, x), fd_close(y), read(x).0, fd_renumber(x, x), fd_renumber(x, 99), fd_renumber(99, x), fd_renumber(f, x), pread(x, 0).0, fd_close(f), fd_close(4), stat(4, 0, "."), fd_renumber(TMP, 4), stat(4, 0, "g"), stat(TMP, 0, "g").0);
    // The rest
    let mut now = 0;
    say!(clock_time_get(2, 1, &mut now), clock_time_get(3, 1, &mut now), clock_time_get(0, 1, &mut now), proc_raise(6), sched_yield());
    let mut s = [0u8; 96]; let mut e = [0u8; 64]; let mut n = 0;
    s[8] = 1; s[16] = x as u8; s[0] = 77; s[48 + 8] = 2; s[48 + 16] = 1; s[48] = 78;
    say!(poll_oneoff(s.as_ptr(), e.as_mut_ptr(), 2, &mut n), n, e, poll_oneoff(s.as_ptr(), e.as_mut_ptr(), 0, &mut n));
    s[16] = 99; say!(poll_oneoff(s.as_ptr(), e.as_mut_ptr(), 1, &mut n));
    s = [0; 96]; s[16] = 1; s[24] = 1; say!(poll_oneoff(s.as_ptr(), e.as_mut_ptr(), 1, &mut n), n, e[10]);
    s[16] = 2; say!(poll_oneoff(s.as_ptr(), e.as_mut_ptr(), 1, &mut n) != 0 || n == 1);
    let bad = [0xff_u8, 0xfe]; say!(path_create_directory(OUT, bad.as_ptr(), 2), path_create_directory(OUT, b"a\0b".as_ptr(), 3));
} }
