//! The three places that a setting may come from, each as one raw [`Layer`]. Nothing here checks a value's meaning.

use std::path::{Path, PathBuf};

use super::SettingsError;

/// Reads one variable of an environment: the process's own ([`super::environment`]), or a test's.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Longest settings file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The flags of `weft node`, raw.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Flags {
    /// The data directory; a flag of every verb, filled in by whoever parsed it.
    #[arg(skip)]
    pub data_dir: Option<PathBuf>,
    /// Read settings from FILE instead of `DATA_DIR/weft.toml`.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A name that people will recognise [default: the host's name].
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Listen for peers on ADDRESS: IP:PORT, or a multiaddr such as /ip4/0.0.0.0/tcp/7117. May be repeated.
    ///
    /// Default with a mesh key: `0.0.0.0:7117` and `[::]:7117`, or any free port where that one is taken. Without a key a
    /// node keeps to 127.0.0.1.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Vec<String>,
    /// Serve the HTTP API on this loopback address [default: 127.0.0.1, any free port].
    #[arg(long, value_name = "IP:PORT")]
    pub api: Option<String>,
    /// Run N tasks at once; 0 only hands out work [default: one per core].
    #[arg(long, value_name = "N", value_parser = parse_slots)]
    pub slots: Option<u32>,
    /// What a slot is: a child process without rights, or a thread of the node, which confines less but starts where
    /// processes can't [default: process on Linux, thread elsewhere].
    #[arg(long, value_name = "process|thread")]
    pub slot_kind: Option<String>,
    /// Most memory of one task, such as 512MiB; once for each slot it bounds all tasks that run or are held together
    /// [default: 1GiB, or the machine's memory divided by the slots].
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// Longest module whose tasks are taken, up to 512MiB. A long one takes minutes to compile, and memory of up to 64
    /// times its length [default: 64MiB].
    #[arg(long, value_name = "SIZE")]
    pub module_limit: Option<String>,
    /// Tell the mesh something about this machine; tasks ask for it with --need. May be repeated.
    #[arg(long = "label", value_name = "NAME=VALUE")]
    pub labels: Vec<String>,
    /// Take only tasks of this class and above, this node's own included: scavenger, batch, interactive or realtime
    /// [default: scavenger, which is all].
    #[arg(long, value_name = "CLASS")]
    pub class_min: Option<String>,
    /// Beside its own, take only tasks of these nodes, by their ids. May be repeated, or divided by commas.
    #[arg(long, value_name = "ID", conflicts_with = "refuse")]
    pub accept: Vec<String>,
    /// Take tasks of all but these nodes. May be repeated, or divided by commas.
    #[arg(long, value_name = "ID")]
    pub refuse: Vec<String>,
    /// Whose word jobs of this node take for known results unless they say so themselves: own, mesh or off; see
    /// `weft run --help` [default: own].
    #[arg(long, value_name = "own|mesh|off")]
    pub memo: Option<String>,
    /// Dial this peer: IP:PORT, HOST:PORT (looked up at each attempt) or a multiaddr. May be repeated; mDNS and tickets
    /// find peers too.
    #[arg(long = "peer", value_name = "ADDRESS")]
    pub peers: Vec<String>,
    /// Let in anybody who can reach this machine, without a mesh key. Whoever comes in can run tasks here.
    #[arg(long)]
    pub open: bool,
    /// Do not look for peers by mDNS.
    #[arg(long)]
    pub no_mdns: bool,
    /// Room for blobs on disk, such as 16GiB.
    #[arg(long, value_name = "SIZE")]
    pub store: Option<String>,
}

/// One place's settings, raw; what it does not say is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Layer {
    pub(super) name: Option<String>,
    pub(super) listen: Option<Vec<String>>,
    pub(super) api: Option<String>,
    pub(super) slots: Option<u32>,
    pub(super) slot_kind: Option<String>,
    pub(super) memory: Option<String>,
    pub(super) module_limit: Option<String>,
    pub(super) labels: Option<Vec<String>>,
    pub(super) class_min: Option<String>,
    pub(super) accept: Option<Vec<String>>,
    pub(super) refuse: Option<Vec<String>>,
    pub(super) memo: Option<String>,
    pub(super) peers: Option<Vec<String>>,
    pub(super) open: Option<bool>,
    pub(super) mdns: Option<bool>,
    pub(super) store: Option<String>,
}

impl Layer {
    /// This layer, and `below` where this one says nothing.
    pub(super) fn or(self, below: Self) -> Self {
        // The two contradict each other: who says one leaves nothing of the other.
        let says = self.accept.is_some() || self.refuse.is_some();
        let (accept, refuse) = if says { (self.accept, self.refuse) } else { (below.accept, below.refuse) };
        Self {
            name: self.name.or(below.name),
            listen: self.listen.or(below.listen),
            api: self.api.or(below.api),
            slots: self.slots.or(below.slots),
            slot_kind: self.slot_kind.or(below.slot_kind),
            memory: self.memory.or(below.memory),
            module_limit: self.module_limit.or(below.module_limit),
            labels: self.labels.or(below.labels),
            class_min: self.class_min.or(below.class_min),
            accept,
            refuse,
            memo: self.memo.or(below.memo),
            peers: self.peers.or(below.peers),
            open: self.open.or(below.open),
            mdns: self.mdns.or(below.mdns),
            store: self.store.or(below.store),
        }
    }

    /// The layer of `WEFT_*` variables; lists are divided by commas.
    pub(super) fn from_environment(environment: Environment<'_>) -> Result<Self, SettingsError> {
        let list = |name: &str| environment(name).map(split_list);
        let slots = environment("WEFT_SLOTS")
            .map(|text| parse_slots(&text).map_err(|expected| super::wrong("WEFT_SLOTS", text, expected)));
        Ok(Self {
            name: environment("WEFT_NAME"),
            listen: list("WEFT_LISTEN"),
            api: environment("WEFT_API"),
            slots: slots.transpose()?,
            slot_kind: environment("WEFT_SLOT_KIND"),
            memory: environment("WEFT_MEMORY"),
            module_limit: environment("WEFT_MODULE_LIMIT"),
            labels: list("WEFT_LABEL"),
            class_min: environment("WEFT_CLASS_MIN"),
            accept: list("WEFT_ACCEPT"),
            refuse: list("WEFT_REFUSE"),
            memo: environment("WEFT_MEMO"),
            peers: list("WEFT_PEER"),
            open: truth("WEFT_OPEN", environment)?,
            mdns: truth("WEFT_MDNS", environment)?,
            store: environment("WEFT_STORE"),
        })
    }
}

impl From<Flags> for Layer {
    fn from(flags: Flags) -> Self {
        let Flags {
            data_dir: _,
            config: _,
            name,
            listen,
            api,
            slots,
            slot_kind,
            memory,
            module_limit,
            labels,
            class_min,
            accept,
            refuse,
            memo,
            peers,
            open,
            no_mdns,
            store,
        } = flags;
        let list = |given: Vec<String>| (!given.is_empty()).then_some(given);
        Self {
            name,
            listen: list(listen),
            api,
            slots,
            slot_kind,
            memory,
            module_limit,
            labels: list(labels),
            class_min,
            accept: list(accept),
            refuse: list(refuse),
            memo,
            peers: list(peers),
            open: open.then_some(true),
            mdns: no_mdns.then_some(false),
            store,
        }
    }
}

fn parse_slots(text: &str) -> Result<u32, String> {
    super::parse_whole::<u32, 0, { super::SLOTS_MAX as u64 }>(text)
}

fn split_list(text: String) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(String::from).collect()
}

fn truth(name: &'static str, environment: Environment<'_>) -> Result<Option<bool>, SettingsError> {
    let Some(text) = environment(name) else {
        return Ok(None);
    };
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(Some(true)),
        "0" | "false" | "no" | "off" => Ok(Some(false)),
        _ => Err(super::wrong(name, text, "true or false")),
    }
}

/// Where the settings file is.
#[derive(Clone, Debug)]
pub(super) enum Config {
    /// The user named it: it must exist.
    Named(PathBuf),
    /// Its usual place: it may be missing.
    Usual(PathBuf),
}

/// The settings file as it is written.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Option<String>,
    listen: Option<OneOrMany>,
    api: Option<String>,
    slots: Option<u32>,
    #[serde(rename = "slot-kind")]
    slot_kind: Option<String>,
    memory: Option<Size>,
    #[serde(rename = "module-limit")]
    module_limit: Option<Size>,
    labels: Option<std::collections::BTreeMap<String, String>>,
    #[serde(rename = "class-min")]
    class_min: Option<String>,
    accept: Option<OneOrMany>,
    refuse: Option<OneOrMany>,
    memo: Option<String>,
    peers: Option<OneOrMany>,
    open: Option<bool>,
    mdns: Option<bool>,
    store: Option<Size>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, serde::Deserialize)]
#[serde(untagged, expecting = "expected a size: a number of bytes, or a text such as \"512MiB\"")]
enum Size {
    Bytes(u64),
    Text(String),
}

/// The file's layer; an absent usual file says nothing.
pub(super) fn read_file(config: Config) -> Result<Layer, SettingsError> {
    let (path, named) = match config {
        Config::Named(path) => (path, true),
        Config::Usual(path) => (path, false),
    };
    match read_bounded(&path) {
        Ok(text) => parse_file(&text, path),
        Err(source) if source.kind() == std::io::ErrorKind::NotFound && !named => Ok(Layer::default()),
        Err(source) => Err(SettingsError::Unreadable { path, source }),
    }
}

fn read_bounded(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn parse_file(text: &str, path: PathBuf) -> Result<Layer, SettingsError> {
    let file: File = toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = 1 + text.bytes().take(start).filter(|byte| *byte == b'\n').count();
        let message = error.message().replace("unknown field", "unknown key").replace('\n', ": ");
        let message = message.replace("expected u32", "expected a whole number");
        SettingsError::File { path, line, message }
    })?;
    Ok(file.into())
}

impl From<File> for Layer {
    fn from(file: File) -> Self {
        let File {
            name,
            listen,
            api,
            slots,
            slot_kind,
            memory,
            module_limit,
            labels,
            class_min,
            accept,
            refuse,
            memo,
            peers,
            open,
            mdns,
            store,
        } = file;
        let pairs = |labels: std::collections::BTreeMap<String, String>| {
            labels.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
        };
        Self {
            name,
            listen: listen.map(OneOrMany::into_vec),
            api,
            slots,
            slot_kind,
            memory: memory.map(Size::into_text),
            module_limit: module_limit.map(Size::into_text),
            labels: labels.map(pairs),
            class_min,
            accept: accept.map(OneOrMany::into_vec),
            refuse: refuse.map(OneOrMany::into_vec),
            memo,
            peers: peers.map(OneOrMany::into_vec),
            open,
            mdns,
            store: store.map(Size::into_text),
        }
    }
}

impl OneOrMany {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        }
    }
}

impl Size {
    fn into_text(self) -> String {
        match self {
            Self::Bytes(bytes) => bytes.to_string(),
            Self::Text(text) => text,
        }
    }
}
