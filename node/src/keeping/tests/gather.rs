//! All results of jobs as one input: which bytes are made of which records, and what can't be one.

use std::collections::BTreeMap;
use std::io::Read as _;

use weft_core::{Gathered, Limits, Time};

use super::*;
use crate::keeping::reading::Question;

const CHILD: JobId = JobId(6);

/// What the engine is told when it asks for the input of these records' results.
fn gathered_upto(place: &Disk, records: Vec<LogRecord>, upto: u32) -> Gathered {
    let Opened { keeper, .. } = place.open();
    if !records.is_empty() {
        keep(place, &keeper, records);
    }
    keeper.add(Order::Ask(Question::Gather { job: CHILD, epoch: 3, parents: vec![(JOB, upto)] }));
    let told = place.told(&keeper).remove(0);
    keeper.close().unwrap();
    let Input::Gathered { job: CHILD, epoch: 3, gathered } = told else { panic!("{told:?}") };
    gathered
}

fn gathered(records: impl FnOnce(&Disk, BlobId) -> Vec<LogRecord>) -> (Disk, Gathered) {
    let place = Disk::new();
    let module = place.store.put(b"module").unwrap();
    let records = records(&place, module);
    let gathered = gathered_upto(&place, records, u32::MAX);
    (place, gathered)
}

const ENDED: LogRecord = LogRecord::Ended { at: Time(2_000_000) };

/// The files of an input, by their paths.
fn files(place: &Disk, gathered: Gathered) -> BTreeMap<String, Vec<u8>> {
    let Gathered::Input(input) = gathered else { panic!("{gathered:?}") };
    let parcel = match input {
        Payload::Inline(bytes) => bytes.to_vec(),
        Payload::Blob { id, .. } => place.store.get(id).unwrap().unwrap().to_vec(),
    };
    let (archive, tail) = parcel.split_at(parcel.len() - 48);
    assert_eq!(tail, weft_exec::tail_of_files(archive.len() as u64));
    let mut all = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let (mut content, path) = (Vec::new(), entry.path().unwrap().display().to_string());
        entry.read_to_end(&mut content).unwrap();
        assert_eq!(all.insert(path, content), None);
    }
    all
}

fn with_files(index: u32, output: &[u8], archive: Vec<u8>) -> KeptEnd {
    let mut kept = end(index, Outcome::Done, Payload::inline(output));
    let report = Report { files: Payload::inline(&archive), ..(*kept.report).clone() };
    kept.report = report.into();
    kept
}

fn archive(path: &str, kind: tar::EntryType, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    let mut tar = tar::Builder::new(Vec::new());
    // As a hostile worker would write it, whatever the path.
    header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_cksum();
    tar.append(&header, content).unwrap();
    tar.into_inner().unwrap()
}

#[test]
fn each_output_is_a_file_and_what_its_task_left_a_directory() {
    let long = vec![b'x'; 20_000];
    let (place, gathered) = gathered(|place, module| {
        let blob = Payload::Blob { id: place.store.put(&long).unwrap(), bytes: 20_000 };
        let left = archive("cards/one.txt", tar::EntryType::Regular, b"ace");
        let ends = vec![with_files(1, b"one", left), end(0, Outcome::Done, blob)];
        vec![accepted(module, 2), LogRecord::Outcomes(ends), ENDED]
    });
    let expected = [
        ("000000", long.as_slice()),
        ("000001", b"one"),
        ("000001.out/", b""),
        ("000001.out/cards/one.txt", b"ace"),
    ];
    let expected = expected.map(|(path, content)| (String::from(path), content.to_vec()));
    assert_eq!(files(&place, gathered), BTreeMap::from(expected));
}

#[test]
fn the_same_results_make_the_same_input_in_whatever_order_they_came() {
    let made = |ends: Vec<LogRecord>| {
        gathered(|_, module| [vec![accepted(module, 3)], ends, vec![ENDED]].concat()).1
    };
    let together = made(vec![LogRecord::Outcomes(vec![done(0), done(1), done(2)])]);
    let apart = made(vec![LogRecord::Outcomes(vec![done(2)]), LogRecord::Outcomes(vec![done(1), done(0)])]);
    assert!(matches!(together, Gathered::Input(_)) && together == apart);
}

#[test]
fn a_log_without_its_end_is_missing_and_one_with_a_failure_is_not_done() {
    let outcomes = |ends: Vec<KeptEnd>| LogRecord::Outcomes(ends);
    let (place, open) = gathered(|_, module| vec![accepted(module, 1), outcomes(vec![done(0)])]);
    assert_eq!(open, Gathered::Missing(JOB));
    drop(place);
    let (_, failed) =
        gathered(|_, module| vec![accepted(module, 2), outcomes(vec![done(1), failed(0)]), ENDED]);
    assert_eq!(failed, Gathered::NotDone(JOB));
    assert_eq!(gathered_upto(&Disk::new(), Vec::new(), u32::MAX), Gathered::Missing(JOB));
    let place = Disk::new();
    let records = vec![accepted(place.store.put(b"module").unwrap(), 1), outcomes(vec![done(0)]), ENDED];
    assert_eq!(gathered_upto(&place, records, 2), Gathered::Missing(JOB), "its end does not count yet");
}

#[test]
fn what_can_not_be_one_input_is_told_why() {
    let (_, lacking) = gathered(|_, module| {
        let gone = Payload::Blob { id: BlobId([3; 32]), bytes: 20_000 };
        vec![accepted(module, 1), LogRecord::Outcomes(vec![end(0, Outcome::Done, gone)]), ENDED]
    });
    assert!(matches!(&lacking, Gathered::Unfit(why) if why.contains("is not in the store")), "{lacking:?}");
    for (what, path, kind) in [
        ("a path that leads out", "../../etc/passwd", tar::EntryType::Regular),
        ("an absolute path", "/etc/passwd", tar::EntryType::Regular),
        ("a link", "link", tar::EntryType::Symlink),
    ] {
        let (_, found) = gathered(|_, module| {
            let ends = vec![with_files(0, b"", archive(path, kind, b""))];
            vec![accepted(module, 1), LogRecord::Outcomes(ends), ENDED]
        });
        assert!(matches!(&found, Gathered::Unfit(why) if why.contains("000000.out")), "{what}: {found:?}");
    }
    for (what, cut) in [("no archive", 100), ("an archive that is cut off in a file", 600)] {
        let (_, found) = gathered(|_, module| {
            let mut whole = archive("file", tar::EntryType::Regular, &[7; 2000]);
            whole.truncate(cut);
            vec![accepted(module, 1), LogRecord::Outcomes(vec![with_files(0, b"", whole)]), ENDED]
        });
        assert!(matches!(&found, Gathered::Unfit(_)), "{what}: {found:?}");
    }
}

/// A record of another kind, with this content, before a file.
fn with_record(kind: tar::EntryType, content: &[u8]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    header.set_cksum();
    tar.append(&header, content).unwrap();
    let mut all = tar.into_inner().unwrap();
    all.truncate(all.len() - 1024);
    [all, archive("file", tar::EntryType::Regular, b"x")].concat()
}

#[test]
fn a_long_path_is_taken_and_no_record_of_an_archive_is_trusted() {
    let of = |archive: Vec<u8>| {
        gathered(|_, module| {
            let ends = vec![with_files(0, b"", archive)];
            vec![accepted(module, 1), LogRecord::Outcomes(ends), ENDED]
        })
    };
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(200));
    let (place, found) = of(with_record(tar::EntryType::GNULongName, format!("{long}\0").as_bytes()));
    assert_eq!(files(&place, found).get(&format!("000000.out/{long}")), Some(&b"x".to_vec()));
    for (what, kind, content) in [
        ("a zero byte in a path", tar::EntryType::GNULongName, b"a\0b\0".to_vec()),
        ("a path that leads out", tar::EntryType::GNULongName, b"../x\0".to_vec()),
        ("a name that is too long", tar::EntryType::GNULongName, vec![b'n'; 256]),
        ("a path that is too long", tar::EntryType::GNULongName, vec![b'p'; 5000]),
        ("a header of another kind", tar::EntryType::XHeader, b"11 path=ab\n".to_vec()),
        ("the path of a link", tar::EntryType::GNULongLink, b"target\0".to_vec()),
    ] {
        let (_, found) = of(with_record(kind, &content));
        assert!(matches!(&found, Gathered::Unfit(why) if why.len() < 300), "{what}: {found:?}");
    }
}

#[test]
fn more_results_than_an_input_can_have_files_are_refused_and_not_taken_for_undone() {
    let (_, found) = gathered(|_, module| {
        let tasks = Limits::MAX.files + 1;
        let LogRecord::Accepted(first) = accepted(module, 0) else { panic!("it is the first record") };
        let first = LogRecord::Accepted(Box::new(Accepted { tasks, ..*first }));
        let inputs = |count: u32| LogRecord::Extended { inputs: vec![Payload::empty(); count as usize] };
        let ends = (0..tasks).collect::<Vec<_>>();
        let ends = ends
            .chunks(10_000)
            .map(|part| LogRecord::Outcomes(part.iter().map(|index| done(*index)).collect()));
        [first, inputs(tasks / 2), inputs(tasks - tasks / 2)].into_iter().chain(ends).chain([ENDED]).collect()
    });
    assert!(matches!(&found, Gathered::Unfit(why) if why.contains("100000")), "{found:?}");
}
