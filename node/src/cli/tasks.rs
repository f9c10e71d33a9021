//! The words of `weft run` and `weft map`: what a task is, what it is given, and what becomes of what it leaves.

use std::path::PathBuf;
use std::time::Duration;

use weft_client::{Class, Recall};
use weft_core::Limits;
use weft_node::api::{MEMORY_BYTES_MAX, RETRIES_MAX};
use weft_node::settings::{parse_pair, parse_whole, size_up_to, time_up_to};

use super::halt::Halt;
use super::kept::KeepArgs;
use super::policy::PolicyArgs;

/// A file or a directory for `/in`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    /// Its path on this machine.
    pub(crate) path: PathBuf,
    /// Its name in the task's `/in`; its own name if `None`.
    pub(crate) name: Option<String>,
}

impl Given {
    /// `PATH` or `PATH:/in/NAME`; the last `:/in` separates.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let split = text.rsplit_once(":/").filter(|(_, name)| *name == "in" || name.starts_with("in/"));
        let (path, name) = match split {
            Some((path, name)) => (path, Some(format!("/{name}"))),
            None => (text, None),
        };
        if path.is_empty() {
            Err(String::from("PATH or PATH:/in/NAME"))
        } else {
            Ok(Self { path: path.into(), name })
        }
    }
}

/// What every task of a job is given.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TaskArgs {
    /// Call this function of the module, instead of running the module as a command.
    #[arg(long = "fn", value_name = "NAME")]
    pub(crate) function: Option<String>,
    /// Set a variable of the task's environment. May be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_pair)]
    pub(crate) env: Vec<(String, String)>,
    /// Stop a task that ran longer, such as 500ms, 30s or 5m [default: 60s].
    #[arg(long, value_name = "TIME", value_parser = time_up_to::<{ Limits::MAX.wall_ms as u64 }>)]
    pub(crate) timeout: Option<Duration>,
    /// Most memory of a task, such as 64MiB [default: 256MiB].
    #[arg(long, value_name = "SIZE", value_parser = size_up_to::<MEMORY_BYTES_MAX>)]
    pub(crate) memory: Option<u64>,
    /// Copy a file or a directory to /in, where tasks read it. May be repeated.
    ///
    /// It appears as /in/NAME, by default with its own name; `:/in` copies the contents of a directory to /in itself.
    /// Directories are copied recursively. Symlinks must not point outside the directory.
    #[arg(long, value_name = "PATH[:/in/NAME]", value_parser = Given::parse)]
    pub(crate) input: Vec<Given>,
    /// Stop a task that holds more than this under /tmp and /out together, up to 1GiB [default: 64MiB].
    #[arg(long, value_name = "SIZE", value_parser = size_up_to::<{ Limits::MAX.files_bytes }>)]
    pub(crate) files_limit: Option<u64>,
    /// Stop a task that makes more files and directories under /tmp and /out together [default: 10000].
    #[arg(long, value_name = "N", value_parser = parse_whole::<u32, 0, { Limits::MAX.files as u64 }>)]
    pub(crate) files_count: Option<u32>,
    /// Stop a task whose output is longer, up to 256MiB [default: 64MiB].
    #[arg(long, value_name = "SIZE", value_parser = size_up_to::<{ Limits::MAX.output_bytes }>)]
    pub(crate) output_limit: Option<u64>,
    /// Stop a task that writes more to its standard error, up to 16MiB [default: 1MiB].
    #[arg(long, value_name = "SIZE", value_parser = size_up_to::<{ Limits::MAX.errors_bytes }>)]
    pub(crate) errors_limit: Option<u64>,
    /// Stop a task that used N units of fuel, about one per instruction: the same number on every node. Counting slows the
    /// task down.
    #[arg(long, value_name = "N", value_parser = parse_whole::<u64, 0, { u64::MAX }>)]
    pub(crate) fuel: Option<u64>,
    /// Give every NaN the same bits on every processor, which slows down code that computes with floats.
    #[arg(long, conflicts_with = "impure")]
    pub(crate) portable: bool,
    /// Give the task the real clock and real randomness instead of virtual ones. Its result is not cached.
    #[arg(long)]
    pub(crate) impure: bool,
    /// The priority class: scavenger, batch, interactive or realtime. Tasks of a higher class pause running tasks of a
    /// lower one [default: batch].
    #[arg(long, value_name = "CLASS")]
    pub(crate) class: Option<Class>,
    /// Which known results may be used instead of running the task: `own`, those that this node or the worker computed, or
    /// that were returned to this node before; `mesh`, also those that any other member reports, which a member can make
    /// up; `off`, none [default: own, or the node's setting].
    #[arg(long, value_name = "own|mesh|off")]
    pub(crate) memo: Option<Recall>,
    /// Run the task even if its result is known: the same as --memo off.
    #[arg(long, conflicts_with = "memo")]
    pub(crate) no_memo: bool,
    /// Run only on nodes that carry this label; node=NAME or node=ID is one node. May be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_pair)]
    pub(crate) need: Vec<(String, String)>,
    /// Give each task N slots of one node: it waits until they are free at the same time. It still has one thread: use this
    /// for tasks that need much of a machine's memory or caches.
    #[arg(long, value_name = "N", value_parser = parse_whole::<u32, 1, 1024>)]
    pub(crate) slots: Option<u32>,
    /// Run a failed task again, up to N times.
    #[arg(long, value_name = "N", value_parser = parse_whole::<u32, 0, { RETRIES_MAX as u64 }>)]
    pub(crate) retries: Option<u32>,
    /// When, how often and on how many nodes it runs.
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,
}

/// Flags of `weft run`.
#[derive(Debug, clap::Args)]
#[command(after_help = RUN_HELP)]
pub(crate) struct RunArgs {
    /// The module: a .wasm file (a command, a component or functions), or its text, a .wat file.
    pub(crate) module: PathBuf,
    /// What the task is given.
    #[command(flatten)]
    pub(crate) task: TaskArgs,
    /// Give the task this file as its stdin; `-` is this command's own, which is also the default.
    #[arg(long, value_name = "FILE")]
    pub(crate) stdin: Option<PathBuf>,
    /// Copy the files that the task left in /out to DIR, which must be empty or not exist.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Let --out write into a directory that is not empty, and replace files of the same names.
    #[arg(long, requires = "out")]
    pub(crate) force: bool,
    /// Have the worker sign its report, check the signature, and show it on stderr, or in the JSON. The task is run even if
    /// its result is known.
    #[arg(long)]
    pub(crate) receipt: bool,
    /// Print one JSON object instead of the task's stdout and stderr.
    #[arg(long)]
    pub(crate) json: bool,
    /// On a terminal, print the task's output unchanged. Without it, only colours, tabs and line ends pass, and other
    /// control characters are made visible. A file or a pipe always gets the unchanged bytes.
    #[arg(long)]
    pub(crate) raw: bool,
    /// Arguments of the task.
    #[arg(last = true, value_name = "ARGS")]
    pub(crate) args: Vec<String>,
    /// How its job is kept.
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
}

const RUN_HELP: &str = "\
The task starts when stdin has ended; stdin from a terminal counts as empty.
Its output is shown while it runs. It sees its arguments, its environment, the
files of --input under /in, an empty /tmp and an empty /out, and nothing else.

Exit code: the task's own, and
  1    a function returned an error
  124  the task ran out of time, or of fuel, or expired
  125  weft's own errors, an invalid module, output or files over their limit,
       a task that was skipped because a job of --after did not succeed
  126  the task trapped
  130  interrupted by Ctrl-C, which cancels the task, or cancelled otherwise,
       as by `weft cancel`
  137  the task ran out of memory

Examples:
  echo hello | weft run wc.wasm
  weft run render.wasm --timeout 5m -- --width 640 < scene.txt > out.png
  weft run tools.wasm --fn double --stdin numbers.bin
  weft run build.wasm --input src --input cfg.toml:/in/etc/cfg.toml --out built";

/// Heading of the flags that choose the inputs.
pub(super) const INPUTS: &str = "Inputs";
/// Heading of the flags that choose where outputs go.
const OUTPUTS: &str = "Outputs";

/// Where the inputs of `weft map` and `weft submit` come from, and which of them are run.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(group = clap::ArgGroup::new("inputs").args(["each_line", "each_file", "each_block"]))]
pub(crate) struct InputsArgs {
    /// One task per line of FILE, `-` for stdin; its stdin is the line without the newline.
    #[arg(long, value_name = "FILE", help_heading = INPUTS)]
    pub(crate) each_line: Option<PathBuf>,
    /// One task per file; its stdin is the file.
    #[arg(long, value_name = "PATH", num_args = 1.., help_heading = INPUTS)]
    pub(crate) each_file: Vec<PathBuf>,
    /// One task per block of FILE, such as `--each-block 16MiB big.log`: as many whole lines as fit into SIZE, or one line
    /// that is longer.
    #[arg(long, value_names = ["SIZE", "FILE"], num_args = 2, help_heading = INPUTS)]
    pub(crate) each_block: Vec<std::ffi::OsString>,
    /// Copy each input to /in as well, under its file's name: for programs that need a file, as in `-- /in/{name}`.
    #[arg(long, conflicts_with_all = ["each_line", "function"], help_heading = INPUTS)]
    pub(crate) as_file: bool,
    /// The lines of --each-line are JSON: blank lines are skipped, and a line that is not JSON is a failed task.
    #[arg(long, conflicts_with_all = ["each_file", "each_block", "nul"], help_heading = INPUTS)]
    pub(crate) jsonl: bool,
    /// Lines end with a zero byte instead of a newline, as after `find -print0`.
    #[arg(long, conflicts_with = "each_file", help_heading = INPUTS)]
    pub(crate) nul: bool,
    /// Run the inputs in random order. They are kept in memory, up to 1 GiB.
    #[arg(long, help_heading = INPUTS)]
    pub(crate) shuf: bool,
    /// Run N inputs only: the first N or, with --shuf, N at random.
    #[arg(long, value_name = "N", value_parser = parse_whole::<u64, 1, { u64::MAX }>, help_heading = INPUTS)]
    pub(crate) limit: Option<u64>,
}

impl InputsArgs {
    /// Whether the command line names any.
    pub(crate) fn is_given(&self) -> bool {
        self.each_line.is_some() || !self.each_file.is_empty() || !self.each_block.is_empty()
    }
}

/// Flags of `weft map`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = MAP_HELP,
    group = clap::ArgGroup::new("all_inputs").required(true).args(["each_line", "each_file", "each_block"]),
    group = clap::ArgGroup::new("written").multiple(true).args(["out", "joblog"]),
)]
pub(crate) struct MapArgs {
    /// The module: a .wasm file (a command, a component or functions), or its text, a .wat file.
    pub(crate) module: PathBuf,
    /// Arguments of every task.
    #[arg(last = true, value_name = "ARGS")]
    pub(crate) args: Vec<String>,
    /// Its inputs.
    #[command(flatten)]
    pub(crate) inputs: InputsArgs,
    /// Write each output into a file of DIR, named like its input file, or by its number from 0; and the files that a task
    /// left in /out into a directory NAME.out next to it. DIR must be empty or not exist.
    ///
    /// Words in braces, as in 'DIR/{stem}.png', make the names of outputs; see below.
    #[arg(long, value_name = "DIR[/NAME]", conflicts_with = "json", help_heading = OUTPUTS)]
    pub(crate) out: Option<PathBuf>,
    /// Let --out write into a directory that is not empty, and --joblog over an earlier log. Files with the names of this
    /// run's outputs are replaced, but never a file that this run reads.
    #[arg(long, requires = "written", help_heading = OUTPUTS)]
    pub(crate) force: bool,
    /// Write a line about each ended task into FILE, in columns as GNU parallel has them; see below.
    #[arg(long, value_name = "FILE", help_heading = OUTPUTS)]
    pub(crate) joblog: Option<PathBuf>,
    /// Continue an earlier run of the same command: inputs that ended are not run again. Those are the inputs in the joblog,
    /// and those whose outputs are in DIR of --out. Without a joblog a failed task left no trace, and runs again.
    #[arg(long, requires = "written", conflicts_with = "force", help_heading = OUTPUTS)]
    pub(crate) resume: bool,
    /// The same, but inputs that failed by the joblog run again.
    #[arg(long, requires = "joblog", conflicts_with_all = ["force", "resume"], help_heading = OUTPUTS)]
    pub(crate) resume_failed: bool,
    /// When to end early: `now,fail=1` cancels the job at the first failure, `soon,fail=1` begins no further input; also
    /// fail=N, fail=N% of all inputs, and success= or done= in the place of fail= [default: never].
    #[arg(long, value_name = "WHEN", value_parser = Halt::parse, help_heading = super::policy::HEADING)]
    pub(crate) halt: Option<Halt>,
    /// Begin each line of output with the input's line or file and a tab; with --json, add it as the key `input`.
    #[arg(long, conflicts_with = "out", help_heading = OUTPUTS)]
    pub(crate) tag: bool,
    /// Have the workers sign their reports, and check the signatures. Every task is run, even if its result is known.
    #[arg(long, requires = "json", help_heading = OUTPUTS)]
    pub(crate) receipt: bool,
    /// Print one JSON object a line, as results come.
    #[arg(long, help_heading = OUTPUTS)]
    pub(crate) json: bool,
    /// On a terminal, print outputs as they are instead of making control characters visible.
    #[arg(long, help_heading = OUTPUTS)]
    pub(crate) raw: bool,
    /// How the job is kept.
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
    /// What every task is given. It comes last: its headings would hold for the fields after it.
    #[command(flatten)]
    pub(crate) task: TaskArgs,
}

const MAP_HELP: &str = "\
Outputs of successful tasks are printed on stdout in the order of the inputs,
each ended by a newline; failures are reported on stderr. Inputs are read as
they are needed: a million lines need no more memory than ten thousand. A path
of --each-file where nothing is, or a directory, is refused before anything
runs; any other input that can't be read is a failed task.

Words in braces, in the name of --out, in --input and in ARGS, are replaced for
each input:
  {name}     the file's name, or the part of a line after its last slash
  {stem}     the same without its last extension
  {ext}      that extension, without the dot
  {dir}      the part before the last slash, `.` when there is none
  {line}     the line, or the path of the file
  {index}    the input's number, from 0
Write {{name}} for {name} itself. Slashes make directories; an output is never
written outside DIR. A second one of the same name, or one whose name can't be,
is refused with --each-file before anything runs; of lines and blocks it is a
failed task, for which nothing runs.

--json prints, as results come, one object a line, with these keys:
  index      the input's number, from 0
  input      with --tag: the line, or the path of the file
  outcome    done, failed, trapped, limit, invalid, cancelled, lost,
             expired or skipped
  exit_code  the task's own, null when it did not run to its end
  reason     why it is not done, where there is more to say
  output     a string, {\"base64\": ..} when it is not text, or, when it is
  errors     long, {\"blob\": id, \"bytes\": n}: see `weft blob get`
  files      what it left in /out, a tar archive, if there is something
  worker     the id of the node that computed it
  attempts   how many it took, 0 when the result was known
  memo       whether the result was known and nothing ran
  recalled   where it was known then: here, home, worker or mesh
  wall_us    how long the last attempt ran
  usage      times, memory, fuel and bytes of the last attempt
  receipt    with --receipt: what the worker signed
  verified   with --verify: the nodes that agreed, and those that differed,
             as your node found; this is not signed

--joblog writes a heading and a line for each ended task, its columns separated
by tabs, once its output was given out. Cancelled tasks have no line.
  Seq         the input's number, from 1
  Host        the name of the node that computed it, - when nothing ran
  Starttime   when its last attempt began, in seconds since 1970: when its
              result came, less its running time
  JobRuntime  how long that attempt ran, in seconds
  Send        bytes that it was given
  Receive     bytes that it brought
  Exitval     its exit code, as of `weft run`
  Signal      0: no signal ends a task
  Command     the module's name, and the line or the path of the file
--resume reads Seq, and --resume-failed Exitval too; the last line of an input
counts. {index} is Seq less one.

--halt has the words of GNU parallel. With `soon`, few inputs are handed out ahead: at
most twice as many as the mesh had slots; those run to their end. N% is of all
inputs, and is looked at once they are counted: of --each-line, once all lines
were read. Exit code 0 when success= ended it.

Exit code: the number of failed tasks, at most 100; 125 for weft's own errors;
130 when interrupted by Ctrl-C, which cancels the job (but one of level disk or
mesh goes on with the inputs that it has), or when the job was cancelled before its end, as
by `weft cancel`.

Examples:
  weft map score.wasm --each-line words.txt > scores.txt
  seq 1000 | weft map sim.wasm --each-line - --json -- --steps 500
  weft map convert.wasm --each-file photos/*.png --out small/ --retries 2
  weft map convert.wasm --each-file photos/*.png --out 'small/{stem}.webp' \\
      --as-file --input '{dir}/{stem}.cfg:/in/cfg' -- -i '/in/{name}'
  weft map grep.wasm --each-block 16MiB access.log --tag -- ' 500 '";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_may_have_another_name_there() {
        let given = |text| Given::parse(text).map(|given| (given.path.display().to_string(), given.name));
        assert_eq!(given("a/b").unwrap(), ("a/b".into(), None));
        assert_eq!(given("a/b:/in/c/d").unwrap(), ("a/b".into(), Some("/in/c/d".into())));
        assert_eq!(given("a:b:/in").unwrap(), ("a:b".into(), Some("/in".into())));
        assert_eq!(given("a:/inside").unwrap(), ("a:/inside".into(), None));
        assert!(given(":/in/x").is_err());
    }
}
