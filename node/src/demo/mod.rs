//! `weft demo`: a mesh of several nodes inside this process, each with its own identity, data directory and swarm on
//! loopback, that runs two real jobs and loses a node in the middle of the first. Every result is checked.

mod picture;
mod summary;
mod watch;
mod words;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use weft_client::{Input, Mesh, Output, Task};
use weft_exec::{Sandbox, SandboxConfig};

use crate::counts::counted;
use crate::embedded::{EmbeddedConfig, EmbeddedError, EmbeddedMesh};
use summary::Tally;
use watch::Watch;

const TILES_WASM: &[u8] = include_bytes!("../../../wasm-tasks/tiles.wasm");
const WORDS_WASM: &[u8] = include_bytes!("../../../wasm-tasks/word-count.wasm");
/// The text, packed by the build script.
const TEXT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/shakespeare.txt.z"));

/// What the demo is told.
#[derive(Clone, Debug)]
pub struct DemoArgs {
    /// Tiles of the picture, at least 256.
    pub tiles: u32,
    /// Nodes, at least 2, for one of them is killed.
    pub nodes: usize,
    /// Slots of each node.
    pub slots: u32,
    /// Where picture, table and the nodes' data go.
    pub out: PathBuf,
}

/// Why the demo did not show what it is there to show.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The nodes did not come up.
    #[error(transparent)]
    Mesh(EmbeddedError),
    /// The client could not talk to its node.
    #[error(transparent)]
    Client(#[from] weft_client::Error),
    /// A file could not be written.
    #[error("cannot write {path}: {source}; {}", advice(source))]
    File {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The reference computation could not be made.
    #[error("the direct computation failed: {0}")]
    Reference(String),
    /// A result is missing, came twice, failed, or differs from the direct computation.
    #[error("{0}")]
    Wrong(String),
}

/// What to do about a file: the demo's directories are all below that of `--out`.
fn advice(error: &std::io::Error) -> &'static str {
    if crate::settings::is_full(error) {
        "its disk is full: make room there, or pass another --out"
    } else {
        "pass --out with a directory that can be written"
    }
}

impl From<EmbeddedError> for DemoError {
    /// What the nodes say of their files would advise about flags that the demo does not have.
    fn from(error: EmbeddedError) -> Self {
        match error.into_file() {
            Ok((path, source)) => Self::File { path, source },
            Err(other) => Self::Mesh(other),
        }
    }
}

/// Runs the demo; done means that every result is there, once, and right.
///
/// # Errors
/// When the mesh does not come up, a file can't be written, or any result is missing or wrong.
pub async fn run(args: &DemoArgs) -> Result<(), DemoError> {
    let data = args.out.join("nodes");
    make_dir(&args.out)?;
    if data.exists() {
        std::fs::remove_dir_all(&data).map_err(|source| DemoError::File { path: data.clone(), source })?;
    }
    make_dir(&data)?;
    let watch = Watch::new(args.nodes);
    watch.say(&format!(
        "weft demo: {} of {} in this process, each with its own identity",
        counted(args.nodes as u64, "node"),
        counted(u64::from(args.slots), "slot"),
    ));
    let config = EmbeddedConfig { nodes: args.nodes, slots: args.slots, dir: data };
    let nodes = EmbeddedMesh::start(&config)?;
    let first = nodes.nodes().first().map(|node| node.data_dir().to_path_buf()).unwrap_or_default();
    let mesh = Mesh::connect_in(&first).await?;
    watch.say("the nodes found each other; jobs are submitted to node-0");
    let mut demo = Demo { args, nodes, mesh, watch, slot_time: Duration::ZERO };
    let picture = demo.picture().await?;
    let words = demo.words().await?;
    demo.watch.look_now(&demo.nodes).await;
    demo.watch.finish();
    demo.report(&picture.0, &picture.1, &words.0, &words.1);
    Ok(())
}

struct Demo<'a> {
    args: &'a DemoArgs,
    nodes: EmbeddedMesh,
    mesh: Mesh,
    watch: Watch,
    /// What the slots had to give during the current job.
    slot_time: Duration,
}

/// What is said about one job.
struct Said {
    lines: Vec<String>,
}

impl Demo<'_> {
    /// The picture: one task a tile, and a node killed when two fifths are done.
    async fn picture(&mut self) -> Result<(Said, PathBuf), DemoError> {
        let plan = picture::Plan::of(self.args.tiles);
        let inputs = plan.inputs();
        let task = Task::function(TILES_WASM.to_vec(), picture::FUNCTION);
        let victim = self.args.nodes - 1;
        let kill_at = inputs.len() * 2 / 5;
        let tally = self.job("picture", &task, inputs.clone(), Some((kill_at, victim))).await?;
        let said = Said { lines: tally.lines(self.slot_time, &self.names()) };
        let mut tiles = Vec::new();
        for output in tally.outputs().values() {
            tiles.push(output.fetch(&self.mesh).await?.to_vec());
        }
        self.watch.say("the picture is here; each tile is computed again without the mesh, to compare");
        check_tiles(&inputs, &tiles)?;
        let path = self.args.out.join("picture.png");
        plan.write(&tiles, &path).map_err(|source| DemoError::File { path: path.clone(), source })?;
        Ok((said, path))
    }

    /// Words: map over pieces of the text, then reduce until one table is left.
    async fn words(&mut self) -> Result<(Said, PathBuf), DemoError> {
        let map = Task::function(WORDS_WASM.to_vec(), "map");
        let reduce = Task::function(WORDS_WASM.to_vec(), "reduce");
        let text = words::unpack(TEXT).ok_or_else(|| DemoError::Wrong("the text is damaged".to_owned()))?;
        let tally = self.job("words", &map, words::chunks(&text), None).await?;
        let mut said = Said { lines: tally.lines(self.slot_time, &self.names()) };
        let mut tables = self.tables(tally.outputs()).await?;
        while tables.len() > 1 {
            let tally = self.job("reduce", &reduce, words::bundles(&tables), None).await?;
            said.lines.extend(tally.lines(self.slot_time, &self.names()).into_iter().take(1));
            tables = self.tables(tally.outputs()).await?;
        }
        let table = tables.pop().unwrap_or_default();
        let counted =
            words::parse(&table).ok_or_else(|| DemoError::Wrong("the table of words is none".to_owned()))?;
        let direct = words::direct(&text);
        if counted != direct {
            let text =
                format!("the mesh counted {} words, the direct count has {}", counted.len(), direct.len());
            return Err(DemoError::Wrong(text));
        }
        let total: u64 = direct.values().sum();
        said.lines.push(format!(
            "  checked: {total} words, {} different ones, the same as counted directly",
            direct.len()
        ));
        let path = self.args.out.join("words.tsv");
        std::fs::write(&path, &table).map_err(|source| DemoError::File { path: path.clone(), source })?;
        Ok((said, path))
    }

    /// Runs one job to its end and demands every result, once, and done.
    async fn job(
        &mut self,
        title: &str,
        task: &Task,
        inputs: Vec<Vec<u8>>,
        kill: Option<(usize, usize)>,
    ) -> Result<Tally, DemoError> {
        let tasks = inputs.len();
        self.watch.job(title, tasks);
        let mut tally = Tally::begin(title);
        let mut killed_after = None;
        let mut results = self.mesh.map_iter(task, inputs.into_iter().map(Input::from)).await?;
        let mut done = 0;
        let mut look = tokio::time::interval(Duration::from_millis(120));
        loop {
            tokio::select! {
                result = results.next() => {
                    let Some(result) = result else { break };
                    tally.add(result?);
                    done += 1;
                    self.watch.one_done();
                }
                _tick = look.tick() => self.watch.look(&self.nodes).await,
            }
            if let Some((_, victim)) = kill.filter(|(at, _)| *at == done && killed_after.is_none()) {
                self.watch.look_now(&self.nodes).await;
                self.nodes.kill(victim);
                self.watch.look_now(&self.nodes).await;
                killed_after = Some(tally.wall());
                self.watch.say(&format!(
                    "node-{victim} is killed with tasks in its hands ({done} of {tasks} are done)"
                ));
            }
        }
        tally.end();
        self.watch.look_now(&self.nodes).await;
        let alive =
            u32::try_from(self.nodes.nodes().iter().filter(|node| node.is_alive()).count()).unwrap_or(1);
        self.slot_time = (tally.wall() * alive + killed_after.unwrap_or_default()) * self.args.slots;
        match tally.fault(tasks) {
            Some(fault) => Err(DemoError::Wrong(fault)),
            None => Ok(tally),
        }
    }

    async fn tables(&self, outputs: &BTreeMap<u32, Output>) -> Result<Vec<Vec<u8>>, DemoError> {
        let mut tables = Vec::new();
        for output in outputs.values() {
            tables.push(output.fetch(&self.mesh).await?.to_vec());
        }
        Ok(tables)
    }

    /// Names of the nodes by their ids.
    fn names(&self) -> BTreeMap<String, String> {
        let nodes = self.nodes.nodes().iter();
        nodes.map(|node| (node.handle().info().peer.to_string(), node.handle().info().name.clone())).collect()
    }

    fn report(&self, picture: &Said, png: &std::path::Path, words: &Said, table: &std::path::Path) {
        for line in picture.lines.iter().chain(&words.lines) {
            self.watch.say(line);
        }
        let lost: u64 = self.watch.nodes.iter().map(|node| node.lost).sum();
        self.watch.say(&format!(
            "one node was killed, {} lost with it; no result is missing or doubled",
            if lost == 1 { "1 task was".to_owned() } else { format!("{lost} tasks were") }
        ));
        self.watch.say(&format!("picture: {}", png.display()));
        self.watch.say(&format!("table:   {}", table.display()));
    }
}

/// Computes every tile again, without a mesh, on as many threads as there are cores, and compares.
fn check_tiles(inputs: &[Vec<u8>], tiles: &[Vec<u8>]) -> Result<(), DemoError> {
    if tiles.len() != inputs.len() {
        return Err(DemoError::Wrong(format!("{} tiles instead of {}", tiles.len(), inputs.len())));
    }
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let slots = u32::try_from(threads).unwrap_or(1);
    let sandbox =
        Sandbox::new(SandboxConfig { slots, memory_max_bytes: 1 << 30, ..SandboxConfig::default() });
    let sandbox = sandbox.map_err(|error| DemoError::Reference(error.to_string()))?;
    let next = AtomicUsize::new(0);
    let check = || loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let (Some(input), Some(tile)) = (inputs.get(index), tiles.get(index)) else { return Ok(()) };
        if picture::direct(&sandbox, TILES_WASM, input).map_err(DemoError::Reference)? != *tile {
            return Err(DemoError::Wrong(format!("tile {index} differs from the one computed directly")));
        }
    };
    std::thread::scope(|scope| {
        let checks: Vec<_> = (0..threads).map(|_| scope.spawn(check)).collect();
        let mut ended = checks.into_iter().map(|thread| thread.join());
        let lost = |_| Err(DemoError::Reference("a checking thread panicked".to_owned()));
        ended.try_for_each(|end| end.unwrap_or_else(lost))
    })
}

fn make_dir(path: &std::path::Path) -> Result<(), DemoError> {
    std::fs::create_dir_all(path).map_err(|source| DemoError::File { path: path.to_path_buf(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::StartError;
    use crate::settings::DirError;

    #[test]
    fn a_node_without_a_disk_is_told_with_the_flag_of_the_demo() {
        let full = || std::io::Error::from_raw_os_error(28);
        let path = || PathBuf::from("out/nodes/node-0/lock");
        let causes = [
            StartError::Dir(DirError::Io { action: "write", path: path(), source: full() }),
            StartError::Publish { path: path(), source: full() },
            StartError::Store(weft_blobs::Error::Io { doing: "create", path: path(), source: full() }),
            StartError::Journal(weft_journal::Error::Io { doing: "create", path: path(), source: full() }),
            StartError::Journal(weft_journal::Error::NoLocks { path: path(), why: "it has none".into() }),
        ];
        for source in causes {
            let text = DemoError::from(EmbeddedError::Start { index: 0, source }).to_string();
            assert!(text.starts_with("cannot write out/nodes/node-0/lock: "), "{text}");
            assert!(text.contains(" --out") && !text.contains("--data-dir"), "{text}");
        }
    }
}
