//! `weft bench`: what a local mesh does a second, and next to each figure its floor, measured in the same
//! minute on the same machine: the same work without a mesh.
//!
//! The nodes are processes, as users run them; the client is this process and speaks to the first of them. A figure
//! is the median of several rounds, and so is its ratio to the floor, which is taken round by round: what else the
//! machine does meanwhile then weighs on both. Nothing here decides anything; nothing here runs in a node.
//!
//! ```text
//!   client (here) --HTTP--> node-0 --mesh--> node-1 ..      the rows
//!   direct (here): the sandbox on bare threads              floor of tasks, latency, efficiency
//!   link (here): two mesh adapters and nothing else         floor of remote latency and of bytes
//!   a write and an fsync (here)                             floor of a kept job's acceptance
//! ```

mod direct;
mod durable;
mod inputs;
mod link;
mod local;
mod recovery;
mod report;
mod rows;

pub use report::{Better, Floor, Report, Row, SetUp};

use std::io;

use local::LocalMesh;
use rows::Bench;

/// What the bench is told.
#[derive(Clone, Copy, Debug)]
pub struct BenchArgs {
    /// Nodes, at least 1; with one there are no remote rows.
    pub nodes: usize,
    /// Less work and fewer rounds: a look instead of a measurement.
    pub quick: bool,
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The operating system refused a process, a thread, a directory or randomness.
    #[error("the bench can't be set up: {0}")]
    System(#[from] io::Error),
    /// The nodes' directories can't be written.
    #[error(transparent)]
    Dir(#[from] crate::settings::DirError),
    /// A node ended, or did not come up in time.
    #[error("{name} of the bench's mesh {what}; it said: {said}")]
    Node {
        /// Its name.
        name: String,
        /// What it did, or did not do.
        what: &'static str,
        /// Its last line.
        said: String,
    },
    /// The client could not talk to its node, or a task failed.
    #[error(transparent)]
    Client(Box<weft_client::Error>),
    /// The floor could not be measured.
    #[error("the floor can't be measured: {0}")]
    Floor(String),
    /// A result is missing or wrong, so that its time says nothing.
    #[error("{0}")]
    Wrong(String),
}

impl From<weft_client::Error> for BenchError {
    fn from(error: weft_client::Error) -> Self {
        Self::Client(Box::new(error))
    }
}

/// Starts the mesh, measures, stops the mesh. `tell` hears what is being done, a line at a time.
///
/// # Errors
/// When the mesh does not come up, or any result is missing or wrong.
pub async fn run(args: &BenchArgs, tell: &dyn Fn(&str)) -> Result<Report, BenchError> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mesh = LocalMesh::start(args.nodes.max(1), cores).await?;
    let setup = SetUp::new(args, cores, mesh.slots());
    tell(&setup.to_string());
    if cfg!(debug_assertions) {
        tell("this is a debug build: its figures are worth nothing; build with --release");
    }
    let mut bench = Bench::new(&mesh, args.quick, cores, tell)?;
    let mut rows = bench.run().await?;
    rows.extend(bench.durable(&mesh).await?);
    if mesh.slots().len() >= durable::KEEPERS {
        rows.extend(bench.recovery().await?);
    }
    Ok(Report { setup, rows })
}

/// Runs something that takes long on a thread that may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BenchError> + Send + 'static,
) -> Result<T, BenchError> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.map_err(|error| BenchError::Floor(error.to_string()))?
}
