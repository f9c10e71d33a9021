//! The words of `weft flow`, and the keys of a step in a flow's file that are flags of `weft submit` too.

use std::path::PathBuf;

use clap::{CommandFactory as _, Parser as _};
use weft_client::Level;

use super::tasks::TaskArgs;

/// Flags of `weft flow`.
#[derive(Debug, clap::Args)]
#[command(after_help = FLOW_HELP)]
pub(crate) struct FlowArgs {
    /// The verb.
    #[command(subcommand)]
    pub(crate) way: FlowWay,
}

const FLOW_HELP: &str = "\
A flow is a file of steps. Each step is a job; `@step` names the results of
another step as its inputs:

  [flow]
  name = \"thumbs\"

  [step.thumb]
  module = \"thumb.wasm\"
  each = \"photos/*.jpg\"     # one task for each file, which is its stdin
  args = [\"--size\", \"128\"]

  [step.label]
  module = \"label.wasm\"
  each = \"@thumb\"           # one task for each output of thumb

  [step.page]
  module = \"page.wasm\"
  gather = \"@label\"         # one task: all outputs as files /in/000000, ..

Keys of a step:
  module          the .wasm file; paths are seen from the flow's directory
  each            a file or a pattern, a list of them, lines:FILE, files:DIR,
                  or @STEP; without each and gather a step is one task
  gather          @STEP, or a list of them
  in              files and directories for /in, as --input; patterns, too
  args            the arguments, a list
  after           steps that must be done before, where nothing is taken of them
  even-if-failed  begin however those ended
  block           with lines:FILE: one task per block of whole lines, as 16MiB
  as-file, nul, jsonl, and the flags of `weft submit` about a task and when it
  runs, without the dashes: fn, env, timeout, memory, retries, class, need, ..

A second run does only what is new: a step is kept if its module, arguments,
bounds, files and inputs have the same content as before.

Exit code of run and retry, as of `weft map`: the number of failed tasks, at
most 100; 125 for weft's own errors; 130 when interrupted by Ctrl-C, after which
the flow goes on.";

/// The verbs of `weft flow`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum FlowWay {
    /// Look whether a flow's file is right; needs no node.
    Check(FlowFile),
    /// Show for each step what would run, and why.
    Plan(FlowPlanArgs),
    /// Run what of a flow is not done yet, and wait for its end.
    ///
    /// The steps are handed in first, so the flow goes on without this command, and `weft flow run` waits again.
    Run(FlowRunArgs),
    /// Show how far each step is.
    Status(FlowName),
    /// Show why a step or an item of it does not run, or how it ended.
    Why(FlowWhyArgs),
    /// Run the tasks again that failed, and what was skipped because of them; results that are there stay.
    Retry(FlowRetryArgs),
    /// Cancel what of a flow has not ended.
    Cancel(FlowName),
    /// Forget the jobs of a flow, with their results.
    Forget(FlowForgetArgs),
}

/// A flow by its file.
#[derive(Debug, clap::Args)]
pub(crate) struct FlowFile {
    /// The flow's file.
    #[arg(value_name = "FILE", default_value = "flow.toml")]
    pub(crate) file: PathBuf,
}

/// Which of its steps run.
#[derive(Debug, clap::Args)]
pub(crate) struct FlowPlanArgs {
    /// The flow.
    #[command(flatten)]
    pub(crate) file: FlowFile,
    /// Run this step again, and those that take its results, though nothing of it has changed.
    #[arg(long, value_name = "STEP")]
    pub(crate) from: Option<String>,
    /// Run this step and those that it needs only.
    #[arg(long, value_name = "STEP", conflicts_with = "from")]
    pub(crate) only: Option<String>,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Flags of `weft flow run`.
#[derive(Debug, clap::Args)]
pub(crate) struct FlowRunArgs {
    /// What of it.
    #[command(flatten)]
    pub(crate) plan: FlowPlanArgs,
    /// Show what would run, and run nothing: the same as `weft flow plan`.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Run all tasks of a step though one failed. Without it a step ends at its first failure. What needs none of the failed
    /// results runs in any case.
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// Write the results of the last steps, of which no other step takes any, to DIR/STEP, which must be empty or not exist.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["dry_run", "no_wait"])]
    pub(crate) out: Option<PathBuf>,
    /// Let --out write into directories that are not empty, and replace files of the same names.
    #[arg(long, requires = "out")]
    pub(crate) force: bool,
    /// Hand the steps in, and do not wait for their end.
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// What its jobs survive [default: mesh where three nodes can keep them, else disk].
    #[arg(long, value_name = "disk|mesh")]
    pub(crate) level: Option<Level>,
}

/// A flow by its name or its file.
#[derive(Debug, clap::Args)]
pub(crate) struct FlowName {
    /// The flow's file or its name.
    #[arg(value_name = "FLOW", default_value = "flow.toml")]
    pub(crate) flow: String,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Flags of `weft flow why`.
#[derive(Debug, clap::Args)]
pub(crate) struct FlowWhyArgs {
    /// The step, and after a slash the item's number, from 0.
    #[arg(value_name = "STEP[/ITEM]")]
    pub(crate) step: String,
    /// The flow's file or its name.
    #[arg(long, value_name = "FLOW", default_value = "flow.toml")]
    pub(crate) flow: String,
    /// Print JSON instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Flags of `weft flow retry`.
#[derive(Debug, clap::Args)]
pub(crate) struct FlowRetryArgs {
    /// Which flow.
    #[command(flatten)]
    pub(crate) flow: FlowName,
    /// Do not wait for the end.
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// Flags of `weft flow forget`.
#[derive(Debug, clap::Args)]
pub(crate) struct FlowForgetArgs {
    /// Which flow.
    #[command(flatten)]
    pub(crate) flow: FlowName,
    /// Forget only what a later run has replaced: of each step the jobs before the last one.
    #[arg(long)]
    pub(crate) old: bool,
}

/// Keys of a step that are flags of a task.
#[derive(Clone, Debug, clap::Parser)]
#[command(no_binary_name = true, disable_help_flag = true, disable_version_flag = true)]
pub(crate) struct StepFlags {
    #[arg(long, conflicts_with = "function")]
    pub(crate) as_file: bool,
    #[arg(long)]
    pub(crate) nul: bool,
    #[arg(long, conflicts_with = "nul")]
    pub(crate) jsonl: bool,
    #[command(flatten)]
    pub(crate) task: TaskArgs,
}

/// Flags of a task that a step has under another key.
const OTHERWISE: [&str; 3] = ["input", "after", "even-if-failed"];

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Nothing: it is there or not.
    Nothing,
    /// One value.
    One,
    /// Any number of values.
    Many,
}

impl StepFlags {
    /// What can be given as keys, and what each takes.
    pub(crate) fn keys() -> Vec<(String, Takes)> {
        let command = Self::command();
        let flags = command.get_arguments().filter_map(|flag| {
            let name = flag.get_long().filter(|name| !OTHERWISE.contains(name))?;
            let action = flag.get_action();
            let takes = if matches!(action, clap::ArgAction::Append) {
                Takes::Many
            } else if action.takes_values() {
                Takes::One
            } else {
                Takes::Nothing
            };
            Some((name.to_owned(), takes))
        });
        flags.collect()
    }

    /// The flags of that command line.
    pub(crate) fn of(words: &[String]) -> Result<Self, clap::Error> {
        Self::try_parse_from(words)
    }
}
