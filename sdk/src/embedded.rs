//! A mesh inside a program: nodes on threads, each with an identity, a data directory and slots of its own, joined
//! over loopback. For tests, demos, and programs that bring their mesh along.

use std::ops::Deref;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use weft_client::Mesh;
use weft_node::embedded::{EmbeddedConfig, EmbeddedError as NodesError, EmbeddedMesh as Nodes};

/// Why an embedded mesh did not come up. Nothing of it is left running.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// Its nodes did not start or did not meet.
    #[error(transparent)]
    Nodes(#[from] NodesError),
    /// The first node can't be reached by the client.
    #[error(transparent)]
    Client(#[from] weft_client::Error),
    /// No directory for the nodes' data.
    #[error("no directory for the embedded nodes: {0}")]
    Directory(#[from] std::io::Error),
}

/// Starts a mesh inside this program: `Mesh::embedded(3)`.
pub trait Embedded {
    /// Starts `nodes` nodes of one slot each on loopback, with their data in a temporary directory that goes with
    /// them, and connects to the first.
    ///
    /// # Errors
    /// When a node does not start, or they don't find each other within 20 s.
    fn embedded(nodes: usize) -> impl Future<Output = Result<EmbeddedMesh, EmbeddedError>> + Send;
}

impl Embedded for Mesh {
    async fn embedded(nodes: usize) -> Result<EmbeddedMesh, EmbeddedError> {
        EmbeddedMesh::start(nodes, 1).await
    }
}

/// A running embedded mesh; use it like the [`Mesh`] of its first node. Dropping it stops its nodes and removes
/// their data.
#[derive(Debug)]
pub struct EmbeddedMesh {
    mesh: Mesh,
    nodes: Nodes,
    _directory: Directory,
}

impl EmbeddedMesh {
    /// Starts `nodes` nodes with `slots` slots each.
    ///
    /// # Errors
    /// As [`Embedded::embedded`].
    pub async fn start(nodes: usize, slots: u32) -> Result<Self, EmbeddedError> {
        let directory = Directory::make()?;
        let config = EmbeddedConfig { nodes: nodes.max(1), slots: slots.max(1), dir: directory.0.clone() };
        let started = tokio::task::spawn_blocking(move || Nodes::start(&config)).await;
        let nodes = started.map_err(std::io::Error::other)??;
        let first = nodes.nodes().first().map(|node| node.data_dir().to_path_buf());
        let mesh = Mesh::connect_in(first.as_deref().unwrap_or_else(|| Path::new("."))).await?;
        Ok(Self { mesh, nodes, _directory: directory })
    }

    /// Ends a node at once, as a power failure would. The first one is the owner of what this handle submits.
    pub fn kill(&mut self, index: usize) {
        self.nodes.kill(index);
    }
}

impl Deref for EmbeddedMesh {
    type Target = Mesh;

    fn deref(&self) -> &Mesh {
        &self.mesh
    }
}

/// A temporary directory; declared behind the nodes, so that it goes when they are gone.
#[derive(Debug)]
struct Directory(std::path::PathBuf);

impl Directory {
    fn make() -> std::io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("weft-embedded-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What can't be removed stays until the temporary directory is cleaned.
        let _left = std::fs::remove_dir_all(&self.0);
    }
}
