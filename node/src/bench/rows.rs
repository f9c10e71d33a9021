//! The rows: what is done for each, on the mesh and without it. Every task's result is counted, and none may fail.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use weft_client::{Input, Mesh, Task, TaskResult};
use weft_exec::{Sandbox, SandboxConfig};

use super::direct::{Direct, calibrate};
use super::local::LocalMesh;
use super::report::{Better, Rounds, Row, cores_used, percentile};
use super::{BenchError, blocking, link};

pub(super) const NOOP_WASM: &[u8] = include_bytes!("../../../wasm-tasks/noop.wasm");
pub(super) const SPIN_WASM: &[u8] = include_bytes!("../../../wasm-tasks/spin.wasm");
const BULK_WASM: &[u8] = include_bytes!("../../../wasm-tasks/bulk.wasm");

/// Length of a long input or output.
pub(super) const BLOB_BYTES: usize = 8 << 20;
/// Bytes of the raw stream that is the floor of the long ones.
const STREAM_BYTES: u64 = 256 << 20;
/// Long outputs that the client fetches at once.
const FETCHES: usize = 4;
/// Results of tasks before those that count, for rows whose own rounds are long.
const WARM_UP: usize = 50;

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) rounds: usize,
    /// Rounds of what takes seconds each.
    pub(super) long_rounds: usize,
    pub(super) noops: usize,
    calls: usize,
    /// Jobs of one task, one after another.
    pub(super) jobs: usize,
    short_spins: usize,
    long_spins: usize,
    blobs: usize,
}

const FULL: Sizes = Sizes {
    rounds: 5,
    long_rounds: 3,
    noops: 50_000,
    calls: 1000,
    jobs: 300,
    short_spins: 2000,
    long_spins: 100,
    blobs: 64,
};
const QUICK: Sizes = Sizes {
    rounds: 3,
    long_rounds: 1,
    noops: 10_000,
    calls: 300,
    jobs: 100,
    short_spins: 1000,
    long_spins: 20,
    blobs: 16,
};

/// A bench under way.
pub(super) struct Bench<'a> {
    pub(super) client: Mesh,
    pub(super) near: String,
    far: Option<String>,
    /// Slots of the first node, and cores that all slots can keep busy.
    near_slots: usize,
    cores: usize,
    pub(super) sizes: Sizes,
    noop: Direct,
    pub(super) spin: Direct,
    bulk: Direct,
    /// Counts up, so that no input of a round comes again in another.
    pub(super) fresh: u64,
    /// Lists of inputs of `spin` so far.
    pub(super) spun: usize,
    pub(super) tell: &'a dyn Fn(&str),
}

impl<'a> Bench<'a> {
    pub(super) fn new(
        mesh: &LocalMesh,
        quick: bool,
        cores: usize,
        tell: &'a dyn Fn(&str),
    ) -> Result<Self, BenchError> {
        let slots = mesh.slots();
        let room = u32::try_from(cores).unwrap_or(u32::MAX);
        let sandbox = Sandbox::new(SandboxConfig {
            slots: room,
            memory_max_bytes: 1 << 30,
            ..SandboxConfig::default()
        });
        let sandbox = sandbox.map_err(|error| BenchError::Floor(error.to_string()))?;
        let none = || BenchError::Wrong(String::from("a mesh without nodes"));
        Ok(Self {
            client: mesh.client().ok_or_else(none)?,
            near: mesh.near().ok_or_else(none)?.to_owned(),
            far: mesh.far().map(str::to_owned),
            near_slots: slots.first().map_or(1, |slots| usize::try_from(*slots).unwrap_or(1)),
            cores: cores_used(cores, &slots),
            sizes: if quick { QUICK } else { FULL },
            noop: Direct::new(&sandbox, NOOP_WASM, "noop")?,
            spin: Direct::new(&sandbox, SPIN_WASM, "spin")?,
            bulk: Direct::new(&sandbox, BULK_WASM, "fold")?,
            fresh: 0,
            spun: 0,
            tell,
        })
    }

    /// All rows, in order.
    pub(super) async fn run(&mut self) -> Result<Vec<Row>, BenchError> {
        let noop = Task::function(NOOP_WASM, "noop");
        let near = noop.clone().need("node", &self.near);
        let mut rows = Vec::new();
        rows.push(self.noops("no-op tasks, one node", &near, self.near_slots).await?);
        if self.far.is_some() {
            rows.push(self.noops("no-op tasks, the mesh", &noop, self.cores).await?);
        }
        rows.push(self.http().await?);
        rows.extend(self.local_latency(&near).await?);
        if let Some(far) = self.far.clone() {
            rows.extend(self.remote_latency(&noop.need("node", &far)).await?);
        }
        let Sizes { rounds, long_rounds, short_spins, long_spins, .. } = self.sizes;
        let (short, long) = (Duration::from_millis(1), Duration::from_millis(100));
        rows.push(self.efficiency("efficiency, tasks of 1 ms", short, short_spins, rounds).await?);
        rows.push(self.efficiency("efficiency, tasks of 100 ms", long, long_spins, long_rounds).await?);
        if let Some(far) = self.far.clone() {
            rows.push(self.blobs_in(&far).await?);
            rows.push(self.blobs_out(&far).await?);
        }
        Ok(rows)
    }

    /// Many tasks that do nothing, handed in together.
    async fn noops(&mut self, what: &'static str, task: &Task, threads: usize) -> Result<Row, BenchError> {
        (self.tell)(what);
        let count = self.sizes.noops;
        let warm_up = self.sixteens(count / 10);
        self.map(task, warm_up).await?;
        let mut rounds = Rounds::default();
        for _ in 0..self.sizes.rounds {
            let inputs = self.sixteens(count);
            let (direct, floor_inputs) = (self.noop.clone(), inputs.clone());
            let floor = blocking(move || direct.time_all(&floor_inputs, threads)).await?;
            let took = self.map(task, inputs).await?;
            rounds.add(per_second(count, took), Some(per_second(count, floor)));
        }
        let floor = if threads == 1 { "direct calls, 1 thread" } else { "direct calls, a thread a core" };
        Ok(rounds.row(what, "tasks/s", Better::Higher, floor))
    }

    /// What the node's API takes for an answer that needs no other node.
    async fn http(&mut self) -> Result<Row, BenchError> {
        const WHAT: &str = "HTTP round trip p50";
        (self.tell)(WHAT);
        let id = self.client.put_blob(NOOP_WASM).await?.id;
        let mut rounds = Rounds::default();
        for _ in 0..self.sizes.rounds {
            let took = self.round_trips(&id, self.sizes.calls).await?;
            rounds.add(percentile(&took, 50), None);
        }
        Ok(rounds.row(WHAT, "us", Better::Lower, ""))
    }

    /// Microseconds of each question to the API that needs no other node.
    pub(super) async fn round_trips(&self, blob: &str, count: usize) -> Result<Vec<f64>, BenchError> {
        let mut took = Vec::with_capacity(count);
        for _ in 0..count {
            let started = Instant::now();
            self.client.has_blob(blob).await?;
            took.push(micros(started));
        }
        Ok(took)
    }

    async fn local_latency(&mut self, task: &Task) -> Result<[Row; 2], BenchError> {
        let direct = self.noop.clone();
        let floor = move |calls: usize| direct.time_each(&Bytes::from_static(&[0; 16]), calls);
        let what = ["one task at a time, local, p50", "one task at a time, local, p99"];
        self.latency(what, task, "a direct call", floor).await
    }

    async fn remote_latency(&mut self, task: &Task) -> Result<[Row; 2], BenchError> {
        let what = ["one task at a time, remote, p50", "one task at a time, remote, p99"];
        self.latency(what, task, "raw link round trip", link::round_trips).await
    }

    async fn latency(
        &mut self,
        what: [&'static str; 2],
        task: &Task,
        floor_is: &'static str,
        floor: impl Fn(usize) -> Result<Vec<f64>, BenchError> + Clone + Send + 'static,
    ) -> Result<[Row; 2], BenchError> {
        let [what_p50, what_p99] = what;
        (self.tell)(what_p50);
        for input in self.sixteens(WARM_UP) {
            self.client.run(task, Input::from(input)).await?.into_done()?;
        }
        let calls = self.sizes.calls;
        let (mut p50, mut p99) = (Rounds::default(), Rounds::default());
        for _ in 0..self.sizes.rounds {
            let floor = floor.clone();
            let floors = blocking(move || floor(calls)).await?;
            let mut took = Vec::with_capacity(calls);
            for input in self.sixteens(calls) {
                let started = Instant::now();
                self.client.run(task, Input::from(input)).await?.into_done()?;
                took.push(micros(started));
            }
            p50.add(percentile(&took, 50), Some(percentile(&floors, 50)));
            p99.add(percentile(&took, 99), Some(percentile(&floors, 99)));
        }
        let row = |rounds: &Rounds, what| rounds.row(what, "us", Better::Lower, floor_is);
        Ok([row(&p50, what_p50), row(&p99, what_p99)])
    }

    /// The share of the cores' time that goes into the tasks themselves.
    async fn efficiency(
        &mut self,
        what: &'static str,
        length: Duration,
        count: usize,
        rounds: usize,
    ) -> Result<Row, BenchError> {
        (self.tell)(what);
        let task = Task::function(SPIN_WASM, "spin");
        let cores = self.cores;
        let warm_up = self.spins(1000, WARM_UP);
        self.map(&task, warm_up).await?;
        let mut all = Rounds::default();
        for _ in 0..rounds {
            let direct = self.spin.clone();
            let (iterations, one) = blocking(move || calibrate(&direct, length)).await?;
            let inputs = self.spins(iterations, count);
            let (direct, floor_inputs) = (self.spin.clone(), inputs.clone());
            let floor = blocking(move || direct.time_all(&floor_inputs, cores)).await?;
            let took = self.map(&task, inputs).await?;
            let work = one.as_secs_f64() * number(count) / number(cores) * 100.0;
            all.add(work / took.as_secs_f64(), Some(work / floor.as_secs_f64()));
        }
        Ok(all.row(what, "%", Better::Higher, "direct calls, a thread a core"))
    }

    /// Long inputs from the client's memory into a guest on another node.
    async fn blobs_in(&mut self, far: &str) -> Result<Row, BenchError> {
        const WHAT: &str = "inputs of 8 MiB, to another node";
        (self.tell)(WHAT);
        let task = Task::function(BULK_WASM, "fold").need("node", far);
        let count = self.sizes.blobs;
        let mut rounds = Rounds::default();
        let warm_up = self.longs(2);
        self.map(&task, warm_up).await?;
        for _ in 0..self.sizes.rounds {
            let floor = blocking(|| link::stream(STREAM_BYTES)).await?;
            let longs = self.longs(count);
            let sample = longs.clone().next().unwrap_or_default();
            let started = Instant::now();
            let mut results = self.client.map_iter(&task, longs).await?;
            let mut told = vec![None; count];
            while let Some(result) = results.next().await {
                note(&mut told, result?.into_done()?)?;
            }
            let took = started.elapsed();
            let direct = self.bulk.clone();
            let wanted = blocking(move || direct.output(&sample)).await?;
            let first = told.first().cloned().flatten().ok_or_else(missing)?;
            if told.iter().any(Option::is_none) || first.output_bytes(&self.client).await? != wanted {
                return Err(missing());
            }
            rounds.add(megabytes(count, took), Some(stream_rate(floor)));
        }
        Ok(rounds.row(WHAT, "MB/s", Better::Higher, "raw stream of 256 MiB"))
    }

    /// Long outputs of a guest on another node into the client's memory.
    async fn blobs_out(&mut self, far: &str) -> Result<Row, BenchError> {
        const WHAT: &str = "outputs of 8 MiB, from another node";
        (self.tell)(WHAT);
        let task = Task::function(BULK_WASM, "fill").need("node", far);
        let count = self.sizes.blobs;
        let mut rounds = Rounds::default();
        for round in 0..=self.sizes.rounds {
            let inputs: Vec<Bytes> =
                (0..count).map(|_| format!("{BLOB_BYTES} {}", self.next()).into()).collect();
            let floor = blocking(|| link::stream(STREAM_BYTES)).await?;
            let started = Instant::now();
            let results = self.client.map_iter(&task, inputs).await?;
            let client = &self.client;
            let fetch = async |result: Result<TaskResult, weft_client::Error>| {
                Ok::<_, weft_client::Error>(result?.into_done()?.output_bytes(client).await?.len())
            };
            let mut lengths = std::pin::pin!(results.map(fetch).buffer_unordered(FETCHES));
            let mut whole = 0;
            while let Some(length) = lengths.next().await {
                whole += usize::from(length? == BLOB_BYTES);
            }
            if whole != count {
                return Err(missing());
            }
            // The first round warms up.
            if round > 0 {
                rounds.add(megabytes(count, started.elapsed()), Some(stream_rate(floor)));
            }
        }
        Ok(rounds.row(WHAT, "MB/s", Better::Higher, "raw stream of 256 MiB"))
    }

    /// Runs a task on all of these inputs and says how long that took, from the call to the last result.
    pub(super) async fn map<I>(&self, task: &Task, inputs: I) -> Result<Duration, BenchError>
    where
        I: IntoIterator<Item = Bytes>,
        I::IntoIter: ExactSizeIterator + Send + 'static,
    {
        let inputs = inputs.into_iter();
        let mut missing_results = inputs.len();
        let started = Instant::now();
        let mut results = self.client.map_iter(task, inputs).await?;
        while let Some(result) = results.next().await {
            result?.into_done()?;
            missing_results = missing_results.checked_sub(1).ok_or_else(missing)?;
        }
        let took = started.elapsed();
        if missing_results == 0 { Ok(took) } else { Err(missing()) }
    }
}

/// Keeps a result in its place; there must not be another.
fn note(told: &mut [Option<TaskResult>], result: TaskResult) -> Result<(), BenchError> {
    let place =
        usize::try_from(result.index).ok().and_then(|index| told.get_mut(index)).ok_or_else(missing)?;
    match place.replace(result) {
        None => Ok(()),
        Some(_) => Err(missing()),
    }
}

pub(super) fn missing() -> BenchError {
    BenchError::Wrong(String::from("a result is missing, came twice, or is not what a direct call gives"))
}

pub(super) fn micros(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e6
}

pub(super) fn per_second(count: usize, took: Duration) -> f64 {
    number(count) / took.as_secs_f64()
}

/// Millions of bytes a second.
fn megabytes(blobs: usize, took: Duration) -> f64 {
    per_second(blobs * BLOB_BYTES, took) / 1e6
}

fn stream_rate(took: Duration) -> f64 {
    number(usize::try_from(STREAM_BYTES).unwrap_or(usize::MAX)) / took.as_secs_f64() / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "counts of tasks and bytes, far below 2^53")]
fn number(count: usize) -> f64 {
    count as f64
}
