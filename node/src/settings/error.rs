//! Why settings can't be used, and where the invalid value was given. Each text is one line.

use std::path::PathBuf;

use super::DirError;
use super::layer::{Merged, Origin};

/// Why the settings can't be used. Nothing was started; each text says what, why, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A value is not of its kind.
    #[error("{}: invalid value `{value}`: expected {expected}", named(key, origin.as_ref()))]
    Value {
        /// The setting, as its flag is called.
        key: String,
        /// Where it was given; `None` while that is not known.
        origin: Option<Origin>,
        /// What was given.
        value: String,
        /// What would be valid.
        expected: String,
    },
    /// A variable holds other bytes than text.
    #[error("`{variable}`: the variable is not Unicode: expected a text; correct it or unset it")]
    NotUnicode {
        /// Its name.
        variable: String,
    },
    /// The settings file can't be read.
    #[error("cannot read the settings file {path}: {source}; check the path, or leave --config out")]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The settings file has an unknown key or a wrong value.
    #[error("{path}, line {line}: {message}")]
    File {
        /// The path.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
        /// What is wrong, with the known keys where one is unknown.
        message: String,
    },
    /// An address of the network without a key and without `--open`.
    #[error(
        "{}: a node without a mesh key listens on 127.0.0.1 only, so it cannot listen on {address}; run `weft init` or \
         `weft join TICKET` first, or pass --open to admit every node that can reach this machine",
        named("listen", origin.as_ref())
    )]
    Exposed {
        /// The address.
        address: String,
        /// Where it was given.
        origin: Option<Origin>,
    },
    /// Both a mesh key and `--open`.
    #[error(
        "{} contradicts the mesh key in {data_dir}: leave it out, or use another --data-dir",
        named("open", origin.as_ref())
    )]
    OpenWithKey {
        /// Where `open` was given.
        origin: Option<Origin>,
        /// The data directory.
        data_dir: PathBuf,
    },
    /// The data directory can't be used.
    #[error(transparent)]
    Dir(#[from] DirError),
}

impl SettingsError {
    /// The same error, which names the place that the value came from.
    pub(super) fn given_in(mut self, merged: &Merged) -> Self {
        match &mut self {
            Self::Value { key, origin, .. } => *origin = merged.origin(key).cloned(),
            Self::Exposed { origin, .. } => *origin = merged.origin("listen").cloned(),
            Self::OpenWithKey { origin, .. } => *origin = merged.origin("open").cloned(),
            Self::NotUnicode { .. } | Self::Unreadable { .. } | Self::File { .. } | Self::Dir(_) => {}
        }
        self
    }
}

/// A setting as it is called where it was given.
fn named(key: &str, origin: Option<&Origin>) -> String {
    origin.map_or_else(|| format!("`{key}`"), |origin| origin.name(key))
}

pub(super) fn wrong(key: &str, value: impl Into<String>, expected: impl Into<String>) -> SettingsError {
    SettingsError::Value { key: key.into(), origin: None, value: value.into(), expected: expected.into() }
}
