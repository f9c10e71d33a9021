//! Real nodes as processes of this machine, on loopback, driven by the command line as a user drives them: they meet,
//! run tasks, are killed, stopped, restarted, copied and shouted at. Here is the mesh of most of these tests.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may panic, and says what it measured"
)]

mod deaths;
mod starts;
mod strangers;
#[path = "../support/mod.rs"]
mod support;
mod work;

use std::time::Duration;

use support::{Host, Node, Proc, all_meet, assert_each_once, eventually, mesh_key};

/// Nodes that were told of each other have met after this.
const MEET: Duration = Duration::from_secs(5);
/// A map of some seconds' work has ended after this, whatever happened to its workers.
const JOB: Duration = Duration::from_secs(60);

/// A node without slots that hands out work, and workers with one slot each; all have met.
struct Mesh {
    owner: (Host, Node),
    workers: Vec<(Host, Node)>,
}

impl Mesh {
    #[track_caller]
    fn start(workers: usize) -> Self {
        let key = mesh_key();
        let host = Host::new(&key);
        let node = host.loopback_node(&["--slots", "0"]);
        let join = |_| {
            let host = Host::new(&key);
            let worker = host.loopback_node(&["--slots", "1", "--peer", &node.address]);
            (host, worker)
        };
        let workers: Vec<_> = (0..workers).map(join).collect();
        let mesh = Self { owner: (host, node), workers };
        all_meet(&mesh.members(), MEET);
        mesh
    }

    fn members(&self) -> Vec<(&Host, &Node)> {
        [&self.owner].into_iter().chain(&self.workers).map(|(host, node)| (host, node)).collect()
    }

    /// Starts a map of `count` tasks and waits until the first worker holds some of them and results flow.
    #[track_caller]
    fn map_under_way(&self, count: usize, task_ms: usize, flags: &[&str]) -> Proc {
        let host = &self.owner.0;
        let map = host.spin_map(&host.spin_file(count, task_ms), flags);
        let first = &self.workers[0].1.id;
        eventually(JOB, "results flow and the first worker holds tasks", || {
            (map.lines_out() > 2 && host.leased_to(first) > 0).then_some(())
        });
        map
    }

    /// No node runs, holds or reserves anything any more.
    #[track_caller]
    fn assert_idle(&self, deadline: Duration) {
        for (host, _) in &self.workers {
            eventually(deadline, "the worker has nothing to do", || {
                let status = host.json(&["status", "--json"]);
                let all = ["running", "waiting", "reserved", "undelivered"];
                all.iter().all(|name| status[name] == 0).then_some(())
            });
        }
    }

    /// Every task of the ended map was reported once, and the owner's books agree.
    #[track_caller]
    fn settle(&self, map: Proc, count: usize) {
        let ended = map.finish(JOB);
        eprintln!("{count} tasks took {:?}", ended.took);
        assert_each_once(&ended, count);
        assert_eq!(self.owner.0.counter("committed"), count as u64);
        assert_eq!(self.owner.0.counter("differing"), 0);
    }
}

fn memory_kib(pid: u32, field: &str) -> u64 {
    field_of(&std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap(), field)
}

fn field_of(status: &str, field: &str) -> u64 {
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
