//! The command line: verbs, flags and their help. Parsing only; `commands` acts on them.

mod blob;
mod control;
mod events;
mod flow;
mod halt;
mod kept;
mod policy;
mod refusal;
mod tasks;

use std::path::PathBuf;

use tracing_subscriber::filter::Targets;
use weft_node::settings::{Given as Settings, parse_whole};

pub(crate) use blob::{BlobArgs, BlobWay};
pub(crate) use control::{DrainArgs, StopArgs};
pub(crate) use events::EventsArgs;
pub(crate) use flow::{
    FlowArgs, FlowFile, FlowForgetArgs, FlowName, FlowPlanArgs, FlowRetryArgs, FlowRunArgs, FlowWay,
    FlowWhyArgs, StepFlags, Takes,
};
pub(crate) use halt::{Ended, Halt, When};
pub(crate) use kept::{
    AdoptArgs, AttachArgs, JobArgs, JobsArgs, KeepArgs, ResultsArgs, ShowResultsArgs, SubmitArgs, WaitArgs,
};
pub(crate) use policy::PolicyArgs;
pub(crate) use refusal::{flag_refusal, help_instead, refusal, unused_flag};
pub(crate) use tasks::{Given, InputsArgs, MapArgs, RunArgs, TaskArgs};

/// A peer-to-peer compute mesh: every machine runs one node, and tasks run wherever there is room.
///
/// Set up: `weft init` on one machine, `weft join TICKET` on the others, `weft node` on all. Then `weft run` and
/// `weft map` on any of them.
#[derive(Debug, clap::Parser)]
#[command(name = "weft", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    /// Where the node keeps its keys and blobs; every verb finds the local node by it.
    ///
    /// Default: `weft` under `XDG_DATA_HOME` or ~/.local/share.
    #[arg(
        long,
        global = true,
        display_order = 1000,
        value_name = "DIR",
        env = "WEFT_DATA_DIR",
        hide_env_values = true
    )]
    pub(crate) data_dir: Option<PathBuf>,
    /// What to log on stderr, such as `info` or `weft_node=debug` [default: warn].
    #[arg(
        long,
        global = true,
        display_order = 1000,
        value_name = "FILTER",
        env = "WEFT_LOG",
        hide_env_values = true,
        value_parser = crate::render::log_filter
    )]
    pub(crate) log: Option<Targets>,
    /// The verb.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    success
  1    it failed; one line on stderr says why and what to do
  2    the command line or the settings are wrong
  3    `node`: the journal could not be opened, and the node ran without it
  4    `node`: the journal failed while the node ran
  5    `node`: the journal was damaged, and the node ran with what was left
  125  weft's own errors in `run`, `map`, `wait`, `results`, `attach` and
       `flow`: their other codes are about tasks; a refusal of `adopt`
  130  interrupted by Ctrl-C

Data goes to stdout, messages and progress to stderr. NO_COLOR is respected.";

/// The verbs.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Make a mesh: a key, and the ticket that lets other machines in.
    ///
    /// Prints the ticket on stdout. Its holders can run tasks on every machine of the mesh: treat it like a password.
    Init(InitArgs),
    /// Join the mesh of a ticket.
    ///
    /// Stores the ticket's key and addresses in the data directory; `weft node` uses them from its next start.
    Join(JoinArgs),
    /// Run this machine's node.
    ///
    /// It runs until Ctrl-C, SIGTERM or `weft stop`. Then it takes no tasks any more, gives back those that it has not begun,
    /// lets tasks of other nodes that run here end for as long as --grace says, and ends. A second Ctrl-C, SIGTERM or
    /// `weft stop` ends it at once. A node finds its peers by mDNS, by --peer, by the addresses of its ticket, and by
    /// addresses that it remembers; one of these is enough. It runs tasks of its peers in its slots, and submits the tasks
    /// of its own jobs to them. On stderr it prints its name and id, where it listens, and each peer that comes and goes.
    Node(Box<NodeArgs>),
    /// Run one task on the mesh: stdin, stdout, stderr and the exit code are the task's.
    Run(Box<RunArgs>),
    /// Run one task per line, file or block of a file; outputs come in the order of the inputs.
    Map(Box<MapArgs>),
    /// Hand in a job that goes on without this command; prints its id.
    Submit(Box<SubmitArgs>),
    /// Wait until a job has ended; the exit code says how, as of `weft map`.
    Wait(WaitArgs),
    /// Print the results of a job that is kept, in the order of its inputs, again and again.
    Results(ResultsArgs),
    /// Go on with a job that is kept, as if `weft map` had not been interrupted.
    Attach(AttachArgs),
    /// Run a flow: a file of steps, each of which is a job that may take the results of others.
    ///
    /// A second run does only what is new, and a failed step is tried again without those before it.
    Flow(Box<FlowArgs>),
    /// Show the peers that the local node knows.
    Peers(PeersArgs),
    /// Show the local node.
    Status(ShowArgs),
    /// Show the jobs that were submitted here, the newest last.
    Jobs(JobsArgs),
    /// Show what became of jobs, tasks and nodes, as this node learnt it, and go on with it.
    Events(EventsArgs),
    /// Cancel a job: its running tasks are stopped, its waiting ones dropped.
    Cancel(JobArgs),
    /// Run the tasks of an ended job again that are not done; results that are there stay.
    ///
    /// Only jobs of level disk or mesh have kept the inputs that it takes.
    Retry(JobArgs),
    /// Forget a job that has ended, with its results.
    Forget(JobArgs),
    /// Make a new job of one whose nodes are gone for good, on the node that has a copy of it.
    Adopt(AdoptArgs),
    /// Let the local node take no new tasks; tasks that run here run to their end.
    ///
    /// Tasks that it holds and has not begun are given back at once, and run on other nodes; that counts as no loss and no
    /// fault. Use it before a machine is turned off or needed otherwise. Jobs that were submitted here go on, on other nodes.
    Drain(DrainArgs),
    /// End the local node.
    ///
    /// It takes no new tasks, gives back what it has not begun, and lets tasks of other nodes that run here end for as long as
    /// its --grace says (10s unless set otherwise); then it gives them back, too, and they run elsewhere. A second
    /// `weft stop` ends it at once. Unfinished jobs in memory that were submitted here are lost; those of level mesh go on at other
    /// nodes that keep them, those of level disk when the node is started again.
    Stop(StopArgs),
    /// Show why a job or a task does not run, peer by peer.
    ///
    /// Shows where the task is, and each peer's last answer to its job's call for bids, with the reason of a refusal.
    Why(WhyArgs),
    /// Store a file as a blob, or read a blob.
    Blob(BlobArgs),
    /// Check the receipt of a task, which its worker signed; needs no node.
    Receipt(ReceiptArgs),
    /// Show a mesh at work: several nodes in this process, two real jobs, and one node killed on the way.
    ///
    /// Needs no setup and no node. Every result is checked against a direct computation.
    Demo(DemoArgs),
    /// Measure a mesh of processes on this machine, next to the cost of the same work without a mesh.
    ///
    /// Needs no setup and no node. It starts its own nodes and kills them at the end; each row is a median of several
    /// rounds, and its floor is measured in the same rounds. On a busy machine, look at the ratios.
    Bench(BenchArgs),
}

impl Verb {
    /// The same by the word, where the command line is wrong elsewhere.
    pub(crate) fn word_runs_tasks(word: &str) -> bool {
        ["run", "map", "wait", "results", "attach", "adopt", "flow"].contains(&word)
    }

    /// Whether the exit code is about tasks, so that weft's own errors need a code of their own; a refusal of `weft adopt` has it, too.
    pub(crate) fn runs_tasks(&self) -> bool {
        match self {
            Self::Run(_)
            | Self::Map(_)
            | Self::Wait(_)
            | Self::Results(_)
            | Self::Attach(_)
            | Self::Adopt(_)
            | Self::Flow(_) => true,
            Self::Submit(_)
            | Self::Retry(_)
            | Self::Forget(_)
            | Self::Init(_)
            | Self::Join(_)
            | Self::Node(_)
            | Self::Peers(_)
            | Self::Status(_)
            | Self::Jobs(_)
            | Self::Cancel(_)
            | Self::Events(_)
            | Self::Drain(_)
            | Self::Stop(_)
            | Self::Why(_)
            | Self::Blob(_)
            | Self::Receipt(_)
            | Self::Demo(_)
            | Self::Bench(_) => false,
        }
    }
}

/// Flags of `weft init`.
#[derive(Debug, clap::Args)]
pub(crate) struct InitArgs {
    /// Print the ticket of this machine's mesh, and change nothing.
    #[arg(long)]
    pub(crate) show: bool,
    /// Replace an existing mesh key. This machine leaves its mesh; tickets made before are no longer valid here.
    #[arg(long, conflicts_with = "show")]
    pub(crate) force: bool,
    /// Put this address into the ticket, IP:PORT or HOST:PORT, instead of this machine's own. May be repeated.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) address: Vec<weft_node::settings::Place>,
    /// Print one JSON object instead of the bare ticket.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Flags of `weft join`.
#[derive(Debug, clap::Args)]
pub(crate) struct JoinArgs {
    /// The line that `weft init` printed; `-` reads it from stdin, which keeps it out of the shell's history.
    pub(crate) ticket: String,
    /// Replace the key of another mesh: this machine leaves that one.
    #[arg(long)]
    pub(crate) force: bool,
}

/// Flags of `weft node`.
#[derive(Debug, clap::Args)]
#[command(after_help = NODE_HELP)]
pub(crate) struct NodeArgs {
    /// The node's settings.
    #[command(flatten)]
    pub(crate) given: Settings,
    /// Write all inputs and decisions of the node's engine into a new FILE, up to 1 GiB, for `weft-sim replay`.
    ///
    /// A debugging aid. The file holds inputs and outputs of tasks; only this user can read it.
    #[arg(long, value_name = "FILE", display_order = 900)]
    pub(crate) record: Option<PathBuf>,
}

const NODE_HELP: &str = "\
Who may join:
  with a mesh key (weft init, weft join)  holders of the key; listens on
                                          0.0.0.0:7117 and [::]:7117
  without one                             no other machine: listens on
                                          127.0.0.1
  without one, with --open                every node that can reach this
                                          machine; all of them can run tasks

Each setting can be given in three places, under one name:
  a flag      --module-limit 256MiB
  a variable  WEFT_MODULE_LIMIT=256MiB     WEFT_ and the flag's name in
                                           capitals, with _ for -
  the file    module-limit = \"256MiB\"     DATA_DIR/weft.toml, or --config
A flag is used before a variable, a variable before the file, and the file
before the default. A variable that is set to nothing is not set. Lists in
variables are separated by commas. An unknown key in the file is an error.
--data-dir, --config and --log can't be set in the file.

weft.toml:
  name = \"anna\"
  slots = 8
  memory = \"512MiB\"
  listen = [\"0.0.0.0:7117\"]
  peer = [\"192.168.1.7:7117\"]
  label = { rack = \"3\", gpu = \"no\" }
  open = false

Files in the data directory:
  identity.key  this node's secret, made at the first start
  mesh.key      the mesh's secret
  joined.peers  addresses from tickets
  peers         peers met before
  api.json      where the API listens, and its token
  api.token     the API's token, kept over restarts
  lock          held while the node runs
  version       how these files are to be read
  journal/      jobs that outlive the node, with their results
  journal.mark  how often the journal was opened
  blobs/        inputs, outputs, modules
  modules/      compiled modules

Examples:
  weft node
      one slot per core, peers by mDNS
  weft node --slots 4 --label rack=3
      four slots, and a label that tasks ask for with --need rack=3
  weft node --peer 192.168.1.7:7117 --no-mdns
      where multicast does not pass; HOST:PORT works as well";

/// A view of the local node.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// Print JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Flags of `weft peers`.
#[derive(Debug, clap::Args)]
pub(crate) struct PeersArgs {
    /// Show the nodes that have been disconnected for more than an hour as well.
    #[arg(long)]
    pub(crate) all: bool,
    /// Forget a disconnected node, by its id, the beginning of it, or its name.
    ///
    /// It is no longer listed or dialled, until it connects by itself.
    #[arg(long, value_name = "ID", conflicts_with = "all")]
    pub(crate) forget: Option<String>,
    /// Print JSON instead of a table, with all nodes.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Flags of `weft why`.
#[derive(Debug, clap::Args)]
pub(crate) struct WhyArgs {
    /// The job's id, or the beginning of it, and after a slash the task's number, from 0.
    #[arg(value_name = "JOB[/INDEX]")]
    pub(crate) task: String,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Flags of `weft receipt`.
#[derive(Debug, clap::Args)]
pub(crate) struct ReceiptArgs {
    /// The verb.
    #[command(subcommand)]
    pub(crate) way: ReceiptWay,
}

/// The verbs of `weft receipt`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ReceiptWay {
    /// Check every receipt of a file, and the result given with it.
    ///
    /// The file holds what `--json --receipt` printed, or bare receipts. Each signature must be the worker's, over exactly
    /// this statement; the readable fields must say what was stated; and if the output is given too, it must be the stated
    /// one. Prints a line for each; the first that fails ends it with exit code 1.
    Check {
        /// The file; `-` is stdin.
        file: PathBuf,
    },
}

/// Flags of `weft demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// Render the picture in N tiles, one task each.
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = parse_whole::<u32, 256, 65_536>)]
    pub(crate) tiles: u32,
    /// Write the picture, the table and the nodes' data into DIR.
    #[arg(long, value_name = "DIR", default_value = "./weft-demo")]
    pub(crate) out: PathBuf,
    /// Start N nodes; one of them is killed.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = parse_whole::<u8, 2, 32>)]
    pub(crate) nodes: u8,
    /// Give each node N slots.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = parse_whole::<u32, 1, 256>)]
    pub(crate) slots: u32,
}

/// Flags of `weft bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// Start N nodes, with as many slots as this machine has cores, but at least one each.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = parse_whole::<u8, 1, 32>)]
    pub(crate) nodes: u8,
    /// Measure less, for a first look.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args as _, CommandFactory as _};

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_directory_that_a_verb_does_not_look_at_is_refused() {
        let unused = |line: &str| unused_flag(&Cli::command().try_get_matches_from(line.split(' ')).unwrap());
        for line in ["weft demo --data-dir x", "weft --data-dir x demo"] {
            assert!(unused(line).is_some_and(|text| text.contains("--out DIR")), "{line}");
        }
        assert!(unused("weft bench --data-dir x").is_some());
        for line in ["weft demo", "weft demo --out x", "weft status --data-dir x"] {
            assert_eq!(unused(line), None, "{line}");
        }
    }

    #[test]
    fn flags_are_under_their_own_heading() {
        for verb in ["run", "map", "submit"] {
            let mut all = Cli::command();
            all.build();
            let verb = all.find_subcommand_mut(verb).unwrap();
            for argument in verb.get_arguments() {
                let is_policy = PolicyArgs::augment_args(clap::Command::new("x"))
                    .get_arguments()
                    .any(|policy| policy.get_id() == argument.get_id());
                let heading = argument.get_help_heading();
                let is_policy = is_policy || argument.get_id() == "halt";
                assert_eq!(heading == Some("When and how often"), is_policy, "{}", argument.get_id());
            }
        }
    }

    #[test]
    fn a_verb_about_tasks_is_one_by_its_word_too() {
        for verb in Cli::command().get_subcommands() {
            let name = verb.get_name();
            let line = match name {
                "run" | "submit" => vec!["weft", name, "x.wasm"],
                "map" => vec!["weft", name, "x.wasm", "--each-line", "-"],
                "wait" | "results" | "attach" | "cancel" | "retry" | "forget" | "adopt" | "why" | "join" => {
                    vec!["weft", name, "a7"]
                }
                "blob" => vec!["weft", name, "get", "a7"],
                "flow" => vec!["weft", name, "check"],
                "receipt" => vec!["weft", name, "check", "-"],
                _ => vec!["weft", name],
            };
            let cli = <Cli as clap::Parser>::try_parse_from(line).unwrap();
            assert_eq!(cli.verb.runs_tasks(), Verb::word_runs_tasks(name), "{name}");
        }
    }
}
