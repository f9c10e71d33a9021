//! Jobs at level `disk` outlive their node: real processes, killed and started again in the middle of their work. Every
//! accepted job ends, each of its results is there once, and it is the right one.
//!
//! `WEFT_SURVIVE_KILLS` is the number of kills of the long test, for a run by hand; 10 if it is not set.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may panic, and says what it saw"
)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use support::work::{Work, assert_results, spin};
use support::{Ended, Host, Node, all_meet, eventually, mesh_key, module, turn};

/// Nodes that were told of each other have met after this.
const MEET: Duration = Duration::from_secs(20);
/// A job of some seconds' work has got on after this, whatever happened to its nodes.
const JOB: Duration = Duration::from_secs(120);
/// Kills of the long test.
const KILLS: usize = 10;

/// An owner with one slot and a worker with one slot, and all jobs that were accepted.
struct Mesh {
    owner: Host,
    worker: Host,
    nodes: Option<(Node, Node)>,
    jobs: BTreeMap<String, Work>,
}

impl Mesh {
    #[track_caller]
    fn start() -> Self {
        Self::on(Host::keyless())
    }

    #[track_caller]
    fn on(owner: Host) -> Self {
        let key = mesh_key();
        fs::write(owner.path("mesh.key"), format!("{key}\n")).unwrap();
        let worker = Host::new(&key);
        let first = owner.loopback_node(&["--slots", "1"]);
        let second = worker.loopback_node(&["--slots", "1", "--peer", &first.address]);
        all_meet(&[(&owner, &first), (&worker, &second)], MEET);
        Self { owner, worker, nodes: Some((first, second)), jobs: BTreeMap::new() }
    }

    fn try_submit(&self, work: &Work) -> Ended {
        let path = self.owner.path("lines.txt");
        fs::write(&path, &work.lines).unwrap();
        let file = path.display().to_string();
        self.owner.cli(&["submit", &module("spin"), "--fn", "spin", "--each-line", &file, "--level", "disk"])
    }

    /// Submits a job, which is accepted when this returns.
    #[track_caller]
    fn submit(&mut self, work: Work) -> String {
        let ended = self.try_submit(&work);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let job = ended.stdout.trim().to_owned();
        self.jobs.insert(job.clone(), work);
        job
    }

    /// Tasks of a job that have ended, and whether it has.
    #[track_caller]
    fn progress(&self, job: &str) -> (u64, bool) {
        let jobs = self.owner.json(&["jobs", "--all", "--json"]);
        let found = jobs.as_array().unwrap().iter().find(|found| found["job"] == job).expect("it is known");
        let count = |name: &str| found[name].as_u64().unwrap();
        (count("done") + count("failed"), !["waiting", "running"].contains(&found["state"].as_str().unwrap()))
    }

    /// Waits until more tasks of a job have ended than before.
    #[track_caller]
    fn wait_for_progress(&self, job: &str, before: u64) -> (u64, bool) {
        eventually(JOB, "the job gets on", || {
            let (ended, is_over) = self.progress(job);
            (ended > before || is_over).then_some((ended, is_over))
        })
    }

    /// Ends the owner with this act and starts it again.
    #[track_caller]
    fn restart_owner(&mut self, end: impl FnOnce(Node)) {
        let (owner, worker) = self.nodes.take().unwrap();
        end(owner);
        let owner = self.owner.loopback_node(&["--slots", "1", "--peer", &worker.address]);
        self.nodes = Some((owner, worker));
    }

    #[track_caller]
    fn restart_worker(&mut self, end: impl FnOnce(Node)) {
        let (owner, worker) = self.nodes.take().unwrap();
        end(worker);
        let worker = self.worker.loopback_node(&["--slots", "1", "--peer", &owner.address]);
        self.nodes = Some((owner, worker));
    }

    /// Every result of every job is there once, and right.
    #[track_caller]
    fn assert_results(&self) {
        for (job, work) in &self.jobs {
            let ended = self.owner.cli(&["results", job, "--json"]);
            assert_results(job, work, &ended);
        }
    }
}

fn kill9(mut node: Node) {
    node.process.kill9();
}

/// Ends a node as a service manager does. It closes its journal, and says what goes on later.
#[track_caller]
fn terminate(node: Node) {
    node.process.terminate();
    let ended = node.process.finish(JOB);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn a_job_on_disk_goes_on_by_itself_after_its_node_was_killed() {
    let _turn = turn();
    let mut mesh = Mesh::start();
    let job = mesh.submit(Work::mixed(120));
    let (ended, _) = mesh.wait_for_progress(&job, 10);
    mesh.restart_owner(kill9);
    let (kept, _) = mesh.progress(&job);
    assert!(kept >= ended, "{ended} results were told, and {kept} are known after the restart");
    let (_, is_over) = mesh.wait_for_progress(&job, kept);
    assert!(!is_over, "it was killed in the middle");
    eventually(JOB, "the job ends", || mesh.progress(&job).1.then_some(()));
    mesh.assert_results();
    // To the end of its node, and longer.
    mesh.restart_owner(kill9);
    mesh.assert_results();
    mesh.assert_results();
}

#[test]
fn a_job_on_disk_goes_on_after_its_node_was_stopped() {
    let _turn = turn();
    let mut mesh = Mesh::start();
    let job = mesh.submit(Work::mixed(100));
    mesh.wait_for_progress(&job, 5);
    mesh.restart_owner(|node| {
        node.process.terminate();
        let ended = node.process.finish(JOB);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(ended.stderr.contains("1 unfinished job on disk goes on"), "{}", ended.stderr);
    });
    eventually(JOB, "the job ends", || mesh.progress(&job).1.then_some(()));
    mesh.assert_results();
}

#[test]
fn what_another_node_runs_goes_on_when_the_owner_was_killed() {
    const STEPS: u64 = 1_500_000_000;
    let _turn = turn();
    let mut mesh = Mesh::start();
    // One of two long tasks runs at each node.
    let outputs = [STEPS, STEPS + 1].map(|steps| Some(spin(steps))).to_vec();
    let job = mesh.submit(Work { lines: format!("{STEPS}\n{}\n", STEPS + 1), outputs, otherwise: "failed" });
    eventually(JOB, "both tasks run", || {
        let jobs = mesh.owner.json(&["jobs", "--all", "--json"]);
        let found = jobs.as_array().unwrap().iter().find(|found| found["job"] == job).expect("it is known");
        (found["leased"] == 2).then_some(())
    });
    mesh.restart_owner(kill9);
    eventually(JOB, "the job ends", || mesh.progress(&job).1.then_some(()));
    mesh.assert_results();
    assert_eq!(mesh.owner.counter("adopted"), 1, "the worker's task went on");
    assert_eq!(mesh.worker.counter("lost"), 0);
}

#[test]
fn whatever_is_killed_and_when_each_result_is_there_once() {
    let _turn = turn();
    let kills = weft_node::settings::environment("WEFT_SURVIVE_KILLS")
        .and_then(|text| text.parse().ok())
        .unwrap_or(KILLS);
    let mut mesh = Mesh::start();
    let mut job = mesh.submit(Work::mixed(150));
    let mut seen = 0;
    for kill in 0..kills {
        match kill % 4 {
            // Right after it was accepted, or wherever it is.
            0 | 2 => mesh.restart_owner(kill9),
            1 => mesh.restart_worker(kill9),
            _ => mesh.restart_owner(terminate),
        }
        let (ended, is_over) = mesh.wait_for_progress(&job, seen);
        eprintln!("kill {kill}: {ended} tasks of job {job} have ended");
        seen = ended;
        if is_over {
            job = mesh.submit(Work::mixed(150));
            seen = 0;
        }
    }
    for job in mesh.jobs.keys().cloned().collect::<Vec<_>>() {
        eventually(JOB, "the job ends", || mesh.progress(&job).1.then_some(()));
    }
    mesh.restart_owner(kill9);
    mesh.assert_results();
}

#[test]
fn long_inputs_and_outputs_survive_too() {
    let _turn = turn();
    let mut mesh = Mesh::start();
    let host = &mesh.owner;
    let texts: Vec<String> = (0..6_u32).map(|file| format!("{file} weft\n").repeat(20_000)).collect();
    let mut files = Vec::new();
    for (file, text) in texts.iter().enumerate() {
        let path = host.path(&format!("long-{file}"));
        fs::write(&path, text).unwrap();
        files.push(path.display().to_string());
    }
    let echo = module("echo");
    let mut submit = vec!["submit", &echo, "--fn", "upper", "--level", "disk", "--each-file"];
    submit.extend(files.iter().map(String::as_str));
    let ended = host.cli(&submit);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let job = ended.stdout.trim().to_owned();
    mesh.restart_owner(kill9);
    eventually(JOB, "the job ends", || mesh.progress(&job).1.then_some(()));
    mesh.restart_owner(kill9);
    let out = mesh.owner.path("out");
    let ended = mesh.owner.cli(&["results", &job, "--out", &out.display().to_string()]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let mut left: Vec<String> = texts.iter().map(|text| text.to_uppercase()).collect();
    for entry in fs::read_dir(&out).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let at = left.iter().position(|expected| *expected == text).expect("an output that is right, once");
        left.remove(at);
    }
    assert_eq!(left.len(), 0);
}

#[test]
fn what_failed_runs_again_when_it_is_asked_for_and_what_is_forgotten_stays_so() {
    let _turn = turn();
    let mut mesh = Mesh::start();
    let job = mesh.submit(Work::mixed(60));
    eventually(JOB, "the job ends", || mesh.progress(&job).1.then_some(()));
    mesh.restart_owner(kill9);
    let ended = mesh.owner.cli(&["retry", &job]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    mesh.restart_owner(kill9);
    eventually(JOB, "the job ends again", || mesh.progress(&job).1.then_some(()));
    // What can't succeed failed again, and has one result all the same.
    mesh.assert_results();

    let ended = mesh.owner.cli(&["forget", &job]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let is_gone = |mesh: &Mesh| mesh.owner.cli(&["results", &job]).stderr.contains("no job");
    eventually(JOB, "the job is gone", || is_gone(&mesh).then_some(()));
    mesh.restart_owner(kill9);
    assert!(is_gone(&mesh), "and stays so");
}

#[test]
fn results_that_are_not_read_are_forgotten_and_that_is_said() {
    let _turn = turn();
    let host = Host::keyless();
    let node = host.loopback_node(&["--slots", "1", "--keep-results", "2s"]);
    let ended = host.cli_with(&["submit", &module("echo"), "--fn", "echo", "--level", "disk"], b"weft");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let job = ended.stdout.trim();
    assert_eq!(host.cli(&["wait", job]).code, Some(0));
    node.process.wait_for(&format!("job {job} is forgotten: its results were not read for 2 s"), JOB);
    let jobs = || host.json(&["jobs", "--all", "--json"]);
    eventually(JOB, "it is gone", || jobs().as_array().unwrap().is_empty().then_some(()));
    assert_eq!(
        host.json(&["status", "--json"])["store"]["pinned_bytes"],
        0,
        "its module is wanted no longer"
    );
}

/// As all users are advised who copied a data directory.
#[test]
fn a_node_whose_identity_was_deleted_starts_with_a_new_one_and_keeps_the_former_ones_jobs_aside() {
    let _turn = turn();
    let host = Host::keyless();
    let node = host.loopback_node(&["--slots", "1"]);
    let peer = || host.json(&["status", "--json"])["peer"].as_str().unwrap().to_owned();
    let former = peer();
    let ended = host.cli_with(&["submit", &module("echo"), "--fn", "echo"], b"weft");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    terminate(node);
    fs::remove_file(host.path("identity.key")).unwrap();
    let node = host.loopback_node(&["--slots", "1"]);
    assert_ne!(peer(), former);
    assert!(host.json(&["jobs", "--all", "--json"]).as_array().unwrap().is_empty());
    assert!(host.path("journal.former").join("journal.db").exists());
    terminate(node);
}

/// A small disk of its own below a directory, that can be filled.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None where this user may not mount.
    fn mount(dir: PathBuf, bytes: u64) -> Option<Self> {
        fs::create_dir_all(&dir).unwrap();
        let size = format!("size={bytes},mode=700");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&dir).status();
        if mount.is_ok_and(|status| status.success()) {
            return Some(Self(dir));
        }
        eprintln!("no disk can be mounted: nothing is shown");
        None
    }

    /// Leaves at most that much room.
    fn fill(&self, left: u64) {
        let path = self.0.join("others");
        let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        loop {
            let found = rustix::fs::statvfs(&self.0).unwrap();
            let free = found.f_bavail * found.f_frsize;
            let more = free.saturating_sub(left).min(1 << 20);
            if more == 0 || file.write_all(&vec![0; usize::try_from(more).unwrap()]).is_err() {
                return;
            }
        }
    }

    fn empty(&self) {
        fs::remove_file(self.0.join("others")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_refuses_new_jobs_first_and_then_ends_the_node_with_a_code_of_its_own() {
    let _turn = turn();
    let host = Host::keyless();
    let Some(disk) = SmallDisk::mount(host.path("journal"), 160 << 20) else { return };
    let mut mesh = Mesh::on(host);
    let job = mesh.submit(Work::mixed(400));
    mesh.wait_for_progress(&job, 0);

    disk.fill(50 << 20);
    let refused = mesh.try_submit(&Work::mixed(1));
    assert_ne!(refused.code, Some(0));
    assert!(refused.stderr.contains("too little room"), "{}", refused.stderr);
    let in_memory = mesh.owner.cli_with(&["run", &module("echo"), "--fn", "echo"], b"weft");
    assert_eq!((in_memory.code, in_memory.stdout.as_str()), (Some(0), "weft"), "{}", in_memory.stderr);
    let (ended, _) = mesh.progress(&job);
    let (_, is_over) = mesh.wait_for_progress(&job, ended);
    assert!(!is_over, "it is in the middle");

    // What was set aside is used up first.
    let (mut owner, worker) = mesh.nodes.take().unwrap();
    eventually(JOB, "the node ends", || {
        disk.fill(0);
        (!owner.process.is_running()).then_some(())
    });
    let ended = owner.process.finish(JOB);
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    assert!(ended.stderr.contains("the journal failed and takes no more records"), "{}", ended.stderr);
    assert!(ended.stderr.contains("new jobs at level disk and mesh are refused"), "{}", ended.stderr);

    disk.empty();
    let owner = mesh.owner.loopback_node(&["--slots", "1", "--peer", &worker.address]);
    mesh.nodes = Some((owner, worker));
    eventually(JOB, "the job ends", || mesh.progress(&job).1.then_some(()));
    mesh.assert_results();
}

#[test]
fn blobs_that_nothing_needs_make_room_for_a_job_that_is_kept() {
    let _turn = turn();
    let host = Host::keyless();
    let Some(disk) = SmallDisk::mount(host.path(""), 200 << 20) else { return };
    let node = host.loopback_node(&["--slots", "1"]);
    let ended = host.cli_with(&["run", &module("echo"), "--fn", "echo"], &vec![7; 8 << 20]);
    assert_eq!((ended.code, ended.stdout.len()), (Some(0), 8 << 20), "{}", ended.stderr);
    let store = || host.json(&["status", "--json"])["store"].clone();
    let is_needed = |store: &serde_json::Value| store["pinned_bytes"].as_u64().unwrap() >= 8 << 20;
    eventually(JOB, "the job's blobs are needed no longer", || (!is_needed(&store())).then_some(()));
    let before = store()["bytes"].as_u64();
    disk.fill(62 << 20);
    let ended = host.cli_with(&["submit", &module("echo"), "--fn", "echo"], b"weft");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(store()["bytes"].as_u64() < before, "{before:?}: {}", store());
    terminate(node);
}

#[test]
fn a_map_whose_inputs_and_outputs_are_more_than_the_store_holds_has_each_result() {
    let _turn = turn();
    let host = Host::keyless();
    let node = host.loopback_node(&["--slots", "4", "--store", "16MiB"]);
    fs::create_dir(host.path("in")).unwrap();
    let inputs: Vec<PathBuf> = (0..40).map(|number| host.path("in").join(format!("{number}"))).collect();
    for (number, path) in inputs.iter().enumerate() {
        fs::write(path, format!("input {number:02}, ").repeat(100_000)).unwrap();
    }
    let (echo, out) = (module("echo"), host.path("out"));
    let mut args = vec!["map", &echo, "--fn", "upper", "--out", out.to_str().unwrap(), "--each-file"];
    args.extend(inputs.iter().map(|path| path.to_str().unwrap()));
    let ended = host.spawn(&args).finish(JOB);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for (number, path) in inputs.iter().enumerate() {
        let output = fs::read(out.join(path.file_name().unwrap())).unwrap();
        assert!(output == format!("INPUT {number:02}, ").repeat(100_000).into_bytes(), "{number}");
    }
    let store = host.json(&["status", "--json"])["store"].clone();
    assert!(store["pinned_bytes"] == 0 && store["bytes"].as_u64() <= Some(16 << 20), "{store}");
    terminate(node);
}

#[test]
fn a_submission_that_waits_for_room_in_the_store_says_so() {
    let _turn = turn();
    let host = Host::keyless();
    // Without slots the job does not end, and its inputs stay.
    let node = host.loopback_node(&["--slots", "0", "--store", "16MiB"]);
    let submit = |name: &str, bytes: usize| {
        fs::write(host.path(name), vec![name.as_bytes()[0]; bytes]).unwrap();
        host.spawn(&[
            "submit",
            &module("echo"),
            "--fn",
            "echo",
            "--each-file",
            host.path(name).to_str().unwrap(),
        ])
    };
    let first = submit("first", 13 << 20).finish(JOB);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    let second = submit("second", 1 << 20);
    second.wait_for("the node's store is full: ", JOB);
    let forgot = ["cancel", "forget"].map(|verb| host.cli(&[verb, first.stdout.trim()]));
    assert!(forgot.iter().all(|ended| ended.code == Some(0)), "{forgot:?}");
    let second = second.finish(JOB);
    assert_eq!(second.code, Some(0), "{}", second.stderr);
    terminate(node);
}
