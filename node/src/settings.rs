//! The settings of one node: flags, environment, file and defaults meet here, once.
//!
//! A flag is used before the variable of its name (`WEFT_` and the flag's name in capitals), a variable before the file
//! (`weft.toml` in the data directory, or `--config`), and the file before the default. This is the only module that
//! reads the environment. It starts nothing: the caller resolves the settings with [`Settings::resolve`], holds the
//! [`DirLock`] of [`lock`] while the node runs, and passes the settings on.

mod dir;
mod error;
mod former;
mod grace;
mod layer;
mod listen;
mod module;
mod owners;
mod private;
mod quantity;
mod raw;
mod text;
mod zone;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use dir::{
    DirError, DirLock, JOINED_FILE, KeyFile, add_joined_peers, check_version, clear_joined_peers,
    data_dir_of, disk_advice, is_full, is_held, joined_peers, load_or_make_identity, lock, read_mesh_key,
    write_mesh_key,
};
pub use error::SettingsError;
pub(crate) use former::{JOURNAL_DIR, JOURNAL_MARK_FILE};
pub use grace::GRACE_MAX;
pub use layer::{Given, Origin, variable_not_unicode, without_empty_variables};
pub use private::check_owner;
pub use quantity::{parse_bytes, parse_duration, parse_whole, size_up_to, time_up_to};
pub use raw::{RawSettings, variable_of};
pub use text::{Place, multiaddr, parse_address, parse_own_address, parse_pair, socket_of};
pub use zone::is_only_local;

use error::wrong;
use layer::Merged;
use listen::{addresses, listen_of};
use weft_core::message::{Class, NODE_LABEL};
use weft_core::{Owners, Recall};

use crate::jobs::CLIENT_WAIT_MAX;

/// The port of a node that has a mesh key, or is open, and was given no `--listen`.
pub const DEFAULT_PORT: u16 = 7117;
/// Longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// Most labels of one node.
pub const LABELS_MAX: usize = 24;
/// Longest name or value of a label, in bytes.
pub const LABEL_BYTES_MAX: usize = 64;
/// Most slots of one node.
pub const SLOTS_MAX: u32 = 4096;
/// Most addresses to listen on, and most peers to dial.
pub const ADDRESSES_MAX: usize = 64;

const MEMORY_BYTES_DEFAULT: u64 = 1 << 30;
const MEMORY_BYTES_MIN: u64 = 1 << 20;
const STORE_BYTES_DEFAULT: u64 = 16 << 30;
const STORE_BYTES_MIN: u64 = 16 << 20;
const KEEP_RESULTS_DEFAULT: Duration = Duration::from_secs(7 * 24 * 3600);
/// Bytes of the disk that the journal sets aside.
pub const RESERVE_BYTES: u64 = 32 << 20;

/// The first word of the command line of a slot's process; `main` looks for it before anything else.
pub const SLOT_WORD: &str = "slot";

/// What a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotKind {
    /// A child process without rights: what a guest breaks is a process that is replaced.
    Process,
    /// A thread of the node: for programs that embed one, and for systems without such processes.
    Thread,
}

impl SlotKind {
    /// Processes, where the system has what confines them.
    pub const DEFAULT: Self = if cfg!(target_os = "linux") { Self::Process } else { Self::Thread };
}

/// All settings of one node, checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where the node keeps its keys, blobs and compiled modules; exists.
    pub data_dir: PathBuf,
    /// A name for people, 1 to [`NAME_BYTES_MAX`] bytes; the host's name when none was given.
    pub name: String,
    /// Where to listen for peers, as multiaddrs; never empty; loopback only, without a key and `open`.
    pub listen: Vec<String>,
    /// Whether `listen` is the default. A default port that is taken gives way to any free one; a chosen port that is
    /// taken is an error.
    pub listen_is_default: bool,
    /// Where the HTTP API listens; a loopback address, port 0 for any free one.
    pub api: SocketAddr,
    /// How many tasks run at once; 0 for a node that only submits tasks.
    pub slots: u32,
    /// What a slot is.
    pub slot_kind: SlotKind,
    /// Most memory of one task, in bytes.
    pub memory_bytes: u64,
    /// Longest module whose tasks it takes, in bytes.
    pub module_bytes: u64,
    /// Labels, each name once.
    pub labels: Vec<(String, String)>,
    /// The lowest priority class whose tasks it takes.
    pub class_min: Class,
    /// Whose tasks it takes, besides its own.
    pub owners: Owners,
    /// Which known results its jobs use if they don't say so themselves.
    pub memo: Recall,
    /// Peers to dial, as multiaddrs: those given, and those that a ticket named.
    pub peers: Vec<String>,
    /// Whether every node that can reach this one may join. Never together with a mesh key.
    pub open: bool,
    /// Whether to look for peers by mDNS.
    pub mdns: bool,
    /// Room for blobs, in bytes.
    pub store_bytes: u64,
    /// How long the results of a job at level `disk` are kept after they were last read.
    pub keep_results: Duration,
    /// How long work of others may run on when the node is told to end, at most [`GRACE_MAX`].
    pub grace: Duration,
    /// Bytes of the disk that the journal sets aside, to end jobs with when the rest is full.
    pub reserve_bytes: u64,
    /// How long the clients of jobs are waited for that were open when the node ended.
    pub client_wait: Duration,
    /// The mesh's secret; `None` keeps the node on loopback unless it is open.
    pub mesh_key: Option<[u8; 32]>,
    /// This node's ed25519 secret.
    pub identity: [u8; 32],
}

/// The two secrets are left out.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("data_dir", &self.data_dir)
            .field("name", &self.name)
            .field("listen", &self.listen)
            .field("api", &self.api)
            .field("slots", &self.slots)
            .field("slot_kind", &self.slot_kind)
            .field("memory_bytes", &self.memory_bytes)
            .field("module_bytes", &self.module_bytes)
            .field("labels", &self.labels)
            .field("class_min", &self.class_min)
            .field("owners", &self.owners)
            .field("memo", &self.memo)
            .field("peers", &self.peers)
            .field("open", &self.open)
            .field("mdns", &self.mdns)
            .field("store_bytes", &self.store_bytes)
            .field("keep_results", &self.keep_results)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// Resolves everything: flags, then environment, then file, then defaults. Makes the data directory and the
    /// node's identity when they are missing.
    ///
    /// # Errors
    /// When a value, the file or the data directory is invalid; the text is one line that says what to do.
    pub fn resolve(data_dir: PathBuf, given: Given) -> Result<Self, SettingsError> {
        check_owner(&data_dir)?;
        check_version(&data_dir)?;
        let merged = Merged::new(given, &data_dir)?;
        Self::of(merged.raw.clone(), data_dir).map_err(|error| error.given_in(&merged))
    }

    /// Checks all settings together. The identity comes last: settings that are refused make no files.
    fn of(raw: RawSettings, data_dir: PathBuf) -> Result<Self, SettingsError> {
        let mesh_key = read_mesh_key(&data_dir)?;
        let open = truth_of("open", raw.open)?.unwrap_or(false);
        if open && mesh_key.is_some() {
            return Err(SettingsError::OpenWithKey { origin: None, data_dir });
        }
        let slots = slots_of(raw.slots)?;
        let mut peers = addresses("peer", raw.peer.as_deref().unwrap_or_default(), parse_address)?;
        peers.extend(joined_peers(&data_dir)?);
        peers.truncate(ADDRESSES_MAX);
        Ok(Self {
            name: name_of(raw.name)?,
            listen_is_default: raw.listen.is_none(),
            listen: listen_of(raw.listen, open || mesh_key.is_some())?,
            api: api_of(raw.api)?,
            slots,
            slot_kind: slot_kind_of(raw.slot_kind)?,
            memory_bytes: memory_of(raw.memory, slots)?,
            module_bytes: module::limit_of(raw.module_limit)?,
            labels: labels_of(raw.label.unwrap_or_default())?,
            class_min: class_of(raw.class_min)?,
            owners: owners::owners_of(raw.accept, raw.refuse)?,
            memo: owners::recall_of(raw.memo)?,
            peers,
            open,
            mdns: truth_of("mdns", raw.mdns)?.unwrap_or(true),
            keep_results: keep_results_of(raw.keep_results)?,
            grace: grace::grace_of(raw.grace)?,
            reserve_bytes: RESERVE_BYTES,
            client_wait: CLIENT_WAIT_MAX,
            store_bytes: bytes_of("store", raw.store, STORE_BYTES_DEFAULT, STORE_BYTES_MIN)?,
            mesh_key,
            identity: load_or_make_identity(&data_dir)?,
            data_dir,
        })
    }

    /// Where a node with this data directory would listen without flags of its own: by environment, file and defaults.
    /// IPs and TCP ports; 0.0.0.0 means all addresses, port 0 any port.
    ///
    /// # Errors
    /// When the file or a value is invalid.
    pub fn listens_by_itself(data_dir: &Path) -> Result<Vec<SocketAddr>, SettingsError> {
        let merged = Merged::new(Given::from_environment()?, data_dir)?;
        let listen = listen_of(merged.raw.listen.clone(), true).map_err(|error| error.given_in(&merged))?;
        Ok(listen.iter().filter_map(|address| socket_of(address)).collect())
    }

    /// One word for what lets peers in: `key`, `open` or `loopback`.
    #[must_use]
    pub fn mesh_word(&self) -> &'static str {
        match (self.mesh_key, self.open) {
            (Some(_), _) => "key",
            (None, true) => "open",
            (None, false) => "loopback",
        }
    }
}

/// A variable of the process's environment; one that is not Unicode, or empty, counts as absent.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn name_of(given: Option<String>) -> Result<String, SettingsError> {
    let Some(name) = given else {
        return Ok(host_name());
    };
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(wrong("name", name, format!("1 to {NAME_BYTES_MAX} bytes of printable text")));
    }
    Ok(name)
}

fn host_name() -> String {
    let uname = rustix::system::uname();
    let name: String = uname
        .nodename()
        .to_string_lossy()
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(*letter))
        .take(NAME_BYTES_MAX)
        .collect();
    if name.is_empty() { String::from("node") } else { name }
}

fn slots_of(given: Option<String>) -> Result<u32, SettingsError> {
    let Some(text) = given else {
        return Ok(cores());
    };
    let slots = parse_whole::<u32, 0, { SLOTS_MAX as u64 }>(&text);
    slots.map_err(|expected| wrong("slots", text, expected))
}

fn truth_of(key: &str, given: Option<String>) -> Result<Option<bool>, SettingsError> {
    let Some(text) = given else {
        return Ok(None);
    };
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(Some(true)),
        "0" | "false" | "no" | "off" => Ok(Some(false)),
        _ => Err(wrong(key, text, "true or false")),
    }
}

fn slot_kind_of(given: Option<String>) -> Result<SlotKind, SettingsError> {
    match given.as_deref() {
        None => Ok(SlotKind::DEFAULT),
        Some("process") if cfg!(target_os = "linux") => Ok(SlotKind::Process),
        Some("process") => Err(wrong("slot-kind", "process", "thread: this system can't confine processes")),
        Some("thread") => Ok(SlotKind::Thread),
        Some(other) => Err(wrong("slot-kind", other, "process or thread")),
    }
}

fn cores() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(cores).unwrap_or(SLOTS_MAX).min(SLOTS_MAX)
}

fn memory_of(given: Option<String>, slots: u32) -> Result<u64, SettingsError> {
    let fair = text::host_memory_bytes().map_or(MEMORY_BYTES_DEFAULT, |all| all / u64::from(slots.max(1)));
    let default = fair.clamp(MEMORY_BYTES_MIN, MEMORY_BYTES_DEFAULT);
    bytes_of("memory", given, default, MEMORY_BYTES_MIN)
}

fn bytes_of(key: &'static str, given: Option<String>, default: u64, min: u64) -> Result<u64, SettingsError> {
    let Some(given) = given else {
        return Ok(default);
    };
    match parse_bytes(&given) {
        Ok(bytes) if bytes >= min => Ok(bytes),
        Ok(_) => Err(wrong(key, given, format!("at least {} MiB", min >> 20))),
        Err(expected) => Err(wrong(key, given, expected)),
    }
}

fn keep_results_of(given: Option<String>) -> Result<Duration, SettingsError> {
    let Some(given) = given else { return Ok(KEEP_RESULTS_DEFAULT) };
    parse_duration(&given).map_err(|expected| wrong("keep-results", given, expected))
}

fn api_of(given: Option<String>) -> Result<SocketAddr, SettingsError> {
    let given = given.unwrap_or_else(|| String::from("127.0.0.1:0"));
    let given = given.strip_prefix("localhost:").map_or(given.clone(), |port| format!("127.0.0.1:{port}"));
    let address = given.parse::<SocketAddr>().ok().filter(|address| address.ip().is_loopback());
    address.ok_or_else(|| {
        wrong("api", given, "a loopback address such as 127.0.0.1:7118 (port 0 takes any free one)")
    })
}

fn labels_of(given: Vec<String>) -> Result<Vec<(String, String)>, SettingsError> {
    if given.len() > LABELS_MAX {
        return Err(wrong("label", format!("{} labels", given.len()), format!("at most {LABELS_MAX}")));
    }
    let mut labels: Vec<(String, String)> = Vec::with_capacity(given.len());
    for text in given {
        let (name, value) = parse_pair(&text).map_err(|expected| wrong("label", text.as_str(), expected))?;
        if name.len() > LABEL_BYTES_MAX || value.len() > LABEL_BYTES_MAX {
            return Err(wrong(
                "label",
                text,
                format!("at most {LABEL_BYTES_MAX} bytes for name and for value"),
            ));
        }
        if name == NODE_LABEL {
            return Err(wrong(
                "label",
                text,
                "another name: `node` is every node's own id, and set by itself",
            ));
        }
        labels.retain(|(known, _)| *known != name);
        labels.push((name, value));
    }
    Ok(labels)
}

fn class_of(given: Option<String>) -> Result<Class, SettingsError> {
    let Some(given) = given else { return Ok(Class::Scavenger) };
    Class::ALL
        .into_iter()
        .find(|class| class.word() == given)
        .ok_or_else(|| wrong("class-min", given, "scavenger, batch, interactive or realtime"))
}

#[cfg(test)]
mod tests;
