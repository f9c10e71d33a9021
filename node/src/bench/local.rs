//! A mesh of node processes on loopback, each with a data directory of its own below one that goes with the mesh.
//! They are this executable's own `weft node`. Dropping the mesh kills them: they have nothing to lose.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use weft_client::Mesh;

use super::BenchError;
use super::rows::missing;
use crate::settings;

/// How long the nodes may take to come up and to find each other.
const START_MAX: Duration = Duration::from_secs(30);
/// Between two looks at what can only be asked.
const PAUSE: Duration = Duration::from_millis(20);

/// A label of all nodes but the first.
pub(super) const OTHER: (&str, &str) = ("weft-bench", "other");

/// The mesh. The first node is the one that the client speaks to.
#[derive(Debug)]
pub(super) struct LocalMesh {
    // Dropped before their directories.
    nodes: Vec<LocalNode>,
    dir: TempDir,
}

/// One process.
#[derive(Debug)]
pub(super) struct LocalNode {
    child: Child,
    name: String,
    log: PathBuf,
    slots: u32,
    id: String,
    client: Option<Mesh>,
}

impl Drop for LocalNode {
    fn drop(&mut self) {
        self.kill();
    }
}

impl LocalMesh {
    /// Starts the nodes and waits until each is connected to each. The slots are as many as the cores, or one a
    /// node where there are more nodes than cores.
    pub(super) async fn start(nodes: usize, cores: usize) -> Result<Self, BenchError> {
        let dir = tempfile::Builder::new().prefix("weft-bench-").tempdir()?;
        let mut mesh = Self { nodes: Vec::new(), dir };
        let mut key = None;
        let mut peer = None;
        for (index, slots) in slots_of(nodes, cores).into_iter().enumerate() {
            let data_dir = mesh.dir.path().join(format!("node-{index}"));
            key = Some(settings::write_mesh_key(&data_dir, key)?);
            let mut node = LocalNode::spawn(data_dir.clone(), index, slots, peer.as_deref())?;
            let address = node.come_up(&data_dir).await?;
            peer.get_or_insert(address);
            mesh.nodes.push(node);
        }
        for node in &mut mesh.nodes {
            node.meet(nodes - 1).await?;
        }
        Ok(mesh)
    }

    /// Slots of each node.
    pub(super) fn slots(&self) -> Vec<u32> {
        self.nodes.iter().map(|node| node.slots).collect()
    }

    /// A client of the first node.
    pub(super) fn client(&self) -> Option<Mesh> {
        self.nodes.first().and_then(|node| node.client.clone())
    }

    /// Kills the first node and starts it again; how long that took until it answered.
    pub(super) async fn restart(&mut self) -> Result<Duration, BenchError> {
        let data_dir = self.dir.path().join("node-0");
        let Some(first) = self.nodes.first_mut() else { return Ok(Duration::ZERO) };
        let slots = first.slots;
        first.kill();
        let started = Instant::now();
        *first = LocalNode::spawn(data_dir.clone(), 0, slots, None)?;
        first.come_up(&data_dir).await?;
        Ok(started.elapsed())
    }

    /// Kills a node; or stops it, so that its connections stay and bring nothing.
    pub(super) fn lose(&mut self, index: usize, silently: bool) -> Result<(), BenchError> {
        let node = self.nodes.get_mut(index).ok_or_else(missing)?;
        if silently {
            let pid = rustix::process::Pid::from_child(&node.child);
            rustix::process::kill_process(pid, rustix::process::Signal::STOP).map_err(io::Error::from)?;
        } else {
            node.kill();
        }
        Ok(())
    }

    /// Starts a node again that was lost, and waits until it is connected to all others.
    pub(super) async fn revive(&mut self, index: usize) -> Result<(), BenchError> {
        let data_dir = self.dir.path().join(format!("node-{index}"));
        let other = self.nodes.iter().enumerate().find(|(at, _)| *at != index).map(|(_, node)| node);
        let status = other.and_then(|node| node.client.clone()).ok_or_else(missing)?.status().await?;
        let peers = self.nodes.len() - 1;
        let node = self.nodes.get_mut(index).ok_or_else(missing)?;
        let slots = node.slots;
        node.kill();
        *node = LocalNode::spawn(data_dir.clone(), index, slots, status.listen.first().map(String::as_str))?;
        node.come_up(&data_dir).await?;
        node.meet(peers).await
    }

    /// A client of a node.
    pub(super) fn client_of(&self, index: usize) -> Result<Mesh, BenchError> {
        self.nodes.get(index).and_then(|node| node.client.clone()).ok_or_else(missing)
    }

    /// A node's id.
    pub(super) fn id_of(&self, index: usize) -> Result<String, BenchError> {
        self.nodes.get(index).map(|node| node.id.clone()).ok_or_else(missing)
    }

    /// Where the nodes' directories are.
    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The first node's id.
    pub(super) fn near(&self) -> Option<&str> {
        self.nodes.first().map(|node| node.id.as_str())
    }

    /// Another node's id, if there is another.
    pub(super) fn far(&self) -> Option<&str> {
        self.nodes.get(1).map(|node| node.id.as_str())
    }
}

/// As many slots as cores in all, at least one a node, more for the first ones.
fn slots_of(nodes: usize, cores: usize) -> Vec<u32> {
    let share = |index: usize| (cores / nodes + usize::from(index < cores % nodes)).max(1);
    (0..nodes).map(|index| u32::try_from(share(index)).unwrap_or(u32::MAX)).collect()
}

impl LocalNode {
    fn kill(&mut self) {
        // One that has ended already needs neither.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    fn spawn(data_dir: PathBuf, index: usize, slots: u32, peer: Option<&str>) -> Result<Self, BenchError> {
        let name = format!("node-{index}");
        let log = data_dir.join("stderr");
        let mut command = Command::new(std::env::current_exe()?);
        // Settings of the user's own node are none of ours.
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("WEFT_") {
                command.env_remove(variable);
            }
        }
        command.arg("--data-dir").arg(&data_dir).args(["node", "--listen", "127.0.0.1:0", "--no-mdns"]);
        command.args(["--name", &name, "--slots", &slots.to_string()]);
        if index > 0 {
            command.args(["--label", &format!("{}={}", OTHER.0, OTHER.1)]);
        }
        if let Some(peer) = peer {
            command.args(["--peer", peer]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);
        Ok(Self { child: command.spawn()?, name, log, slots, id: String::new(), client: None })
    }

    /// Waits until it answers and says where it listens.
    async fn come_up(&mut self, data_dir: &Path) -> Result<String, BenchError> {
        let until = Instant::now() + START_MAX;
        loop {
            if let Ok(client) = Mesh::connect_in(data_dir).await {
                let status = client.status().await?;
                if let Some(address) = status.listen.into_iter().next() {
                    self.id = status.peer;
                    self.client = Some(client);
                    return Ok(address);
                }
            }
            self.pause(until, "did not come up in time").await?;
        }
    }

    /// Waits until it is connected to `peers` peers.
    async fn meet(&mut self, wanted: usize) -> Result<(), BenchError> {
        let until = Instant::now() + START_MAX;
        loop {
            if let Some(client) = &self.client {
                let peers = client.peers().await?;
                if peers.iter().filter(|peer| peer.connected && peer.slots > 0).count() >= wanted {
                    return Ok(());
                }
            }
            self.pause(until, "did not find all the others in time").await?;
        }
    }

    async fn pause(&mut self, until: Instant, late: &'static str) -> Result<(), BenchError> {
        if self.child.try_wait()?.is_some() {
            return Err(self.failed("ended"));
        }
        if Instant::now() >= until {
            return Err(self.failed(late));
        }
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }

    fn failed(&self, what: &'static str) -> BenchError {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let said = log.lines().last().unwrap_or("nothing").to_owned();
        BenchError::Node { name: self.name.clone(), what, said }
    }
}

#[cfg(test)]
mod tests {
    use super::slots_of;

    #[test]
    fn slots_are_as_many_as_cores_but_one_a_node() {
        assert_eq!(slots_of(3, 2), [1, 1, 1]);
        assert_eq!(slots_of(3, 8), [3, 3, 2]);
        assert_eq!(slots_of(1, 4), [4]);
    }
}
