//! The verbs, one file each. A verb returns its exit code, or a [`Problem`] that `main` prints in one line.

mod adopt;
mod bench;
mod blob;
mod choice;
mod control;
mod demo;
mod draft;
mod events;
mod feed;
mod flow;
mod init;
mod inputs;
mod interrupt;
mod joblog;
mod jobs;
mod join;
mod kept;
mod live;
mod map;
mod node;
mod out;
mod outcome;
mod outdir;
mod outname;
mod outtemp;
mod peers;
mod places;
mod plan;
mod reach;
mod receipt;
mod records;
mod reorder;
mod results;
mod run;
mod session;
mod shortage;
mod sink;
mod sources;
mod spool;
mod stage;
mod status;
mod submit;
mod tailor;
mod tally;
mod task;
mod telling;
mod template;
mod wait;
mod why;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use weft_client::Mesh;
use weft_core::message::NODE_LABEL;
use weft_node::settings::{self, DirError, SettingsError};
use weft_node::ticket::TicketError;

use crate::cli::{Cli, Verb};
use task::task_of;

/// Weft's own errors of the verbs whose exit code is about tasks.
pub(crate) const EXIT_OWN: u8 = 125;
/// A wrong command line, or wrong settings.
pub(crate) const EXIT_USAGE: u8 = 2;
/// `weft node`: the journal could not be opened; the node ran without one.
pub(crate) const EXIT_JOURNAL: u8 = 3;
/// `weft node`: the journal failed while the node ran.
pub(crate) const EXIT_JOURNAL_FAILED: u8 = 4;
/// `weft node`: the journal was damaged when it was opened; the node ran with what was left.
pub(crate) const EXIT_JOURNAL_DAMAGED: u8 = 5;
/// Ctrl-C.
pub(crate) const EXIT_INTERRUPTED: u8 = 130;
/// How to find a job.
const JOB_ADVICE: &str = "`weft jobs --mesh` lists those that they know, by id and name";

/// Why a verb could not do its work. Each text is one line: what, why, and what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    /// The settings are invalid.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The data directory can't be used.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// The ticket is invalid.
    #[error(transparent)]
    Ticket(#[from] TicketError),
    /// The command line asks for something impossible.
    #[error("{0}")]
    Usage(String),
    /// It could not be done.
    #[error("{0}")]
    Failed(String),
    /// A file can't be read or written.
    #[error("cannot {action} {}: {source}{}", path.display(), advice(source))]
    File {
        /// "read", "write".
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// No job has that id.
    #[error("no job {id} on this node or one that is connected: {help}")]
    NoJob {
        /// The id.
        id: String,
        /// Why it may not be known, as the node says; else how to find it.
        help: String,
    },
    /// The node, or the way to it.
    #[error(transparent)]
    Client(Box<weft_client::Error>),
    /// Stdout can't be written.
    #[error("cannot write to stdout: {0}")]
    Stdout(#[source] io::Error),
    /// The operating system refused an event loop.
    #[error("cannot start: {0}; the system is out of files or threads")]
    Runtime(#[source] io::Error),
    /// Ctrl-C.
    #[error("{0}")]
    Interrupted(String),
}

impl Problem {
    /// Whether it need not be printed: the reader of our stdout has gone.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self, Self::Stdout(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The exit code, see the help of `weft`.
    pub(crate) fn exit_code(&self, runs_tasks: bool) -> u8 {
        match self {
            Self::Interrupted(_) => EXIT_INTERRUPTED,
            Self::Stdout(_) if self.is_quiet() => 0,
            Self::Settings(_)
            | Self::Dir(_)
            | Self::Ticket(_)
            | Self::Usage(_)
            | Self::Failed(_)
            | Self::File { .. }
            | Self::NoJob { .. }
            | Self::Client(_)
            | Self::Stdout(_)
            | Self::Runtime(_)
                if runs_tasks =>
            {
                EXIT_OWN
            }
            // A full disk or a closed directory is no wrong setting.
            Self::Settings(SettingsError::Dir(_))
            | Self::Dir(_)
            | Self::Failed(_)
            | Self::File { .. }
            | Self::NoJob { .. }
            | Self::Client(_)
            | Self::Stdout(_)
            | Self::Runtime(_) => 1,
            Self::Settings(_) | Self::Ticket(_) | Self::Usage(_) => EXIT_USAGE,
        }
    }
}

impl From<weft_client::Error> for Problem {
    fn from(error: weft_client::Error) -> Self {
        if let weft_client::Error::NotFound { what: "job", name, help } = error {
            Self::NoJob { id: name, help: help.unwrap_or_else(|| String::from(JOB_ADVICE)) }
        } else {
            Self::Client(Box::new(error))
        }
    }
}

/// What to do about a file, where the error's own words don't say it.
fn advice(error: &io::Error) -> &'static str {
    const ADVICE: [(io::ErrorKind, &str); 4] = [
        (io::ErrorKind::NotFound, "; check the path"),
        (io::ErrorKind::PermissionDenied, "; check its owner and mode"),
        (io::ErrorKind::IsADirectory, "; name a file in it"),
        (io::ErrorKind::StorageFull, "; make room"),
    ];
    ADVICE.iter().find(|(kind, _)| *kind == error.kind()).map_or("", |(_, advice)| advice)
}

/// Does what the command line says.
pub(crate) async fn dispatch(cli: Cli) -> Result<u8, Problem> {
    let Cli { data_dir, log: _, verb } = cli;
    match verb {
        Verb::Init(args) => init::init(&resolve_dir(data_dir)?, &args).await,
        Verb::Join(args) => join::join(&resolve_dir(data_dir)?, &args),
        Verb::Node(args) => node::node(data_dir, *args).await,
        Verb::Run(args) => Box::pin(run::run(&resolve_dir(data_dir)?, *args)).await,
        Verb::Map(args) => Box::pin(map::map(&resolve_dir(data_dir)?, *args)).await,
        Verb::Flow(args) => Box::pin(flow::flow(data_dir, *args)).await,
        Verb::Peers(args) => peers::peers(&connect(data_dir).await?, &args).await,
        Verb::Status(args) => status::status(&connect(data_dir).await?, &args).await,
        Verb::Jobs(args) => jobs::jobs(&connect(data_dir).await?, &args).await,
        Verb::Submit(args) => Box::pin(submit::submit(&resolve_dir(data_dir)?, *args)).await,
        Verb::Wait(args) => wait::wait(&connect(data_dir).await?, &args).await,
        Verb::Results(args) => Box::pin(results::results(&connect(data_dir).await?, args)).await,
        Verb::Attach(args) => Box::pin(results::attach(&connect(data_dir).await?, args)).await,
        Verb::Events(args) => events::events(&connect(data_dir).await?, args).await,
        Verb::Cancel(args) => kept::cancel(&connect(data_dir).await?, &args).await,
        Verb::Retry(args) => kept::retry(&connect(data_dir).await?, &args).await,
        Verb::Adopt(args) => adopt::adopt(&connect(data_dir).await?, &args).await,
        Verb::Forget(args) => kept::forget(&connect(data_dir).await?, &args).await,
        Verb::Drain(args) => control::drain(&connect(data_dir).await?, &args).await,
        Verb::Stop(args) => control::stop(&resolve_dir(data_dir)?, &args).await,
        Verb::Why(args) => why::why(&connect(data_dir).await?, &args).await,
        Verb::Demo(args) => demo::demo(args).await,
        Verb::Bench(args) => bench::bench(args).await,
        Verb::Receipt(args) => receipt::receipt(args),
        Verb::Blob(args) => blob::blob(&connect(data_dir).await?, args).await,
    }
}

fn resolve_dir(given: Option<PathBuf>) -> Result<PathBuf, DirError> {
    let data_dir = settings::data_dir_of(given)?;
    settings::check_owner(&data_dir)?;
    Ok(data_dir)
}

async fn connect(given: Option<PathBuf>) -> Result<Mesh, Problem> {
    Ok(Mesh::connect_in(&resolve_dir(given)?).await?)
}

/// Labels as they are written on a command line, without the node's own id, which is shown elsewhere, and without what is for programs.
fn labels(labels: &BTreeMap<String, String>) -> String {
    let is_hidden =
        |name: &str| name == NODE_LABEL || name.starts_with("cpu.") || flow::HIDDEN_LABELS.contains(&name);
    let chosen = labels.iter().filter(|(name, _)| !is_hidden(name));
    let pairs: Vec<String> = chosen.map(|(name, value)| format!("{name}={value}")).collect();
    if pairs.is_empty() { String::from("-") } else { pairs.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_tell_whose_they_are() {
        let no_job = || Problem::NoJob { id: "x".into(), help: "y".into() };
        assert_eq!(no_job().exit_code(false), 1);
        assert_eq!(no_job().exit_code(true), EXIT_OWN);
        assert_eq!(Problem::Usage("x".into()).exit_code(false), EXIT_USAGE);
        assert_eq!(Problem::Interrupted("x".into()).exit_code(true), EXIT_INTERRUPTED);
        let gone = Problem::Stdout(io::ErrorKind::BrokenPipe.into());
        assert!(gone.is_quiet());
        assert_eq!(gone.exit_code(true), 0);
    }
}
