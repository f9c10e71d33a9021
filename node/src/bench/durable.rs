//! Rows of jobs that are kept: what the disk costs next to the same work in memory, how long a job takes to be accepted at each
//! level, and how long a node with a large job takes to start again. Part of [`Bench`], in a file of its own for its theme.
//!
//! A level whose word to the client waits for something has that as its floor, measured in the same round.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use weft_client::{Level, Task};

use super::link;
use super::local::LocalMesh;
use super::report::{Better, Rounds, Row, percentile};
use super::rows::{Bench, NOOP_WASM, micros, missing, per_second};
use super::{BenchError, blocking};

/// What one group commit writes at least, in bytes: a page.
const PAGE_BYTES: usize = 4096;
/// Tasks that are handed in before the node is started again.
const RESTART_TASKS: usize = 1_000_000;
/// A label that no node has: such tasks wait.
const NOWHERE: (&str, &str) = ("weft-bench", "nowhere");

/// What a client that hands in a job waits for at a level.
#[derive(Clone, Copy, Debug)]
struct Accepting {
    level: Level,
    what: [&'static str; 2],
    floor: &'static str,
}

/// Nodes that keep a job at level `mesh`.
pub(super) const KEEPERS: usize = 3;

/// Levels and their floors.
const ACCEPTING: [Accepting; 3] = [
    Accepting {
        level: Level::Memory,
        what: ["a job is accepted at memory, p50", "a job is accepted at memory, p99"],
        floor: "an HTTP round trip",
    },
    Accepting {
        level: Level::Disk,
        what: ["a job is accepted at disk, p50", "a job is accepted at disk, p99"],
        floor: "a bare write and fsync",
    },
    Accepting {
        level: Level::Mesh,
        what: ["a job is accepted at mesh, p50", "a job is accepted at mesh, p99"],
        floor: "raw link round trip",
    },
];

/// Levels of which a row says what they cost.
const KEPT_NOOPS: [(Level, &str); 2] = [
    (Level::Disk, "no-op tasks at disk, one node"),
    (Level::Mesh, "no-op tasks at mesh, one node, kept by three"),
];

impl Bench<'_> {
    /// All of them, in order.
    pub(super) async fn durable(&mut self, mesh: &LocalMesh) -> Result<Vec<Row>, BenchError> {
        let near = Task::function(NOOP_WASM, "noop").need("node", &self.near);
        let mut rows = Vec::new();
        let can_keep = |level: Level| level != Level::Mesh || mesh.slots().len() >= KEEPERS;
        for (level, what) in KEPT_NOOPS.into_iter().filter(|(level, _)| can_keep(*level)) {
            rows.push(self.kept_noops(&near, level, what).await?);
        }
        for accepting in ACCEPTING.into_iter().filter(|accepting| can_keep(accepting.level)) {
            rows.extend(self.acceptance(accepting, &near, mesh.dir()).await?);
        }
        rows.push(self.restart().await?);
        Ok(rows)
    }

    /// Many tasks that do nothing, each result on as many disks as its level promises before it is told; next to the same in
    /// memory.
    async fn kept_noops(&mut self, near: &Task, level: Level, what: &'static str) -> Result<Row, BenchError> {
        (self.tell)(what);
        let kept = near.clone().level(level);
        let count = self.sizes.noops;
        for task in [near, &kept] {
            let warm_up = self.sixteens(count / 10);
            self.map(task, warm_up).await?;
        }
        let mut rounds = Rounds::default();
        for _ in 0..self.sizes.rounds {
            let inputs = self.sixteens(count);
            let floor = self.map(near, inputs).await?;
            let inputs = self.sixteens(count);
            let took = self.map(&kept, inputs).await?;
            rounds.add(per_second(count, took), Some(per_second(count, floor)));
        }
        Ok(rounds.row(what, "tasks/s", Better::Higher, "the same at memory"))
    }

    /// From the call to the job's id, one job of one task after another.
    async fn acceptance(
        &mut self,
        accepting: Accepting,
        near: &Task,
        dir: &Path,
    ) -> Result<[Row; 2], BenchError> {
        let Accepting { level, what: [what_p50, what_p99], floor } = accepting;
        (self.tell)(what_p50);
        let task = near.clone().level(level);
        let calls = self.sizes.jobs;
        let (mut p50, mut p99) = (Rounds::default(), Rounds::default());
        for _ in 0..self.sizes.rounds {
            let floors = match level {
                Level::Memory => {
                    let module = self.client.put_blob(NOOP_WASM).await?.id;
                    self.round_trips(&module, calls).await?
                }
                Level::Disk => {
                    let dir = dir.to_owned();
                    blocking(move || bare_fsyncs(&dir, calls)).await?
                }
                Level::Mesh => blocking(move || link::round_trips(calls)).await?,
            };
            let mut took = Vec::with_capacity(calls);
            for input in self.sixteens(calls) {
                let started = Instant::now();
                let job = self.client.submit(&task, [input]).await?;
                took.push(micros(started));
                if job.wait().await?.done != 1 {
                    return Err(missing());
                }
            }
            p50.add(percentile(&took, 50), Some(percentile(&floors, 50)));
            p99.add(percentile(&took, 99), Some(percentile(&floors, 99)));
        }
        let row = |rounds: &Rounds, what| rounds.row(what, "us", Better::Lower, floor);
        Ok([row(&p50, what_p50), row(&p99, what_p99)])
    }

    /// From the kill of a node with a large job that waits to its answer that it knows all of its tasks; next to the same
    /// without the job. The node is one of its own.
    async fn restart(&mut self) -> Result<Row, BenchError> {
        const WHAT: &str = "a node with 1,000,000 kept tasks starts again";
        (self.tell)(WHAT);
        let mut mesh = LocalMesh::start(1, 1).await?;
        let mut floors = Vec::new();
        for _ in 0..self.sizes.long_rounds {
            floors.push(mesh.restart().await?);
        }
        let client = mesh.client().ok_or_else(missing)?;
        let task = Task::function(NOOP_WASM, "noop").need(NOWHERE.0, NOWHERE.1).level(Level::Disk);
        let job = client.submit(&task, self.sixteens(RESTART_TASKS)).await?.id().to_owned();
        let mut rounds = Rounds::default();
        for floor in floors {
            let took = mesh.restart().await?;
            let client = mesh.client().ok_or_else(missing)?;
            if usize::try_from(client.job(&job).await?.tasks) != Ok(RESTART_TASKS) {
                return Err(missing());
            }
            rounds.add(took.as_secs_f64() * 1e3, Some(floor.as_secs_f64() * 1e3));
        }
        Ok(rounds.row(WHAT, "ms", Better::Lower, "the same without a job"))
    }
}

/// Microseconds of each write of a page and its way to the disk, in a file of that directory.
fn bare_fsyncs(dir: &Path, count: usize) -> Result<Vec<f64>, BenchError> {
    let path = dir.join("fsync");
    let mut file = File::create(&path)?;
    let mut took = Vec::with_capacity(count);
    for _ in 0..count {
        let started = Instant::now();
        file.write_all(&[0x5a; PAGE_BYTES])?;
        file.sync_data()?;
        took.push(micros(started));
    }
    std::fs::remove_file(&path)?;
    Ok(took)
}
