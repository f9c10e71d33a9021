//! The places that a setting may come from, one above the other: flags, variables, file. Each is a table of what it sets;
//! merging them keeps for each key the place that it came from, so that an error can name it. No value is checked here.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Args, FromArgMatches};
use toml::{Table, Value};

use super::raw::variable_of;
use super::{RawSettings, SettingsError};

/// Longest settings file, in bytes; a longer one is refused.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Two keys that contradict each other: a place that sets one of them leaves nothing of the other from below.
const CONTRADICTING: [&str; 2] = ["accept", "refuse"];

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// On the command line.
    Flag,
    /// In the environment.
    Variable,
    /// In this settings file.
    File(PathBuf),
}

impl Origin {
    /// A setting as it is written there, for an error.
    pub(super) fn name(&self, key: &str) -> String {
        match self {
            Self::Flag => format!("`--{key}`"),
            Self::Variable => format!("`{}`", variable_of(key)),
            Self::File(path) => format!("`{key}` in {}", path.display()),
        }
    }
}

/// What the command line and the environment set, kept apart.
#[derive(Clone, Debug, Default)]
pub struct Given {
    config: Option<PathBuf>,
    flags: Table,
    variables: Table,
}

impl Given {
    /// What the environment sets, without a command line.
    ///
    /// # Errors
    /// When a variable is not Unicode.
    pub fn from_environment() -> Result<Self, SettingsError> {
        let command = without_empty_variables(Self::augment_args(clap::Command::new("weft")));
        let wrong = variable_not_unicode(&command);
        let matches = command.try_get_matches_from(["weft"]);
        let given = matches.and_then(|matches| Self::from_arg_matches(&matches));
        given.map_err(|_not_unicode| wrong.unwrap_or(SettingsError::NotUnicode { variable: "WEFT_*".into() }))
    }

    /// What these two places set.
    #[cfg(test)]
    pub(super) fn of(flags: &RawSettings, variables: &RawSettings) -> Self {
        let config = flags.config.clone().or_else(|| variables.config.clone());
        Self { config, flags: table_of(flags), variables: table_of(variables) }
    }
}

impl FromArgMatches for Given {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        let mut raw = RawSettings::from_arg_matches(matches)?;
        if raw.no_mdns {
            raw.mdns = None;
        }
        let is_variable = |key: &str| {
            // The parser knows an argument by its field's name.
            matches.value_source(&key.replace('-', "_")) == Some(ValueSource::EnvVariable)
        };
        let (mut variables, mut flags): (Table, Table) =
            table_of(&raw).into_iter().partition(|(key, _)| is_variable(key));
        if raw.no_mdns {
            flags.insert(String::from("mdns"), Value::from("false"));
        }
        variables.iter_mut().for_each(|(_, value)| split_list(value));
        Ok(Self { config: raw.config, flags, variables })
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Given {
    fn augment_args(command: clap::Command) -> clap::Command {
        RawSettings::augment_args(command)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        RawSettings::augment_args_for_update(command)
    }
}

/// The same command, for which a variable that is set to nothing is not set.
#[must_use]
pub fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty =
        |arg: &clap::Arg| arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    let command = command.mut_args(|arg| if is_empty(&arg) { arg.env(None::<&'static str>) } else { arg });
    command.mut_subcommands(without_empty_variables)
}

/// The first variable of this command's own arguments that is not Unicode where a text is expected, as an error: the
/// parser's own error does not name it. A path may be any bytes.
#[must_use]
pub fn variable_not_unicode(command: &clap::Command) -> Option<SettingsError> {
    let is_text = |arg: &&clap::Arg| arg.get_value_parser().type_id() != TypeId::of::<PathBuf>();
    let mut variables = command.get_arguments().filter(is_text).filter_map(clap::Arg::get_env);
    let is_wrong = |name: &&OsStr| std::env::var_os(name).is_some_and(|value| value.to_str().is_none());
    let variable = variables.find(is_wrong)?.to_string_lossy().into_owned();
    Some(SettingsError::NotUnicode { variable })
}

/// A list in a variable is separated by commas.
pub(super) fn split_list(value: &mut Value) {
    let Value::Array(texts) = value else { return };
    let parts = texts.iter().filter_map(Value::as_str).flat_map(|text| text.split(','));
    *texts = parts.map(str::trim).filter(|part| !part.is_empty()).map(Value::from).collect();
}

/// What a place sets, by key.
fn table_of(raw: &RawSettings) -> Table {
    Table::try_from(raw).expect("texts and lists of texts have a form in TOML")
}

/// The settings of all places, and where each came from.
#[derive(Debug)]
pub(super) struct Merged {
    pub(super) raw: RawSettings,
    origins: BTreeMap<String, Origin>,
}

impl Merged {
    /// What the command line, the environment and the file say: for each key, the first of them that sets it.
    pub(super) fn new(given: Given, data_dir: &Path) -> Result<Self, SettingsError> {
        let (path, is_named) = match given.config {
            Some(path) => (path, true),
            None => (data_dir.join("weft.toml"), false),
        };
        let file = read_file(&path, is_named)?;
        let layers =
            [(Origin::File(path), file), (Origin::Variable, given.variables), (Origin::Flag, given.flags)];
        Ok(Self::of_layers(layers))
    }

    /// What the layers set together; a later one overrides an earlier one.
    fn of_layers(layers: [(Origin, Table); 3]) -> Self {
        let mut values = Table::new();
        let mut origins = BTreeMap::new();
        for (origin, layer) in layers {
            if CONTRADICTING.iter().any(|key| layer.contains_key(*key)) {
                values.retain(|key, _| !CONTRADICTING.contains(&key));
            }
            origins.extend(layer.keys().map(|key| (key.clone(), origin.clone())));
            values.extend(layer);
        }
        let raw = values.try_into().expect("each value was read as one of its kind");
        Self { raw, origins }
    }

    /// Where a setting came from; `None` for a default.
    pub(super) fn origin(&self, key: &str) -> Option<&Origin> {
        self.origins.get(key)
    }
}

/// The file's table; the usual file may be missing, one that was named may not.
fn read_file(path: &Path, is_named: bool) -> Result<Table, SettingsError> {
    match read_bounded(path) {
        Ok(text) => parse_file(&text, path),
        Err(source) if source.kind() == std::io::ErrorKind::NotFound && !is_named => Ok(Table::new()),
        Err(source) => Err(SettingsError::Unreadable { path: path.to_owned(), source }),
    }
}

fn read_bounded(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!("it has more than {} MiB", FILE_BYTES_MAX >> 20)));
    }
    Ok(text)
}

fn parse_file(text: &str, path: &Path) -> Result<Table, SettingsError> {
    let raw: RawSettings = toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = 1 + text.bytes().take(start).filter(|byte| *byte == b'\n').count();
        let message = error.message().replace("unknown field", "unknown key").replace('\n', ": ");
        SettingsError::File { path: path.to_owned(), line, message }
    })?;
    Ok(table_of(&raw))
}
