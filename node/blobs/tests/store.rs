//! What a store promises when things go wrong: crashes, rot, liars, a full disk, and many at once.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::thread;

use tempfile::TempDir;
use weft_blobs::{Durability, Error, Loss, Quota, Store};
use weft_core::BlobId;

const ROOMY: Quota = Quota { bytes: 1 << 30 };

fn open(dir: &TempDir) -> Store {
    Store::open(dir.path(), ROOMY).unwrap()
}

fn path_of(dir: &Path, id: BlobId) -> PathBuf {
    let name = id.to_string();
    dir.join("blobs").join(name.get(..2).unwrap()).join(name)
}

fn incoming_files(dir: &TempDir) -> usize {
    fs::read_dir(dir.path().join("blobs/incoming")).unwrap().count()
}

#[test]
fn a_blob_is_a_file_named_by_its_hash() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let id = store.put(b"weft").unwrap();
    assert_eq!(id, BlobId::of(b"weft"));
    assert_eq!(fs::read(path_of(dir.path(), id)).unwrap(), b"weft");
    assert_eq!(incoming_files(&dir), 0);
    let (len, mut file) = store.open_read(id).unwrap().unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    assert_eq!((len, bytes.as_slice()), (4, b"weft".as_slice()));
    assert!(store.get(BlobId::of(b"other")).unwrap().is_none());
    assert!(store.open_read(BlobId::of(b"other")).unwrap().is_none());
    assert!(!store.has(BlobId::of(b"other")));
}

#[test]
fn what_a_crash_left_half_written_is_gone_after_open() {
    let dir = TempDir::new().unwrap();
    let whole = open(&dir).put_with(b"whole", Durability::Durable).unwrap();
    // As if the power went between the write and the rename.
    fs::write(dir.path().join("blobs/incoming/7"), b"hal").unwrap();
    let store = open(&dir);
    assert_eq!(incoming_files(&dir), 0);
    assert_eq!(store.usage().blobs, 1);
    assert_eq!(store.get(whole).unwrap().unwrap().as_ref(), b"whole");
}

#[test]
fn what_was_set_aside_stays_and_leaves_the_quota_to_what_comes() {
    let dir = TempDir::new().unwrap();
    let quota = Quota { bytes: 64 << 10 };
    let before: Vec<BlobId> = {
        let store = Store::open(dir.path(), quota).unwrap();
        (0..12_u8).map(|byte| store.put(&[byte; 5000]).unwrap()).filter(|id| store.has(*id)).collect()
    };
    let store = Store::open_whole(dir.path(), quota).unwrap();
    let found: Vec<BlobId> = before.into_iter().filter(|id| store.has(*id)).collect();
    assert!(found.len() >= 4, "{found:?}");
    store.set_aside();
    store.shrink().unwrap();
    let after: Vec<BlobId> = (100..140_u8).map(|byte| store.put(&[byte; 5000]).unwrap()).collect();
    assert!(found.iter().all(|id| store.has(*id)), "none of them was evicted");
    let left = after.iter().filter(|id| store.has(**id)).count();
    assert_eq!(left, 8, "as many of the others as the quota has room for");
}

#[test]
fn what_is_pinned_after_open_survives_a_lower_quota() {
    let dir = TempDir::new().unwrap();
    let ids: Vec<BlobId> = (0..10_u8).map(|byte| open(&dir).put(&[byte; 5000]).unwrap()).collect();
    let store = Store::open_whole(dir.path(), Quota { bytes: 20_000 }).unwrap();
    let first = *ids.first().unwrap();
    store.pin(first);
    store.shrink().unwrap();
    assert!(store.has(first));
    assert_eq!(ids.iter().filter(|id| store.has(**id)).count(), 2, "two blocks each");
    assert!(store.make_durable(first).unwrap());
    assert!(!store.make_durable(BlobId::of(b"not there")).unwrap());
}

#[test]
fn files_that_are_not_blobs_are_left_alone() {
    let dir = TempDir::new().unwrap();
    open(&dir).put(b"weft").unwrap();
    let strange = dir.path().join("blobs/notes.txt");
    let misplaced = dir.path().join("blobs/00");
    fs::create_dir_all(&misplaced).unwrap();
    fs::write(&strange, b"mine").unwrap();
    fs::write(misplaced.join(BlobId::of(b"elsewhere").to_string()), b"elsewhere").unwrap();
    assert_eq!(open(&dir).usage().blobs, 1);
    assert!(strange.exists());
}

#[test]
fn a_corrupt_file_is_not_found_removed_and_counted() {
    for damage in [b"wefT".as_slice(), b"wef", b"weft and more", b""] {
        let dir = TempDir::new().unwrap();
        let id = open(&dir).put(b"weft").unwrap();
        fs::write(path_of(dir.path(), id), damage).unwrap();
        let store = open(&dir);
        assert!(store.has(id), "nothing was read yet");
        assert!(store.get(id).unwrap().is_none());
        assert!(!store.has(id));
        assert!(!path_of(dir.path(), id).exists());
        assert_eq!(store.usage().corrupt, 1);

        store.put(b"weft").unwrap();
        fs::write(path_of(dir.path(), id), damage).unwrap();
        let store = open(&dir);
        store.pin(id);
        assert!(store.open_read(id).unwrap().is_none());
        assert_eq!(store.loss(id), Some(Loss::Corrupt), "work rests on it");
        store.unpin(id);
        assert_eq!(store.loss(id), None);
    }
}

#[test]
fn good_bytes_replace_a_file_that_was_never_checked() {
    let dir = TempDir::new().unwrap();
    let id = open(&dir).put(b"weft").unwrap();
    fs::write(path_of(dir.path(), id), b"rot").unwrap();
    let store = open(&dir);
    store.put(b"weft").unwrap();
    assert_eq!(fs::read(path_of(dir.path(), id)).unwrap(), b"weft");
    assert_eq!(store.len(id), Some(4));
}

#[test]
fn a_file_that_somebody_removed_is_not_found() {
    let dir = TempDir::new().unwrap();
    let id = open(&dir).put(b"weft").unwrap();
    let store = open(&dir);
    fs::remove_file(path_of(dir.path(), id)).unwrap();
    assert!(store.get(id).unwrap().is_none());
    assert_eq!(store.usage().bytes, 0);
    store.put_with(b"weft", Durability::Durable).unwrap();
    assert!(path_of(dir.path(), id).exists());
}

#[test]
fn a_liar_stores_nothing() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let id = BlobId::of(b"weft");

    let mut too_long = store.incoming(id, 4).unwrap();
    too_long.write(b"wef").unwrap();
    assert!(matches!(too_long.write(b"tt"), Err(Error::TooLong { allowed: 4 })));
    assert!(matches!(too_long.finish(Durability::Cached), Err(Error::TooShort { announced: 4, got: 3 })));

    let mut wrong = store.incoming(id, 4).unwrap();
    wrong.write(b"wefT").unwrap();
    let refused = wrong.finish(Durability::Cached).unwrap_err();
    assert!(matches!(refused, Error::WrongHash { expected, .. } if expected == id));
    assert!(refused.is_senders_fault());

    let huge = store.incoming(id, u64::MAX).unwrap_err();
    assert!(matches!(huge, Error::Full { .. }));
    assert_eq!(io::Error::from(huge).kind(), io::ErrorKind::QuotaExceeded);

    assert!(!store.has(id));
    assert_eq!(incoming_files(&dir), 0);
    assert_eq!(store.usage().reserved, 0);
}

#[test]
fn an_unfinished_arrival_holds_its_room_and_leaves_nothing() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path(), Quota { bytes: 8192 }).unwrap();
    let mut incoming = store.incoming(BlobId::of(b"weft"), 4).unwrap();
    incoming.write(b"we").unwrap();
    assert_eq!((incoming.missing(), store.usage().reserved), (2, 4096));
    assert!(matches!(store.put(&[0; 8192]), Err(Error::Full { reserved: 4096, .. })));
    assert!(!store.has(BlobId::of(b"weft")), "invisible until it is whole");
    drop(incoming);
    assert_eq!(incoming_files(&dir), 0);
    store.put(&[0; 8192]).unwrap();
}

#[test]
fn arrivals_are_bounded_in_number() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let mut arrivals = Vec::new();
    let refused = loop {
        match store.incoming(BlobId::of(b"weft"), 4) {
            Ok(incoming) => arrivals.push(incoming),
            Err(error) => break error,
        }
        assert!(arrivals.len() < 10_000, "a bound must come");
    };
    assert!(matches!(refused, Error::Busy { .. }), "{refused}");
    drop(arrivals);
    store.put(b"weft").unwrap();
}

#[test]
fn a_source_is_stored_as_it_streams_up_to_its_limit() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let bytes: Vec<u8> = (0u32..300_000).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let len = bytes.len() as u64;
    let (id, stored) = store.put_reader(bytes.as_slice(), len, Durability::Durable).unwrap();
    assert_eq!((id, stored), (BlobId::of(&bytes), len));
    assert_eq!(store.get(id).unwrap().unwrap(), bytes);

    let endless = store.put_reader(io::repeat(0), 1 << 20, Durability::Cached);
    assert!(matches!(endless, Err(Error::TooLong { allowed: 1_048_576 })));
    let broken = store.put_reader(Broken, 10, Durability::Cached);
    assert!(matches!(broken, Err(Error::Source(_))));
    assert_eq!(incoming_files(&dir), 0);
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

#[test]
fn a_source_beyond_the_quota_is_refused_before_the_disk_is_full() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path(), Quota { bytes: 1 << 20 }).unwrap();
    let refused = store.put_reader(io::repeat(0), u64::MAX, Durability::Cached).unwrap_err();
    assert!(matches!(refused, Error::Full { quota: 1_048_576, .. }), "{refused}");
    assert_eq!(store.usage().reserved, 0);
}

#[test]
fn a_smaller_quota_evicts_the_oldest_at_open() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    for number in 0..10u8 {
        store.put(&[number]).unwrap();
    }
    drop(store);
    let store = Store::open(dir.path(), Quota { bytes: 4 * 4096 }).unwrap();
    let usage = store.usage();
    assert_eq!((usage.blobs, usage.bytes, usage.evicted), (4, 4 * 4096, 6));
}

#[test]
fn an_open_file_outlives_its_eviction() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path(), Quota { bytes: 4096 }).unwrap();
    let first = store.put(b"first").unwrap();
    let (_, mut file) = store.open_read(first).unwrap().unwrap();
    store.put(b"second").unwrap();
    assert!(!store.has(first));
    assert!(store.get(first).unwrap().is_none(), "the memory cache forgets it too");
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "first");
}

#[test]
fn pins_of_absent_blobs_hold_once_they_come() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path(), Quota { bytes: 4096 }).unwrap();
    store.pin(BlobId::of(b"first"));
    store.put(b"first").unwrap();
    let refused = store.put(b"second").unwrap_err();
    assert!(matches!(refused, Error::Full { pinned: 4096, .. }));
    assert!(refused.to_string().contains("--store"), "{refused}");
    store.unpin(BlobId::of(b"first"));
    store.put(b"second").unwrap();
}

#[test]
fn many_threads_putting_the_same_blobs_agree() {
    let dir = TempDir::new().unwrap();
    // No room to spare: a blob that is put must never count twice for longer than its write lasts.
    let store = Store::open(dir.path(), Quota { bytes: 64 * 4096 }).unwrap();
    thread::scope(|scope| {
        for worker in 0..8u8 {
            let store = store.clone();
            scope.spawn(move || put_and_get(&store, worker));
        }
    });
    let usage = store.usage();
    assert_eq!((usage.blobs, usage.bytes, usage.reserved), (20, 20 * 4096, 0));
    assert_eq!(incoming_files(&dir), 0);
}

fn put_and_get(store: &Store, worker: u8) {
    for round in 0..200u8 {
        let bytes = [round % 20; 100];
        let id = BlobId::of(&bytes);
        if worker.is_multiple_of(2) {
            store.put(&bytes).unwrap();
        } else {
            let mut incoming = store.incoming(id, 100).unwrap();
            incoming.write(&bytes).unwrap();
            incoming.finish(Durability::Cached).unwrap();
        }
        assert_eq!(store.get(id).unwrap().unwrap(), bytes.as_slice());
    }
}

#[test]
fn an_unwritable_directory_is_named() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = Store::open(&file, ROOMY).unwrap_err();
    assert!(error.to_string().contains("file/blobs"), "{error}");
}

#[test]
fn a_directory_that_is_removed_under_a_running_store_is_made_again() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let big = vec![7; 3 << 20];
    let (small, long) = (store.put(b"small").unwrap(), store.put(&big).unwrap());
    store.pin(long);
    fs::remove_dir_all(dir.path().join("blobs")).unwrap();
    // What memory still has is written again, also for those who want a file.
    let (_, mut file) = store.open_read(small).unwrap().unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"small");
    // The rest is missing, and is told apart from what never came.
    assert!(store.open_read(long).unwrap().is_none());
    assert_eq!((store.loss(long), store.loss(small)), (Some(Loss::Removed), None));
    // That other blobs come and are read takes nothing of it back.
    let other = store.put(b"other").unwrap();
    assert!(store.get(other).unwrap().is_some());
    assert_eq!(store.usage().vanished, 1);
    assert_eq!(store.put(&big).unwrap(), long);
    assert_eq!(store.loss(long), None);
    assert_eq!(store.usage().vanished, 0);
    assert_eq!(store.get(long).unwrap().unwrap().as_ref(), big);
}

/// As a client does that asks whether a blob is here before it sends it.
#[test]
fn a_blob_whose_file_was_removed_is_not_here_and_is_taken_again() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let big = vec![7; 3 << 20];
    let id = store.put(&big).unwrap();
    assert_eq!(store.len_on_disk(id).unwrap(), Some(3 << 20));
    fs::remove_dir_all(dir.path().join("blobs")).unwrap();
    assert_eq!(store.len(id), Some(3 << 20), "the index does not know yet");
    // One that does not ask sends it again, and so does a peer.
    let taken = store.put_reader(big.as_slice(), 3 << 20, Durability::Cached).unwrap();
    assert_eq!((taken, store.get(id).unwrap().unwrap().as_ref()), ((id, 3 << 20), big.as_slice()));
    fs::remove_file(path_of(dir.path(), id)).unwrap();
    let mut incoming = store.incoming(id, 3 << 20).unwrap();
    incoming.write(&big).unwrap();
    incoming.finish(Durability::Cached).unwrap();
    assert_eq!(store.get(id).unwrap().unwrap().as_ref(), big);
    fs::remove_file(path_of(dir.path(), id)).unwrap();
    assert_eq!(store.len_on_disk(id).unwrap(), None);
    assert_eq!((store.len(id), store.usage().bytes), (None, 0));
}

#[test]
fn a_vanished_blob_is_told_of_until_no_work_rests_on_it() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let long = store.put(&vec![7; 3 << 20]).unwrap();
    store.pin(long);
    fs::remove_dir_all(dir.path().join("blobs")).unwrap();
    assert!(store.open_read(long).unwrap().is_none());
    assert_eq!(store.usage().vanished, 1);
    store.unpin(long);
    assert_eq!(store.usage().vanished, 0);
}

#[test]
fn what_a_store_makes_is_its_users_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("blobs")).unwrap();
    fs::set_permissions(dir.path().join("blobs"), fs::Permissions::from_mode(0o755)).unwrap();
    let store = open(&dir);
    let path = path_of(dir.path(), store.put(b"salaries").unwrap());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    for parent in path.ancestors().skip(1).take(2) {
        assert_eq!(mode(parent), 0o700, "{}", parent.display());
    }
    assert_eq!(mode(&dir.path().join("blobs/incoming")), 0o700);
}

#[test]
fn blobs_leave_free_what_is_not_for_them_and_give_way_before_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Quota { bytes: 64 << 10 }).unwrap();
    let (spare, wanted) = (store.put(b"spare").unwrap(), store.put(b"wanted").unwrap());
    store.pin(wanted);
    // No disk has so much.
    store.leave_free(u64::MAX);
    let refused = store.put(b"one more").unwrap_err();
    assert!(refused.is_disk_full(), "{refused}");
    assert_eq!((store.has(spare), store.has(wanted)), (false, true));
    assert_eq!(store.usage().reserved, 0);
    store.leave_free(0);
    store.put(b"one more").unwrap();
}
