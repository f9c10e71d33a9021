//! The settings of a node as one struct: each field is a flag of `weft node`, a `WEFT_*` variable and a key of
//! `weft.toml`, all of one name. The values are raw texts; [`super::Settings::resolve`] checks what they mean, and
//! `layer` decides which place is used.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer};

/// The settings as one place gives them; a field is `None` where that place does not set it.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RawSettings {
    /// Read settings from FILE instead of `DATA_DIR/weft.toml`.
    #[arg(long, env = "WEFT_CONFIG", hide_env_values = true, value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// A name that people will recognise [default: the host's name].
    #[arg(long, env = "WEFT_NAME", hide_env_values = true, value_name = "NAME")]
    pub name: Option<String>,
    /// Listen for peers on ADDRESS: IP:PORT, or a multiaddr such as /ip4/0.0.0.0/tcp/7117. May be repeated.
    ///
    /// Default with a mesh key: `0.0.0.0:7117` and `[::]:7117`, or any free port where that one is taken. Without a key a
    /// node listens on 127.0.0.1 only.
    #[arg(long, env = "WEFT_LISTEN", hide_env_values = true, value_name = "ADDRESS")]
    #[serde(deserialize_with = "texts")]
    pub listen: Option<Vec<String>>,
    /// Serve the HTTP API on this loopback address [default: 127.0.0.1, any free port].
    #[arg(long, env = "WEFT_API", hide_env_values = true, value_name = "IP:PORT")]
    pub api: Option<String>,
    /// Run N tasks at once; with 0 the node submits tasks and runs none [default: one per core].
    #[arg(long, env = "WEFT_SLOTS", hide_env_values = true, value_name = "N")]
    #[serde(deserialize_with = "number")]
    pub slots: Option<String>,
    /// What a slot is: `process`, a child process without rights, or `thread`, a thread of the node, which confines a task
    /// less but works on every system [default: process on Linux, thread elsewhere].
    #[arg(long, env = "WEFT_SLOT_KIND", hide_env_values = true, value_name = "process|thread")]
    pub slot_kind: Option<String>,
    /// Most memory of one task, such as 512MiB. This times the number of slots bounds all tasks that run or are paused
    /// [default: 1GiB, or the machine's memory divided by the slots].
    #[arg(long, env = "WEFT_MEMORY", hide_env_values = true, value_name = "SIZE")]
    #[serde(deserialize_with = "size")]
    pub memory: Option<String>,
    /// Longest module whose tasks are taken, up to 512MiB. A long one takes minutes to compile, and memory of up to 64
    /// times its length [default: 64MiB].
    #[arg(long, env = "WEFT_MODULE_LIMIT", hide_env_values = true, value_name = "SIZE")]
    #[serde(deserialize_with = "size")]
    pub module_limit: Option<String>,
    /// Tell the mesh a property of this machine; tasks ask for it with --need. May be repeated.
    #[arg(long, env = "WEFT_LABEL", hide_env_values = true, value_name = "NAME=VALUE")]
    #[serde(alias = "labels", deserialize_with = "pairs")]
    pub label: Option<Vec<String>>,
    /// Take only tasks of this class and above, this node's own included: scavenger, batch, interactive or realtime
    /// [default: scavenger, which is all].
    #[arg(long, env = "WEFT_CLASS_MIN", hide_env_values = true, value_name = "CLASS")]
    pub class_min: Option<String>,
    /// Take only tasks of these nodes, by their ids, and its own. May be repeated, or separated by commas.
    #[arg(long, env = "WEFT_ACCEPT", hide_env_values = true, value_name = "ID")]
    #[serde(deserialize_with = "texts")]
    pub accept: Option<Vec<String>>,
    /// Take tasks of all nodes except these. May be repeated, or separated by commas. Excludes --accept.
    #[arg(long, env = "WEFT_REFUSE", hide_env_values = true, value_name = "ID")]
    #[serde(deserialize_with = "texts")]
    pub refuse: Option<Vec<String>>,
    /// Which known results jobs of this node use if they don't say so themselves: own, mesh or off; see
    /// `weft run --help` [default: own].
    #[arg(long, env = "WEFT_MEMO", hide_env_values = true, value_name = "own|mesh|off")]
    pub memo: Option<String>,
    /// Dial this peer: IP:PORT, HOST:PORT (looked up at each attempt) or a multiaddr. May be repeated. Peers are also found
    /// by mDNS and by tickets.
    #[arg(long, env = "WEFT_PEER", hide_env_values = true, value_name = "ADDRESS")]
    #[serde(alias = "peers", deserialize_with = "texts")]
    pub peer: Option<Vec<String>>,
    /// Admit every node that can reach this machine, without a mesh key. All of them can run tasks here.
    #[arg(
        long,
        env = "WEFT_OPEN",
        hide_env_values = true,
        value_name = "true|false",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    #[serde(deserialize_with = "truth")]
    pub open: Option<String>,
    /// Look for peers by mDNS; --no-mdns is short for --mdns=false [default: true].
    #[arg(
        long,
        env = "WEFT_MDNS",
        hide_env_values = true,
        value_name = "true|false",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    #[serde(deserialize_with = "truth")]
    pub mdns: Option<String>,
    /// Do not look for peers by mDNS.
    #[arg(long)]
    #[serde(skip)]
    pub no_mdns: bool,
    /// Most bytes of blobs on disk, such as 16GiB [default: 16GiB].
    #[arg(long, env = "WEFT_STORE", hide_env_values = true, value_name = "SIZE")]
    #[serde(deserialize_with = "size")]
    pub store: Option<String>,
    /// Forget the results of a job that is kept on disk when they were not read for TIME, such as 7d [default: 7d].
    #[arg(long, env = "WEFT_KEEP_RESULTS", hide_env_values = true, value_name = "TIME")]
    pub keep_results: Option<String>,
    /// When the node is told to end, let tasks of other nodes run on for this long before they are given back, such as 1m;
    /// with 0 they are given back at once [default: 10s].
    #[arg(long, env = "WEFT_GRACE", hide_env_values = true, value_name = "TIME")]
    #[serde(deserialize_with = "time")]
    pub grace: Option<String>,
}

/// The variable of a flag: `WEFT_`, and the flag's name in capitals with `_` for `-`.
#[must_use]
pub fn variable_of(flag: &str) -> String {
    format!("WEFT_{}", flag.trim_start_matches('-').replace('-', "_").to_ascii_uppercase())
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<String>>, D::Error> {
    Ok(Some(match OneOrMany::deserialize(from)? {
        OneOrMany::One(text) => vec![text],
        OneOrMany::Many(texts) => texts,
    }))
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a table such as { rack = \"3\" }")]
enum Pairs {
    Table(BTreeMap<String, String>),
    Texts(Vec<String>),
}

fn pairs<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<String>>, D::Error> {
    Ok(Some(match Pairs::deserialize(from)? {
        Pairs::Table(table) => table.into_iter().map(|(name, value)| format!("{name}={value}")).collect(),
        Pairs::Texts(texts) => texts,
    }))
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a size: a number of bytes, or a text such as \"512MiB\"")]
enum Size {
    Bytes(u64),
    Text(String),
}

fn size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Some(match Size::deserialize(from)? {
        Size::Bytes(bytes) => bytes.to_string(),
        Size::Text(text) => text,
    }))
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a time: a number of seconds, or a text such as \"1m\"")]
enum Time {
    Seconds(u64),
    Text(String),
}

fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Some(match Time::deserialize(from)? {
        Time::Seconds(seconds) => seconds.to_string(),
        Time::Text(text) => text,
    }))
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a whole number")]
enum Number {
    Number(i64),
    Text(String),
}

fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Some(match Number::deserialize(from)? {
        Number::Number(number) => number.to_string(),
        Number::Text(text) => text,
    }))
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected true or false")]
enum Truth {
    Truth(bool),
    Text(String),
}

fn truth<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Some(match Truth::deserialize(from)? {
        Truth::Truth(truth) => truth.to_string(),
        Truth::Text(text) => text,
    }))
}
