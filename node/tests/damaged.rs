//! A node whose journal is not as it left it: changed, cut, older, newer, another node's, not to be written, held by another
//! program. Real processes: one sentence says what is wrong, what is safe is served, and the exit code says which kind it is.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may panic, and says what it saw"
)]

mod support;

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use support::{Ended, Host, Node, all_meet, module, turn};

/// Nodes that were told of each other have met after this.
const MEET: Duration = Duration::from_secs(20);
/// A node has said what it has to say, or has ended, after this.
const SOON: Duration = Duration::from_secs(60);

/// A node's journal, which is closed, with two jobs.
struct Kept {
    host: Host,
    /// The bytes of the node's id.
    peer: Vec<u8>,
    jobs: [String; 2],
}

impl Kept {
    #[track_caller]
    fn new() -> Self {
        let host = Host::keyless();
        let node = start(&host);
        let jobs = ["the first one", "the second one"].map(|input| submit(&host, input));
        let digits = node.id.clone();
        let peer =
            (0..32).map(|byte| u8::from_str_radix(&digits[2 * byte..2 * byte + 2], 16).unwrap()).collect();
        terminate(node);
        Self { host, peer, jobs }
    }

    /// The file, or what belongs to it.
    fn file(&self, name: &str) -> PathBuf {
        self.host.path("journal").join(name)
    }

    /// Starts a node that says this, and still runs what needs no journal.
    #[track_caller]
    fn start_hurt(&self, said: &str) -> Node {
        let node = start(&self.host);
        node.process.wait_for(said, SOON);
        let ended = self.host.cli_with(&["run", &module("echo"), "--fn", "echo"], b"weft");
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "weft"), "{}", ended.stderr);
        node
    }

    /// What a job printed, if its results can be read.
    #[track_caller]
    fn result(&self, job: usize) -> Result<String, Ended> {
        let ended = self.host.cli(&["results", self.jobs.get(job).unwrap()]);
        if ended.code == Some(0) { Ok(ended.stdout.trim_end().to_owned()) } else { Err(ended) }
    }

    /// That the list of jobs has this many at level `disk`, says why there may be more, and ends with that code.
    #[track_caller]
    fn assert_listed(&self, jobs: usize, why: &str, code: i32) {
        let listed = self.host.cli(&["jobs", "--json"]);
        let found: Vec<serde_json::Value> = serde_json::from_str(&listed.stdout).unwrap();
        let found = found.iter().filter(|job| job["level"] == "disk").count();
        assert_eq!((found, listed.code), (jobs, Some(code)), "{}", listed.stderr);
        assert!(listed.stderr.contains("may be missing") && listed.stderr.contains(why), "{}", listed.stderr);
        let table = self.host.cli(&["jobs"]);
        assert!(table.code == Some(code) && table.stderr.contains(why), "{}", table.stderr);
        assert!(!table.stderr.contains("make some"), "{}", table.stderr);
    }
}

#[track_caller]
fn start(host: &Host) -> Node {
    host.loopback_node(&["--slots", "1"])
}

/// A job at level `disk` that echoes its input, and has ended.
#[track_caller]
fn submit(host: &Host, input: &str) -> String {
    let ended =
        host.cli_with(&["submit", &module("echo"), "--fn", "echo", "--level", "disk"], input.as_bytes());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let job = ended.stdout.trim().to_owned();
    let waited = host.cli(&["wait", &job]);
    assert_eq!(waited.code, Some(0), "{}", waited.stderr);
    job
}

#[track_caller]
fn terminate(node: Node) {
    ends_with(node, 0, "stopped");
}

/// Ends a node; its code and its last line say what was wrong, and no line is there twice.
#[track_caller]
fn ends_with(node: Node, code: i32, last: &str) {
    node.process.terminate();
    let ended = node.process.finish(SOON);
    assert_eq!(ended.code, Some(code), "{}", ended.stderr);
    let said: Vec<&str> = ended.stderr.lines().collect();
    assert!(said.last().is_some_and(|line| line.contains(last)), "{}", ended.stderr);
    let starts = said.iter().filter(|line| line.contains(last) && line.contains("journal")).count();
    assert!(starts <= 2, "at its start and at its end, and no more: {}", ended.stderr);
}

/// Changes the first place in a file that has these bytes.
#[track_caller]
fn change(file: &Path, bytes: &[u8]) {
    let all = fs::read(file).unwrap();
    let place = all.windows(bytes.len()).position(|window| window == bytes).expect("it is there");
    write_at(file, place as u64, &[bytes.first().unwrap() ^ 1]);
}

#[track_caller]
fn write_at(file: &Path, place: u64, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new().write(true).open(file).unwrap();
    file.seek(SeekFrom::Start(place)).unwrap();
    file.write_all(bytes).unwrap();
}

#[track_caller]
fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_changed_byte_costs_one_job_its_results_and_no_other() {
    let _turn = turn();
    let kept = Kept::new();
    let all = fs::read(kept.file("journal.db")).unwrap();
    // Each place: the input is in one record, and the output, which is the same, in another.
    let input = b"the first one";
    let places = all.windows(input.len()).filter(|window| window == input).count();
    (0..places).for_each(|_| change(&kept.file("journal.db"), input));
    let node = start(&kept.host);
    assert_eq!(kept.result(1).map_err(|ended| ended.stderr), Ok(String::from("the second one")));
    let refused = kept.result(0).unwrap_err();
    assert!(refused.stderr.contains("the journal can't give the records of job"), "{}", refused.stderr);
    ends_with(node, 5, "can't give the records of job");
}

#[test]
fn a_file_that_was_cut_is_rebuilt_from_what_is_left() {
    let _turn = turn();
    let kept = Kept::new();
    let file = fs::OpenOptions::new().write(true).open(kept.file("journal.db")).unwrap();
    let bytes = file.metadata().unwrap().len();
    file.set_len(bytes - 4096).unwrap();
    let node = kept.start_hurt("the journal's file was damaged");
    assert!(kept.file("journal.damaged").exists());
    ends_with(node, 5, "the journal's file was damaged");
    terminate(start(&kept.host));
}

#[test]
fn a_log_that_was_cut_after_a_kill_is_noticed() {
    let _turn = turn();
    let kept = Kept::new();
    let mut node = start(&kept.host);
    submit(&kept.host, "the third one");
    node.process.kill9();
    let log = fs::OpenOptions::new().write(true).open(kept.file("journal.db-wal")).unwrap();
    let bytes = log.metadata().unwrap().len();
    log.set_len(bytes - 4096).unwrap();
    let said = "the end of the journal's write-ahead log was cut off";
    let node = kept.start_hurt(said);
    for (job, output) in ["the first one", "the second one"].into_iter().enumerate() {
        assert_eq!(kept.result(job).map_err(|ended| ended.stderr), Ok(String::from(output)));
    }
    let listed = kept.host.cli(&["jobs"]);
    assert!(listed.stderr.contains("may be missing") && listed.stderr.contains(said), "{}", listed.stderr);
    ends_with(node, 5, said);
}

#[test]
fn a_copy_of_yesterday_is_known_as_one_and_served() {
    let _turn = turn();
    let kept = Kept::new();
    let yesterday = kept.host.path("yesterday");
    copy_dir(&kept.host.path("journal"), &yesterday);
    let node = start(&kept.host);
    let third = submit(&kept.host, "the third one");
    terminate(node);
    // All of it, with its own mark.
    fs::remove_dir_all(kept.host.path("journal")).unwrap();
    copy_dir(&yesterday, &kept.host.path("journal"));
    let said = "the journal is an older copy";
    let node = kept.start_hurt(said);
    assert_eq!(kept.result(0).map_err(|ended| ended.stderr), Ok(String::from("the first one")));
    kept.assert_listed(2, said, 0);
    let unknown = kept.host.cli(&["results", &third]);
    assert!(unknown.code != Some(0) && unknown.stderr.contains("no job"), "{}", unknown.stderr);
    ends_with(node, 5, said);
    terminate(start(&kept.host));
}

#[test]
fn a_journal_of_a_newer_weft_is_left_as_it_is() {
    let _turn = turn();
    let kept = Kept::new();
    // What it says of itself begins in a way that this version can't read; the header has the number.
    change(&kept.file("journal.db"), &kept.peer);
    write_at(&kept.file("journal.db"), 60, &9_u32.to_be_bytes());
    let before = fs::read(kept.file("journal.db")).unwrap();
    let said = "has format 9, and this version of weft knows formats up to 1";
    let node = kept.start_hurt(said);
    kept.assert_listed(0, said, 1);
    assert!(kept.result(0).unwrap_err().stderr.contains(said));
    ends_with(node, 3, said);
    assert_eq!(fs::read(kept.file("journal.db")).unwrap(), before);
}

#[test]
fn a_journal_that_another_process_has_is_in_use() {
    let _turn = turn();
    let kept = Kept::new();
    let other = fs::File::open(kept.file("journal.lock")).unwrap();
    other.lock().unwrap();
    let refused = kept.host.cli(&["node", "--listen", "/ip4/127.0.0.1/tcp/0", "--no-mdns"]);
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("is in use by another process"), "{}", refused.stderr);
    drop(other);
    let node = start(&kept.host);
    assert_eq!(kept.result(1).map_err(|ended| ended.stderr), Ok(String::from("the second one")));
    terminate(node);
}

/// A directory that must not be written until this goes.
struct ReadOnly(PathBuf);

impl ReadOnly {
    /// None where this user may not mount.
    fn mount(dir: PathBuf) -> Option<Self> {
        let mount = |args: &[&str]| {
            Command::new("mount").args(args).arg(&dir).status().is_ok_and(|status| status.success())
        };
        let source = dir.display().to_string();
        if !mount(&["--bind", &source]) {
            eprintln!("nothing can be mounted: nothing is shown");
            return None;
        }
        let is_read_only = mount(&["-o", "remount,bind,ro"]);
        let mounted = Self(dir);
        assert!(is_read_only, "what could be mounted can be mounted read-only");
        Some(mounted)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let Self(dir) = self;
        let _unmounted = Command::new("umount").arg("-l").arg(dir).status();
    }
}

#[test]
fn a_journal_on_a_disk_that_must_not_be_written_is_named() {
    let _turn = turn();
    let kept = Kept::new();
    let Some(mounted) = ReadOnly::mount(kept.host.path("journal")) else { return };
    let node = kept.start_hurt("cannot");
    kept.assert_listed(0, "can't be opened", 1);
    ends_with(node, 3, "can't be opened");
    drop(mounted);
    let node = start(&kept.host);
    assert_eq!(kept.result(0).map_err(|ended| ended.stderr), Ok(String::from("the first one")));
    terminate(node);
}

#[test]
fn a_journal_of_another_node_is_left_as_it_is() {
    let _turn = turn();
    let (first, second) = (Host::keyless(), Host::keyless());
    terminate(start(&first));
    terminate(start(&second));
    let from = first.path("journal").join("journal.db");
    fs::copy(from, second.path("journal").join("journal.db")).unwrap();
    let before = fs::read(second.path("journal").join("journal.db")).unwrap();
    let node = second.loopback_node(&["--slots", "1"]);
    let said = "is the journal of node";
    node.process.wait_for(said, SOON);
    let status = second.json(&["status", "--json"]);
    assert!(status["journal"]["failure"].as_str().unwrap().contains(said), "{status}");
    let ended = second.cli_with(&["run", &module("echo"), "--fn", "echo"], b"weft");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "weft"), "{}", ended.stderr);
    let refused = second.cli_with(&["submit", &module("echo"), "--fn", "echo"], b"weft");
    assert_ne!(refused.code, Some(0));
    assert!(refused.stderr.contains("can't keep jobs on its disk"), "{}", refused.stderr);
    let says_why = |verb: &str| {
        let unknown = second.cli(&[verb, "a7c372edeab46585"]);
        assert_ne!(unknown.code, Some(0));
        assert!(unknown.stderr.contains("no job a7c372edeab46585"), "{verb}: {}", unknown.stderr);
        assert!(unknown.stderr.contains(said), "{verb}: {}", unknown.stderr);
    };
    ["results", "wait", "attach", "why", "cancel", "retry", "forget"].into_iter().for_each(says_why);
    // Another node is asked first, and does not know the job either.
    let third = Host::keyless();
    let other = third.loopback_node(&["--slots", "0", "--peer", &node.address]);
    all_meet(&[(&second, &node), (&third, &other)], MEET);
    says_why("results");
    node.process.terminate();
    let ended = node.process.finish(SOON);
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(ended.stderr.lines().last().unwrap().contains(said), "{}", ended.stderr);
    assert_eq!(fs::read(second.path("journal").join("journal.db")).unwrap(), before, "it is left as it was");
}

#[test]
fn a_node_whose_journal_lost_its_jobs_serves_and_ends_with_a_code_of_its_own() {
    let _turn = turn();
    let host = Host::keyless();
    let node = host.loopback_node(&["--slots", "1"]);
    let ended = host.cli_with(&["submit", &module("echo"), "--fn", "echo"], b"weft");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    terminate(node);
    // Its mark, too, as if a disk of its own were not mounted.
    fs::remove_dir_all(host.path("journal")).unwrap();
    let node = host.loopback_node(&["--slots", "1"]);
    node.process.wait_for("the journal that this node had is gone", SOON);
    let store = || host.json(&["status", "--json"])["store"].clone();
    let found = store();
    let aside = found["aside_bytes"].as_u64().unwrap();
    assert!(aside > 0 && found["bytes"] == 0, "a backup of the journal may need all of it: {found}");
    let ended = host.cli_with(&["run", &module("echo"), "--fn", "echo"], b"weft");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "weft"), "{}", ended.stderr);
    node.process.terminate();
    let ended = node.process.finish(SOON);
    assert_eq!(ended.code, Some(5), "{}", ended.stderr);
    assert!(
        ended.stderr.lines().last().unwrap().contains("the journal that this node had is gone"),
        "{}",
        ended.stderr
    );
    terminate(host.loopback_node(&["--slots", "1"]));
}
