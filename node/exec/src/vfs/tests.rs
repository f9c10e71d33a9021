//! The file system alone: against a naive model, at its bounds, with hostile archives.

use std::collections::BTreeMap;
use std::io::Read;

use bytes::Bytes;
use proptest::prelude::*;
use weft_core::{Limit, Limits};

use super::{Error, Inode, Kind, OpenHow, Vfs};

const CREATE: OpenHow =
    OpenHow { follow: false, create: true, exclusive: false, directory: false, truncate: false, write: true };

fn vfs(bytes: u64, files: u32) -> Vfs {
    let limits = Limits { files_bytes: bytes, files, ..Limits::DEFAULT };
    Vfs::new(&Bytes::new(), &limits, 7).unwrap()
}

fn put(vfs: &mut Vfs, at: Inode, path: &str, content: &[u8]) -> Result<(), Error> {
    let file = vfs.open(at, path, CREATE, 1)?;
    let written = vfs.write(file, 0, content, 1);
    vfs.release(file);
    written
}

fn get(vfs: &Vfs, at: Inode, path: &str) -> Vec<u8> {
    let file = vfs.find(at, path, true).unwrap();
    let size = usize::try_from(vfs.stat(file).unwrap().size).unwrap();
    let mut content = vec![0xaa; size + 3];
    assert_eq!(vfs.read(file, 0, &mut content), Ok(size));
    content.truncate(size);
    content
}

/// Paths of files with content, and of directories without.
type Tree = BTreeMap<String, Option<Vec<u8>>>;

fn tree(vfs: &Vfs, dir: Inode, prefix: &str, into: &mut Tree) {
    for (name, inode, kind) in vfs.entries_after(dir, None).unwrap() {
        let path = format!("{prefix}{name}");
        match kind {
            Kind::Directory => {
                into.insert(path.clone(), None);
                tree(vfs, inode, &format!("{path}/"), into);
            }
            Kind::File => drop(into.insert(path, Some(get(vfs, dir, name)))),
            Kind::Link => drop(into.insert(path, Some(b"link".to_vec()))),
        }
    }
}

/// What the file system should do, done the slow way.
#[derive(Default)]
struct Model {
    tree: Tree,
}

impl Model {
    fn is_dir(&self, path: &str) -> bool {
        path.is_empty() || self.tree.get(path) == Some(&None)
    }

    fn parent_is_dir(&self, path: &str) -> bool {
        self.is_dir(path.rsplit_once('/').map_or("", |(parent, _)| parent))
    }

    fn has_children(&self, path: &str) -> bool {
        let prefix = format!("{path}/");
        self.tree.keys().any(|name| name.starts_with(&prefix))
    }

    fn bytes(&self) -> u64 {
        self.tree.values().flatten().map(|content| content.len() as u64).sum()
    }

    fn resized(&mut self, path: &str, len: usize, max: u64) -> Option<&mut Vec<u8>> {
        let all = self.bytes();
        let content = self.tree.get_mut(path)?.as_mut()?;
        let others = all - content.len() as u64;
        if others + len.max(content.len()) as u64 > max {
            return None;
        }
        Some(content)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Write { path: String, offset: usize, content: Vec<u8> },
    SetLen { path: String, len: usize },
    CreateDirectory(String),
    Unlink(String),
    RemoveDirectory(String),
    Rename(String, String),
}

fn path() -> impl Strategy<Value = String> {
    proptest::collection::vec(prop_oneof![Just("a"), Just("b"), Just("c")], 1..4)
        .prop_map(|names| names.join("/"))
}

fn step() -> impl Strategy<Value = Step> {
    // Around the length of a block too.
    let offset = || prop_oneof![0..40_usize, 65_500..65_600_usize, 131_000..131_100_usize];
    let content = proptest::collection::vec(any::<u8>(), 0..200);
    prop_oneof![
        (path(), offset(), content).prop_map(|(path, offset, content)| Step::Write { path, offset, content }),
        (path(), offset()).prop_map(|(path, len)| Step::SetLen { path, len }),
        path().prop_map(Step::CreateDirectory),
        path().prop_map(Step::CreateDirectory),
        path().prop_map(Step::Unlink),
        path().prop_map(Step::RemoveDirectory),
        (path(), path()).prop_map(|(from, to)| Step::Rename(from, to)),
    ]
}

const BYTES_MAX: u64 = 300_000;
const FILES_MAX: u32 = 12;

/// Does the step to both; they must agree on whether it succeeds.
fn take(step: &Step, vfs: &mut Vfs, model: &mut Model) {
    let at = Vfs::TMP;
    let full = model.tree.len() >= FILES_MAX as usize;
    match step {
        Step::Write { path, offset, content } => {
            let makes = model.parent_is_dir(path) && !model.tree.contains_key(path);
            let opened = vfs.open(at, path, CREATE, 1);
            assert_eq!(opened.is_ok(), model.parent_is_dir(path) && !model.is_dir(path) && !(makes && full));
            assert_eq!(matches!(opened, Err(Error::Limit(Limit::Files { .. }))), makes && full);
            let Ok(file) = opened else { return };
            let _ = model.tree.entry(path.clone()).or_insert_with(|| Some(Vec::new()));
            let end = if content.is_empty() { 0 } else { offset + content.len() };
            let resized = model.resized(path, end, BYTES_MAX);
            assert_eq!(vfs.write(file, *offset as u64, content, 2).is_ok(), resized.is_some());
            if let Some(held) = resized.filter(|_| !content.is_empty()) {
                held.resize(held.len().max(end), 0);
                held[*offset..end].copy_from_slice(content);
            }
            vfs.release(file);
        }
        Step::SetLen { path, len } => {
            let Ok(file) = vfs.find(at, path, false) else {
                return assert!(!model.tree.contains_key(path));
            };
            if model.is_dir(path) {
                return assert_eq!(vfs.set_len(file, *len as u64, 3), Err(Error::IsDirectory));
            }
            let resized = model.resized(path, *len, BYTES_MAX.max(model.bytes()));
            let fits = resized.is_some();
            resized.map(|held| held.resize(*len, 0)).unwrap_or_default();
            assert_eq!(vfs.set_len(file, *len as u64, 3).is_ok(), fits);
        }
        Step::CreateDirectory(path) => {
            let made = model.parent_is_dir(path) && !model.tree.contains_key(path) && !full;
            assert_eq!(vfs.create_directory(at, path, 4).is_ok(), made);
            if made {
                model.tree.insert(path.clone(), None);
            }
        }
        Step::Unlink(path) => {
            let is_file = model.tree.get(path).is_some_and(Option::is_some);
            assert_eq!(vfs.unlink(at, path, 5).is_ok(), is_file);
            if is_file {
                model.tree.remove(path);
            }
        }
        Step::RemoveDirectory(path) => {
            let removed = model.is_dir(path) && !model.has_children(path);
            assert_eq!(vfs.remove_directory(at, path, 6).is_ok(), removed);
            if removed {
                model.tree.remove(path);
            }
        }
        Step::Rename(from, to) => rename(from, to, vfs, model),
    }
}

fn rename(from: &str, to: &str, vfs: &mut Vfs, model: &mut Model) {
    let (from_dir, to_dir) = (model.is_dir(from), model.is_dir(to));
    let replaceable = match (model.tree.contains_key(to), from_dir) {
        _ if from == to => true,
        (false, _) => true,
        (true, false) => !to_dir,
        (true, true) => to_dir && !model.has_children(to),
    };
    let into_itself = from_dir && to.starts_with(&format!("{from}/"));
    let moved = model.tree.contains_key(from) && model.parent_is_dir(to) && replaceable && !into_itself;
    assert_eq!(vfs.rename(Vfs::TMP, from, Vfs::TMP, to, 8).is_ok(), moved, "{from} to {to}");
    if !moved || from == to {
        return;
    }
    let prefix = format!("{from}/");
    let names: Vec<String> =
        model.tree.keys().filter(|name| *name == from || name.starts_with(&prefix)).cloned().collect();
    for name in names {
        let content = model.tree.remove(&name).unwrap();
        model.tree.insert(format!("{to}{}", name.strip_prefix(from).unwrap()), content);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_does_what_a_naive_model_does(steps in proptest::collection::vec(step(), 1..60)) {
        let mut vfs = vfs(BYTES_MAX, FILES_MAX);
        let mut model = Model::default();
        for step in &steps {
            take(step, &mut vfs, &mut model);
            prop_assert_eq!(vfs.used_bytes(), model.bytes());
            prop_assert_eq!(vfs.quota.files as usize, model.tree.len());
            let mut real = Tree::new();
            tree(&vfs, Vfs::TMP, "", &mut real);
            prop_assert_eq!(&real, &model.tree);
        }
    }
}

#[test]
fn the_quota_is_exact_and_gaps_cost_no_memory() {
    let mut vfs = vfs(1000, 3);
    put(&mut vfs, Vfs::TMP, "a", &[1; 400]).unwrap();
    put(&mut vfs, Vfs::OUT, "b", &[2; 600]).unwrap();
    let file = vfs.find(Vfs::TMP, "a", false).unwrap();
    let full = Err(Error::Limit(Limit::FilesBytes { limit_bytes: 1000 }));
    assert_eq!(vfs.write(file, 400, &[3], 1), full);
    assert_eq!(vfs.write(file, 1 << 60, &[3], 1), full);
    assert_eq!(vfs.write(file, u64::MAX, &[3, 4], 1), full);
    assert_eq!(vfs.set_len(file, u64::MAX, 1), full);
    assert_eq!(vfs.write(file, 0, &[9; 400], 1), Ok(()), "what is there may be written again");
    vfs.set_len(file, 399, 1).unwrap();
    assert_eq!(vfs.symlink("xy", Vfs::TMP, "l", 1), full.clone());
    assert_eq!(vfs.symlink("x", Vfs::TMP, "l", 1), Ok(()));
    let too_many = Err(Error::Limit(Limit::Files { limit: 3 }));
    assert_eq!(vfs.create_directory(Vfs::OUT, "d", 1), too_many);
    assert_eq!(vfs.hard_link(Vfs::TMP, "a", Vfs::OUT, "a2", 1), too_many);
    assert_eq!(vfs.used_bytes(), 1000);
}

#[test]
fn a_removed_file_lives_and_is_charged_while_it_is_held() {
    let mut vfs = vfs(1000, 1);
    let file = vfs.open(Vfs::TMP, "a", CREATE, 1).unwrap();
    vfs.write(file, 0, b"kept", 1).unwrap();
    vfs.unlink(Vfs::TMP, "a", 2).unwrap();
    assert_eq!(vfs.find(Vfs::TMP, "a", false), Err(Error::NoEntry));
    let mut content = [0; 4];
    assert_eq!((vfs.read(file, 0, &mut content), &content), (Ok(4), b"kept"));
    assert_eq!((vfs.used_bytes(), vfs.stat(file).unwrap().links), (4, 0));
    assert!(matches!(vfs.create_directory(Vfs::TMP, "d", 1), Err(Error::Limit(_))));
    vfs.release(file);
    assert_eq!((vfs.used_bytes(), vfs.stat(file)), (0, Err(Error::NoEntry)));
    vfs.create_directory(Vfs::TMP, "d", 1).unwrap();
}

#[test]
fn nothing_under_in_or_the_root_can_be_changed() {
    let files = archive(&[("f", b"given")]);
    let mut vfs = Vfs::new(&files, &Limits::DEFAULT, 7).unwrap();
    assert_eq!(get(&vfs, Vfs::ROOT, "in/f"), b"given");
    let read_only = Err(Error::ReadOnly);
    for at in [Vfs::IN, Vfs::ROOT] {
        assert_eq!(put(&mut vfs, at, "new", b"x"), read_only);
        assert_eq!(vfs.create_directory(at, "new", 1), read_only);
        assert_eq!(vfs.symlink("f", at, "new", 1), read_only);
    }
    assert_eq!(put(&mut vfs, Vfs::IN, "f", b"x"), read_only);
    assert_eq!(vfs.unlink(Vfs::IN, "f", 1), read_only);
    assert_eq!(vfs.rename(Vfs::IN, "f", Vfs::TMP, "f", 1), read_only);
    assert_eq!(vfs.rename(Vfs::ROOT, "tmp", Vfs::ROOT, "out", 1), read_only);
    assert_eq!(vfs.remove_directory(Vfs::ROOT, "tmp", 1), read_only);
    assert_eq!(vfs.hard_link(Vfs::IN, "f", Vfs::TMP, "f", 1), Err(Error::CrossDevice));
    let file = vfs.find(Vfs::IN, "f", false).unwrap();
    assert_eq!(vfs.set_len(file, 0, 1), read_only);
    assert_eq!(vfs.set_times(file, Some(1), None, 1), read_only);
    assert_eq!(get(&vfs, Vfs::IN, "f"), b"given");
}

#[test]
fn what_is_in_out_comes_back_the_same_whoever_made_it_and_when() {
    let mut first = vfs(100_000, 100);
    let mut second = vfs(100_000, 100);
    let long = "n".repeat(200);
    let names = ["z", "a", "b b", &long];
    for name in names {
        put(&mut first, Vfs::OUT, name, name.as_bytes()).unwrap();
    }
    first.create_directory(Vfs::OUT, "d", 1).unwrap();
    put(&mut first, Vfs::OUT, "d/deep", b"").unwrap();
    first.hard_link(Vfs::OUT, "z", Vfs::OUT, "d/same", 1).unwrap();
    first.symlink("../a", Vfs::OUT, "d/link", 1).unwrap();
    second.create_directory(Vfs::TMP, "x", 99).unwrap();
    second.rename(Vfs::TMP, "x", Vfs::OUT, "d", 99).unwrap();
    second.symlink("../a", Vfs::OUT, "d/link", 99).unwrap();
    put(&mut second, Vfs::OUT, "d/deep", b"").unwrap();
    for name in names.iter().rev() {
        put(&mut second, Vfs::OUT, name, name.as_bytes()).unwrap();
    }
    second.hard_link(Vfs::OUT, "z", Vfs::OUT, "d/same", 99).unwrap();

    let mut names_back = Vec::new();
    let bytes = first.into_out().unwrap().archive;
    assert_eq!(bytes, second.into_out().unwrap().archive);
    let mut archive = tar::Archive::new(bytes.as_slice());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        assert_eq!((entry.header().mtime().unwrap(), entry.header().uid().unwrap()), (0, 0));
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        let kind = entry.header().entry_type();
        assert!(kind == tar::EntryType::Regular || kind == tar::EntryType::Directory, "{name}: {kind:?}");
        let expected = match name.as_str() {
            "d/" | "d/deep" => "",
            "d/same" => "z",
            plain => plain,
        };
        assert_eq!(content, expected);
        names_back.push(name);
    }
    assert_eq!(
        names_back,
        ["a", "b b", "d/", "d/deep", "d/same", &long, "z"],
        "both names of a file, no link"
    );
    // And it can be given to the next task.
    let again = Vfs::new(&Bytes::from(bytes), &Limits::DEFAULT, 7).unwrap();
    assert_eq!(get(&again, Vfs::IN, "d/same"), b"z");
    assert_eq!(get(&again, Vfs::IN, "z"), b"z");
    assert_eq!(get(&again, Vfs::IN, &long), long.as_bytes());
    assert_eq!(vfs(10, 10).into_out().unwrap().archive, b"");
}

fn archive(files: &[(&str, &[u8])]) -> Bytes {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        builder
            .append_data(&mut header(tar::EntryType::Regular, content.len() as u64), path, *content)
            .unwrap();
    }
    Bytes::from(builder.into_inner().unwrap())
}

fn header(kind: tar::EntryType, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    header
}

/// One entry with any name and target, as no honest tool writes it.
fn forged(kind: tar::EntryType, name: &[u8], target: &[u8], size: u64) -> Bytes {
    let mut header = header(kind, size);
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.as_old_mut().linkname[..target.len()].copy_from_slice(target);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(&[0; 1024]);
    Bytes::from(bytes)
}

#[test]
fn a_hostile_archive_is_refused_with_a_reason() {
    use tar::EntryType;
    let cases = [
        (forged(EntryType::Regular, b"/etc/passwd", b"", 0), "absolute"),
        (forged(EntryType::Regular, b"../up", b"", 0), "leads out"),
        (forged(EntryType::Regular, b"a/../../up", b"", 0), "leads out"),
        (forged(EntryType::Directory, b"..", b"", 0), "leads out"),
        (forged(EntryType::Regular, b"\xff\xfe", b"", 0), "UTF-8"),
        (forged(EntryType::Regular, b"", b"", 0), "no name"),
        (forged(EntryType::Symlink, b"l", b"/etc/passwd", 0), "absolute"),
        (forged(EntryType::Symlink, b"l", b"../x", 0), "leads out"),
        (forged(EntryType::Symlink, b"d/l", b"../../x", 0), "leads out"),
        (forged(EntryType::Symlink, b"l", b"", 0), "impossible"),
        (forged(EntryType::Link, b"l", b"nothing", 0), "no file before"),
        (forged(EntryType::Link, b"l", b"../../etc/passwd", 0), "leads out"),
        (forged(EntryType::Fifo, b"p", b"", 0), "neither"),
        (forged(EntryType::Char, b"c", b"", 0), "neither"),
        (forged(EntryType::GNUSparse, b"s", b"", 0), "not a valid tar"),
        (forged(EntryType::Regular, b"big", b"", 1 << 40), "more than the archive has"),
        (archive(&[("a", b"1"), ("a", b"2")]), "twice"),
        (archive(&[("a", b"1"), ("a/b", b"2")]), "no directory"),
        (archive(&[("a/b", b"1"), ("a", b"2")]), "twice"),
        (Bytes::from_static(&[7; 2000]), "not a valid tar"),
        (Bytes::from_static(b"short"), "not a valid tar"),
    ];
    for (bytes, reason) in cases {
        let error = Vfs::new(&bytes, &Limits::DEFAULT, 7).unwrap_err();
        assert!(error.contains(reason), "`{error}` does not say `{reason}`");
    }
}

#[test]
fn an_archive_of_too_many_files_is_refused() {
    let paths: Vec<String> = (0..60).map(|n| format!("{n}/{}", "d/".repeat(2000))).collect();
    let files: Vec<(&str, &[u8])> = paths.iter().map(|path| (path.as_str(), b"".as_slice())).collect();
    let error = Vfs::new(&archive(&files), &Limits::DEFAULT, 7).unwrap_err();
    assert!(error.contains("one more than a task may have"), "{error}");
}

#[test]
fn any_bytes_at_all_are_read_or_refused() {
    let good = archive(&[("a", b"one"), ("b/c", b"two")]);
    for at in 0..good.len() {
        for flip in [0x01_u8, 0x80, 0xff] {
            let mut bytes = good.to_vec();
            bytes[at] ^= flip;
            drop(Vfs::new(&Bytes::from(bytes), &Limits::DEFAULT, 7));
        }
    }
}

#[test]
fn names_and_second_copies_count_when_the_archive_is_made() {
    let full = |vfs: Vfs| matches!(vfs.into_out(), Err(Error::Limit(Limit::FilesBytes { .. })));
    // 100 names of one file of 100 kB, 10 MB in all, where a task may keep 200 kB.
    let mut copies = vfs(200_000, 1000);
    put(&mut copies, Vfs::OUT, "f", &[7; 100_000]).unwrap();
    for number in 0..100 {
        copies.hard_link(Vfs::OUT, "f", Vfs::OUT, &format!("copy{number}"), 1).unwrap();
    }
    assert!(full(copies));
    // 1,000 empty files deep below, whose paths are 2 MB.
    let mut paths = vfs(1000, 2000);
    let mut dir = String::new();
    for _ in 0..8 {
        dir.push_str(&"d".repeat(250));
        paths.create_directory(Vfs::OUT, &dir, 1).unwrap();
        dir.push('/');
    }
    for number in 0..1000 {
        put(&mut paths, Vfs::OUT, &format!("{dir}{number}"), b"").unwrap();
    }
    assert!(full(paths));
    // What is little is no matter.
    let mut few = vfs(10, 10);
    put(&mut few, Vfs::OUT, "a long name for ten bytes", &[7; 10]).unwrap();
    few.hard_link(Vfs::OUT, "a long name for ten bytes", Vfs::OUT, "again", 1).unwrap();
    assert!(!full(few));
}
