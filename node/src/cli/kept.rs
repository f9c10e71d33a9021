//! The words about jobs that go on without us: how a job is kept and called, and the verbs on it.

use std::path::PathBuf;
use std::time::Duration;

use weft_client::{JobState, Level};
use weft_node::settings::{parse_duration, parse_pair, parse_whole};

use super::tasks::{InputsArgs, TaskArgs};

/// The heading of these flags in the help.
const HEADING: &str = "How the job is kept";

/// What a job survives, and what it is called.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct KeepArgs {
    /// What the job survives: `memory`, the loss of workers; `disk`, also a restart of this node; `mesh`, also its loss for
    /// ever, for three nodes keep it. One of level disk or mesh goes on without this command: `weft attach` shows it again
    /// [default: memory; of `weft submit`: mesh where three nodes can keep it, else disk].
    #[arg(long, help_heading = HEADING, value_name = "memory|disk|mesh")]
    pub(crate) level: Option<Level>,
    /// Call the job NAME, which other verbs take in the place of its id. So that it can't be taken for an id, it has a letter from
    /// g to z or another character that is no hexadecimal digit, or more than 16 characters; it has no slash.
    #[arg(long, help_heading = HEADING, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Label the job, for `weft jobs --label`. May be repeated.
    #[arg(long, help_heading = HEADING, value_name = "NAME=VALUE", value_parser = parse_pair)]
    pub(crate) label: Vec<(String, String)>,
    /// Let every node of the mesh cancel, retry and forget the job, not only this one. Each may read it in any case.
    #[arg(long, help_heading = HEADING)]
    pub(crate) shared: bool,
}

/// Flags of `weft submit`.
#[derive(Debug, clap::Args)]
#[command(after_help = SUBMIT_HELP)]
pub(crate) struct SubmitArgs {
    /// The module: a .wasm file (a command, a component or functions), or its text, a .wat file.
    pub(crate) module: PathBuf,
    /// Arguments of every task.
    #[arg(last = true, value_name = "ARGS")]
    pub(crate) args: Vec<String>,
    /// Its inputs, as of a map.
    #[command(flatten)]
    pub(crate) inputs: InputsArgs,
    /// Take the results of JOB, which is at level disk or mesh: one task per task of JOB; its stdin is that one's stdout. Each
    /// begins as soon as its own is done.
    #[arg(
        long,
        value_name = "JOB",
        conflicts_with_all = ["inputs", "as_file", "jsonl", "nul", "shuf", "limit", "after", "even_if_failed"],
        help_heading = super::tasks::INPUTS,
    )]
    pub(crate) each_result: Option<String>,
    /// Gather the results of JOB, which is at level disk or mesh; may be given several times. The job has one task, which begins
    /// when all of theirs are done and finds their outputs as files: /in/000000, /in/000001, ..
    #[arg(
        long,
        value_name = "JOB",
        conflicts_with_all = [
            "inputs", "as_file", "jsonl", "nul", "shuf", "limit", "after", "even_if_failed", "each_result", "function",
        ],
        help_heading = super::tasks::INPUTS,
    )]
    pub(crate) gather: Vec<String>,
    /// Without inputs: give the one task this file as its stdin; `-` is this command's own, which is also the default.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["inputs", "each_result", "gather"])]
    pub(crate) stdin: Option<PathBuf>,
    /// Have the workers sign their reports; `weft results --json` shows the receipts. Every task is run, even if its result
    /// is known.
    #[arg(long)]
    pub(crate) receipt: bool,
    /// Print one JSON object instead of the bare id.
    #[arg(long)]
    pub(crate) json: bool,
    /// At level mesh: have the same three nodes keep it as JOB, as long as the same nodes can keep jobs; so that a job can gather
    /// both.
    #[arg(long, value_name = "JOB", help_heading = HEADING)]
    pub(crate) keep_with: Option<String>,
    /// How it is kept.
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
    /// What every task is given. It comes last: its headings would hold for the fields after it.
    #[command(flatten)]
    pub(crate) task: TaskArgs,
}

const SUBMIT_HELP: &str = "\
Takes the inputs of `weft map`, or as `weft run` one task and its stdin. Prints
the job's id on stdout once the job is accepted with all its inputs, and who
keeps it on stderr. With an input that can't be read, or Ctrl-C before that, the
job is cancelled. Words in braces in --input and ARGS are as of `weft map`.

Examples:
  job=$(weft submit score.wasm --each-line words.txt --name friday)
  weft wait $job && weft results $job > scores.txt
  weft submit stems.wasm --each-result $job
  weft submit page.wasm --gather $job
  weft submit render.wasm --label film=7 -- --frame 12 < scene.txt";

/// Flags of `weft wait`.
#[derive(Debug, clap::Args)]
#[command(after_help = WAIT_HELP)]
pub(crate) struct WaitArgs {
    /// The job's id, the beginning of it, or its name.
    pub(crate) job: String,
    /// Print the ended job as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

const WAIT_HELP: &str = "\
Exit code, as of `weft map`: the number of failed tasks, at most 100; 125 for
weft's own errors; 130 when the job was cancelled, or when interrupted by
Ctrl-C, after which the job goes on.";

/// Which results are shown, and where they go.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowResultsArgs {
    /// The job's id, the beginning of it, or its name.
    pub(crate) job: String,
    /// Begin with the result of input N, counted from 0.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = parse_whole::<u32, 0, { u32::MAX as u64 }>)]
    pub(crate) from: u32,
    /// Write each output into a file of DIR, named by its input's number from 0, and the files that a task left in /out
    /// into a directory NAME.out next to it. DIR must be empty or not exist. {index} in NAME is the number.
    #[arg(long, value_name = "DIR[/NAME]", conflicts_with = "json")]
    pub(crate) out: Option<PathBuf>,
    /// Let --out write into a directory that is not empty, and replace files of the same names.
    #[arg(long, requires = "out")]
    pub(crate) force: bool,
    /// Go on with an earlier run: outputs that are in DIR stay as they are.
    #[arg(long, requires = "out", conflicts_with = "force")]
    pub(crate) resume: bool,
    /// Print one JSON object a line, in the order in which the tasks ended, with the keys of `weft map --json`.
    #[arg(long)]
    pub(crate) json: bool,
    /// On a terminal, print outputs as they are instead of making control characters visible.
    #[arg(long)]
    pub(crate) raw: bool,
}

/// Flags of `weft results`.
#[derive(Debug, clap::Args)]
#[command(after_help = RESULTS_HELP)]
pub(crate) struct ResultsArgs {
    /// Which, and where they go.
    #[command(flatten)]
    pub(crate) show: ShowResultsArgs,
    /// Wait for results that are not there yet, to the job's end.
    #[arg(long)]
    pub(crate) follow: bool,
}

const RESULTS_HELP: &str = "\
Prints what `weft map` prints: the outputs of successful tasks on stdout, in the
order of the inputs, each ended by a newline; failures on stderr. May be asked
again, and by several at once. Of a job that has not ended it prints the results
up to the first that is not there, and says so.

Exit code, as of `weft map`: the number of failed tasks, at most 100; 125 for
weft's own errors, and when the job has not ended; 130 when it was cancelled, or
when interrupted by Ctrl-C, after which the job goes on.";

/// Flags of `weft attach`.
#[derive(Debug, clap::Args)]
#[command(after_help = ATTACH_HELP)]
pub(crate) struct AttachArgs {
    /// Which results, and where they go.
    #[command(flatten)]
    pub(crate) show: ShowResultsArgs,
}

const ATTACH_HELP: &str = "\
Goes on with a job as if `weft map` had not been interrupted: shows its progress,
and prints its results in the order of the inputs as they come, from input 0 or
--from on. Ctrl-C leaves the job as it is.

Exit code, as of `weft map`: the number of failed tasks, at most 100; 125 for
weft's own errors; 130 when the job was cancelled, or when interrupted by
Ctrl-C, after which the job goes on.";

/// A job, and how to tell what became of it: `weft cancel`, `weft retry`, `weft forget`.
#[derive(Debug, clap::Args)]
pub(crate) struct JobArgs {
    /// The job's id, the beginning of it, or its name.
    pub(crate) job: String,
    /// Print JSON instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Flags of `weft adopt`.
#[derive(Debug, clap::Args)]
#[command(after_help = ADOPT_HELP)]
pub(crate) struct AdoptArgs {
    /// The job's id, the beginning of it, or its name.
    pub(crate) job: String,
    /// Do it. Without this flag the command says what it would do, and ends with code 125.
    #[arg(long)]
    pub(crate) force: bool,
    /// What the new job survives [default: mesh where three nodes can keep it, else disk].
    #[arg(long, value_name = "disk|mesh")]
    pub(crate) level: Option<Level>,
    /// Print one JSON object instead of the bare id.
    #[arg(long)]
    pub(crate) json: bool,
}

const ADOPT_HELP: &str = "\
For a job of level mesh of which two of its three nodes are gone for good, on the
one that is left; or for one of level disk whose node is gone for good, on the
node that has a copy of it. Makes a new job, with an id of its own, of what this node has of
it: its inputs, and the results that had come here; what has none runs. Prints
the new job's id on stdout, and what may be doubted on stderr: the old job goes
on under its own id if its nodes come back, so that tasks run twice; and results
that the lost nodes told last may not be here, and be computed again.

Exit code: 0 when the new job is kept, 125 otherwise.";

/// Flags of `weft jobs`.
#[derive(Debug, clap::Args)]
#[command(after_help = JOBS_HELP)]
pub(crate) struct JobsArgs {
    /// Show jobs that are `waiting` (for jobs of --after), `running`, `done`, `failed`, `cancelled`; `unfinished` is the first
    /// two, `ended` the others. May be repeated, or separated by commas.
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = StateWord::parse)]
    pub(crate) state: Vec<StateWord>,
    /// Show jobs with this label. May be repeated: they have all of them.
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_pair)]
    pub(crate) label: Vec<(String, String)>,
    /// Show jobs of this name.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Show jobs that were submitted on this node: its name, or its id as `weft peers` shows it.
    #[arg(long, value_name = "NODE")]
    pub(crate) owner: Option<String>,
    /// Show jobs that were submitted in this time until now, such as 2h or 3d.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) since: Option<Duration>,
    /// Show the newest N jobs [default: 100; with --json, all].
    #[arg(long, value_name = "N", value_parser = parse_whole::<u32, 1, 1000>, conflicts_with = "all")]
    pub(crate) limit: Option<u32>,
    /// Show jobs that were submitted before job JOB: with --limit, the page before.
    #[arg(long, value_name = "JOB", conflicts_with = "all")]
    pub(crate) before: Option<String>,
    /// Show all of them.
    #[arg(long)]
    pub(crate) all: bool,
    /// Show the jobs of the whole mesh: also those that the other nodes lead which are connected.
    #[arg(long)]
    pub(crate) mesh: bool,
    /// Print JSON instead of a table: one array; with --mesh an object with `jobs`, and `silent`, the nodes that gave no answer.
    #[arg(long)]
    pub(crate) json: bool,
}

const JOBS_HELP: &str = "\
Some states say more than --state knows: `open`, `cancelling`, `no leader` and
`owner silent` are found as running, `given up` and `skipped` as failed.

Examples:
  weft jobs --state unfinished
  weft jobs --state failed,cancelled --since 1d --label team=fonts
  weft jobs --limit 20 --before 9f2c01d4    the 20 jobs before that one
  weft jobs --mesh --state running          everybody's, with who submitted and who leads each";

/// A word of `--state`, and the phases that it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StateWord(pub(crate) Vec<JobState>);

impl StateWord {
    fn parse(word: &str) -> Result<Self, String> {
        JobState::of_word(word).map(Self)
    }
}
