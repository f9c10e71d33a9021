//! `weft node`: runs this machine's node in the foreground and says on stderr who comes and goes.

use std::convert::Infallible;
use std::path::PathBuf;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use weft_node::counts::counted;
use weft_node::handle::NodeHandle;
use weft_node::node::{Node, Notice};
use weft_node::settings::{self, Settings, SettingsError};

use super::{EXIT_JOURNAL, EXIT_JOURNAL_DAMAGED, EXIT_JOURNAL_FAILED, Problem};
use crate::cli::NodeArgs;
use crate::render::{bytes, say};

/// Runs the node until Ctrl-C or SIGTERM; with the second of them it ends at once.
pub(crate) async fn node(data_dir: Option<PathBuf>, args: NodeArgs) -> Result<u8, Problem> {
    let NodeArgs { given, record } = args;
    let data_dir = settings::data_dir_of(data_dir).map_err(SettingsError::from)?;
    let settings = Settings::resolve(data_dir, given)?;
    // A node is large, and this future is one of many that the dispatcher may hold.
    LocalSet::new().run_until(Box::pin(serve(settings, record))).await
}

async fn serve(settings: Settings, record: Option<PathBuf>) -> Result<u8, Problem> {
    let mut signals = Signals::listen()?;
    allow_files();
    let about = settings.clone();
    let mut node = Node::start(settings).await.map_err(|error| Problem::Failed(error.to_string()))?;
    if let Some(path) = record {
        let failed = |error| format!("--record: {} can't be made: {error}", path.display());
        node.record(&path).map_err(|error| Problem::Failed(failed(error)))?;
    }
    introduction(&about, &node.handle().info().peer.short()).iter().for_each(|line| say(line));
    let (notices, handle) = (node.notices(), node.handle());
    let running = async {
        tokio::select! {
            ended = node.run_until(std::future::pending()) => ended,
            never = signals.pass_on(&handle) => match never {},
        }
    };
    // The notices end with the node, and the last of them are of its end.
    let (ended, ()) = tokio::join!(running, tell(notices));
    let ending = ended.map_err(|broken| Problem::Failed(broken.to_string()))?;
    if ending.jobs > 0 {
        say(&ending.to_string());
    }
    if ending.kept_jobs > 0 {
        let (job, goes) = if ending.kept_jobs == 1 { ("job", "goes") } else { ("jobs", "go") };
        say(&format!(
            "{} unfinished {job} on disk {goes} on when this node is started again",
            ending.kept_jobs
        ));
    }
    say("stopped");
    let (code, failure) = match (ending.journal_failure, ending.journal_unopened, ending.journal_damage) {
        (Some(failure), ..) => (EXIT_JOURNAL_FAILED, failure),
        (None, Some(unopened), _) => (EXIT_JOURNAL, unopened),
        (None, None, Some(damage)) => (EXIT_JOURNAL_DAMAGED, damage),
        (None, None, None) => return Ok(0),
    };
    say(&failure);
    Ok(code)
}

/// Takes as many files as this process may ask for: connections, blobs on their way and what slots are given are files,
/// and many systems give a process 1,024 unless it asks for more. A slot and a compiler keep few of them (`exec/src/slot/confine.rs`).
fn allow_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit on open files stays as it is");
    }
}

/// The signals that ask the node to end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Problem> {
        let listen = |kind| signal(kind).map_err(Problem::Runtime);
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Tells the node of each: with the first it lets work of others end, with the second it ends at once.
    async fn pass_on(&mut self, node: &NodeHandle) -> Infallible {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
            }
            node.stop();
        }
    }
}

fn introduction(settings: &Settings, id: &str) -> Vec<String> {
    let slots = counted(settings.slots.into(), "slot");
    let mut lines = vec![format!(
        "node {} ({}) on {}, {slots} of {}",
        settings.name,
        id,
        settings.data_dir.display(),
        bytes(settings.memory_bytes),
    )];
    if !settings.labels.is_empty() {
        let labels: Vec<String> =
            settings.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        lines.push(format!("labels: {}", labels.join(", ")));
    }
    lines.push(match settings.mesh_word() {
        "key" => String::from("admits holders of its mesh key; `weft init --show` prints the ticket"),
        "open" => String::from("OPEN: every node that can reach this machine can run tasks on it"),
        _ => String::from(
            "no mesh key: listens on this machine only; `weft init` makes a mesh, `weft join TICKET` joins one",
        ),
    });
    lines
}

async fn tell(notices: Option<mpsc::Receiver<Notice>>) {
    let Some(mut notices) = notices else { return };
    while let Some(notice) = notices.recv().await {
        match notice {
            Notice::Listening(address) => say(&format!("listening on {address}")),
            Notice::PeerUp { peer, address } => {
                say(&format!("peer {} came, at {}", peer.short(), without_id(&address)));
            }
            Notice::PeerDown { peer, reason } => say(&format!("peer {} went: {reason}", peer.short())),
            Notice::Refused { address, reason } => say(&format!("no admission, {address}: {reason}")),
            Notice::Trouble(text) | Notice::Kept(text) | Notice::Leaving(text) => say(&text),
            Notice::SameIdentity { address } => say(&format!(
                "another node runs with this node's identity at {address}: a data directory was copied; delete \
                 identity.key in one of them and start that node again"
            )),
        }
    }
}

/// The address without the peer's long id, whose short form is printed with it.
fn without_id(address: &str) -> &str {
    address.split_once("/p2p/").map_or(address, |(place, _id)| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_loses_the_id_behind_it() {
        assert_eq!(without_id("/ip4/10.0.0.7/tcp/7117/p2p/12D3KooW"), "/ip4/10.0.0.7/tcp/7117");
        assert_eq!(without_id("/ip4/10.0.0.7/tcp/7117"), "/ip4/10.0.0.7/tcp/7117");
    }

    #[test]
    fn a_low_limit_on_files_is_raised_as_far_as_it_may_be() {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(200), maximum }).unwrap();
        allow_files();
        assert_eq!(getrlimit(Resource::Nofile).current, maximum);
        assert_ne!(maximum, Some(200), "this machine's own limit shows nothing");
    }
}
