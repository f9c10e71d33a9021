//! What the slots learn of a store without room. The store is real.

use std::io::{Seek as _, Write as _};
use std::path::PathBuf;

use weft_blobs::Quota;

use super::*;

fn blobs(dir: &tempfile::TempDir, quota: u64) -> SlotBlobs {
    SlotBlobs(Store::open(dir.path(), Quota { bytes: quota }).unwrap(), StoreFault::default())
}

#[test]
fn an_output_without_room_is_told_by_its_kind_short_or_long() {
    let dir = tempfile::tempdir().unwrap();
    let slots = blobs(&dir, 4096);
    let refused = slots.write(vec![0; 8192]).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::QuotaExceeded, "{refused}");
    for bytes in [8192, WRITTEN_WHOLE_MAX + 1] {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![0; usize::try_from(bytes).unwrap()]).unwrap();
        file.rewind().unwrap();
        let refused = slots.write_file(file, bytes).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::QuotaExceeded, "{refused}");
    }
    assert!(slots.1.get().is_some_and(|fault| fault.contains("no room")), "`weft status` tells it");
}

#[test]
fn a_full_disk_is_told_by_its_kind() {
    let dir = tempfile::tempdir().unwrap();
    let full = weft_blobs::Error::Io {
        doing: "write",
        path: PathBuf::from("blobs"),
        source: io::ErrorKind::StorageFull.into(),
    };
    let told = blobs(&dir, 1 << 20).noted(Err(full)).unwrap_err();
    assert_eq!(told.kind(), io::ErrorKind::StorageFull);
    assert!(told.to_string().contains("the disk is full"), "{told}");
}

#[test]
fn an_output_that_is_not_reported_yet_does_not_go_for_another_one_on_a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let slots = blobs(&dir, 1 << 30);
    let old = slots.0.put(b"old").unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&vec![1; usize::try_from(WRITTEN_WHOLE_MAX + 1).unwrap()]).unwrap();
    file.rewind().unwrap();
    let fresh = [slots.write(vec![0; 8192]).unwrap(), slots.write_file(file, WRITTEN_WHOLE_MAX + 1).unwrap()];
    slots.0.make_room(u64::MAX).unwrap();
    assert!(!slots.0.has(old) && fresh.iter().all(|id| slots.0.has(*id)));
    for id in fresh {
        slots.0.pin(id);
        slots.0.unpin(id);
    }
    slots.0.make_room(u64::MAX).unwrap();
    assert!(fresh.iter().all(|id| !slots.0.has(*id)), "once it is delivered it makes room");
}
