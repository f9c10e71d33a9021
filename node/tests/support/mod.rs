//! Real `weft` processes for tests: a data directory each, their words collected as they come, nothing left behind.
//! It knows the command line only; what a node is made of is none of its business.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of it")]

mod process;
pub mod work;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

pub use process::{Ended, Proc};

/// How long a verb may take that has little to do. Generous: it ends a test that hangs, and measures nothing.
pub const VERB_DEADLINE: Duration = Duration::from_secs(60);
/// How long a node may take until it listens.
const START_DEADLINE: Duration = Duration::from_secs(30);
/// Between two looks at something that has no line to wait for.
const PAUSE: Duration = Duration::from_millis(20);

/// One test at a time: each starts several processes and has deadlines that are meant for an idle machine.
pub fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks until there is something to see, and returns it; panics when `deadline` passes first.
#[track_caller]
pub fn eventually<T>(deadline: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + deadline;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < until, "not within {deadline:?}: {what}");
        std::thread::sleep(PAUSE);
    }
}

/// A module of the repository.
pub fn module(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    root.join("wasm-tasks").join(format!("{name}.wasm")).display().to_string()
}

/// A mesh key in the form of its file. A new one for each mesh, so that tests can't meet.
pub fn mesh_key() -> String {
    let mut key = [0; 32];
    getrandom::fill(&mut key).unwrap();
    let mut text = String::new();
    key.iter().for_each(|byte| write!(text, "{byte:02x}").unwrap());
    text
}

/// Where a node lives: its data directory, and the network namespace that is its machine.
pub struct Host {
    dir: TempDir,
    netns: Option<String>,
}

impl Host {
    /// A host of this machine's own network that holds no mesh key.
    pub fn keyless() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), netns: None }
    }

    /// A host that holds this mesh key.
    pub fn new(key: &str) -> Self {
        let host = Self::keyless();
        host.write_key(key);
        host
    }

    /// A host in a namespace.
    pub fn inside(netns: &str, key: &str) -> Self {
        let host = Self::bare(netns);
        host.write_key(key);
        host
    }

    /// A host in a namespace that holds no mesh key.
    pub fn bare(netns: &str) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), netns: Some(netns.to_owned()) }
    }

    /// A host on a copy of this one's data directory, without the files of a running node.
    pub fn copied(&self) -> Self {
        let copy = Self { dir: tempfile::tempdir().unwrap(), netns: self.netns.clone() };
        for name in ["identity.key", "mesh.key"] {
            std::fs::copy(self.path(name), copy.path(name)).unwrap();
        }
        copy
    }

    /// A file of the data directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write_key(&self, key: &str) {
        std::fs::write(self.path("mesh.key"), format!("{key}\n")).unwrap();
    }

    /// A verb, not yet started. Nothing of the tester's own settings gets in.
    fn command(&self, args: &[&str]) -> Command {
        let weft = env!("CARGO_BIN_EXE_weft");
        let mut command = match &self.netns {
            Some(netns) => {
                // It turns into the verb, so that the process is the verb's.
                let mut ip = Command::new("ip");
                ip.args(["netns", "exec", netns, weft]);
                ip
            }
            None => Command::new(weft),
        };
        let ours = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WEFT_"));
        ours.for_each(|(name, _)| {
            command.env_remove(name);
        });
        command.arg("--data-dir").arg(self.dir.path()).args(args);
        command
    }

    /// Starts a verb and lets it run.
    pub fn spawn(&self, args: &[&str]) -> Proc {
        Proc::start(self.command(args), &args.join(" "), b"")
    }

    /// Starts a verb whose stdin is written as the test goes on.
    pub fn spawn_open(&self, args: &[&str]) -> (Proc, ChildStdin) {
        Proc::start_open(self.command(args), &args.join(" "))
    }

    /// Runs a verb to its end.
    #[track_caller]
    pub fn cli(&self, args: &[&str]) -> Ended {
        self.cli_with(args, b"")
    }

    /// Runs a verb to its end, with these bytes as its stdin.
    #[track_caller]
    pub fn cli_with(&self, args: &[&str], stdin: &[u8]) -> Ended {
        Proc::start(self.command(args), &args.join(" "), stdin).finish(VERB_DEADLINE)
    }

    /// What a verb that must succeed prints as JSON.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let ended = self.cli(args);
        assert_eq!(ended.code, Some(0), "weft {}: {}", args.join(" "), ended.stderr);
        serde_json::from_str(&ended.stdout).unwrap()
    }

    /// One counter of the running node.
    #[track_caller]
    pub fn counter(&self, name: &str) -> u64 {
        self.json(&["status", "--json"])["counters"][name].as_u64().unwrap()
    }

    /// Starts a node and waits until it listens.
    #[track_caller]
    pub fn node(&self, args: &[&str]) -> Node {
        let mut all = vec!["node"];
        all.extend(args);
        let process = self.spawn(&all);
        let listening = process.wait_for("listening on ", START_DEADLINE);
        let address = listening.rsplit(' ').next().unwrap().to_owned();
        let id = eventually(START_DEADLINE, "the API answers", || {
            let ended = self.cli(&["status", "--json"]);
            let status: Value = serde_json::from_str(&ended.stdout).ok()?;
            Some(status["peer"].as_str()?.to_owned())
        });
        Node { process, address, id }
    }

    /// Starts a node on loopback that finds no node by itself.
    #[track_caller]
    pub fn loopback_node(&self, args: &[&str]) -> Node {
        let mut all = vec!["--listen", "/ip4/127.0.0.1/tcp/0", "--no-mdns"];
        all.extend(args);
        self.node(&all)
    }

    /// Ids of the peers that the running node can speak to.
    #[track_caller]
    pub fn connected(&self) -> BTreeSet<String> {
        let peers = self.json(&["peers", "--json"]);
        let here = peers.as_array().unwrap().iter().filter(|peer| peer["connected"] == true);
        here.map(|peer| peer["peer"].as_str().unwrap().to_owned()).collect()
    }

    /// How many of this node's tasks a peer holds now.
    #[track_caller]
    pub fn leased_to(&self, peer: &str) -> u64 {
        let peers = self.json(&["peers", "--json"]);
        let found = peers.as_array().unwrap().iter().find(|entry| entry["peer"] == peer);
        found.map_or(0, |entry| entry["leased"].as_u64().unwrap())
    }

    /// Runs a small task on one node of the mesh, and waits for it.
    #[track_caller]
    pub fn runs_on(&self, peer: &str) {
        let ended = self.cli_with(
            &["run", &module("echo"), "--fn", "echo", "--need", &format!("node={peer}")],
            b"are you there",
        );
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "are you there"), "{}", ended.stderr);
    }

    /// A file of `count` lines for [`spin_map`], each a task of about `task_ms` milliseconds.
    ///
    /// [`spin_map`]: Self::spin_map
    pub fn spin_file(&self, count: usize, task_ms: usize) -> String {
        // Half a million steps take about a millisecond; the index makes every line another task.
        let lines: String = (0..count).map(|index| format!("{}\n", task_ms * 500_000 + index)).collect();
        let path = self.path("spin.txt");
        std::fs::write(&path, lines).unwrap();
        path.display().to_string()
    }

    /// Starts a map of the lines of [`spin_file`]; its results are to be checked with [`assert_each_once`].
    ///
    /// [`spin_file`]: Self::spin_file
    pub fn spin_map(&self, file: &str, flags: &[&str]) -> Proc {
        let spin = module("spin");
        let map = [&["map", &spin, "--fn", "spin", "--each-line", file, "--json"], flags].concat();
        self.spawn(&map)
    }
}

/// A running node.
pub struct Node {
    pub process: Proc,
    /// Where it listens, the first address that it told.
    pub address: String,
    /// Its id, 64 digits.
    pub id: String,
}

/// Waits until each of these nodes can speak to all others.
#[track_caller]
pub fn all_meet(members: &[(&Host, &Node)], deadline: Duration) {
    let ids: BTreeSet<String> = members.iter().map(|(_, node)| node.id.clone()).collect();
    let until = Instant::now() + deadline;
    for (host, node) in members {
        let others: BTreeSet<String> = ids.iter().filter(|id| **id != node.id).cloned().collect();
        let left = until.saturating_duration_since(Instant::now());
        eventually(left, &format!("{} sees all others", node.id), || {
            others.is_subset(&host.connected()).then_some(())
        });
    }
}

/// Every task of a map with `--json` is done and reported once, with the output that its input has.
#[track_caller]
pub fn assert_each_once(map: &Ended, count: usize) {
    assert_eq!(map.code, Some(0), "{}", map.stderr);
    let lines: Vec<Value> = map.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut indexes: Vec<u64> = lines.iter().map(|line| line["index"].as_u64().unwrap()).collect();
    indexes.sort_unstable();
    let expected: Vec<u64> = (0..count as u64).collect();
    assert_eq!(indexes, expected, "every task is reported once");
    assert!(lines.iter().all(|line| line["outcome"] == "done"), "{}", map.stdout);
    let outputs: BTreeSet<&str> = lines.iter().map(|line| line["output"].as_str().unwrap()).collect();
    assert_eq!(outputs.len(), count, "no task got another's output");
}
