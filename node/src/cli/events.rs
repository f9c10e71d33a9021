//! The words of `weft events`.

use weft_node::settings::parse_whole;

/// Flags of `weft events`.
#[derive(Debug, clap::Args)]
#[command(after_help = EVENTS_HELP)]
pub(crate) struct EventsArgs {
    /// Show the events of this job: its id, the beginning of it, or its name.
    #[arg(value_name = "JOB")]
    pub(crate) job: Option<String>,
    /// Begin with offset N; 0 is the oldest event that the node has.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = parse_whole::<u64, 0, { u64::MAX }>)]
    pub(crate) from: u64,
    /// Go on with each event as it comes; of a job, to its end.
    #[arg(long)]
    pub(crate) follow: bool,
    /// Print one JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

const EVENTS_HELP: &str = "\
A line for each event: its time, in UTC, and what happened. With --json its
offset, too, a number that grows: after a break, --from the last one plus 1 goes
on behind it. Offsets are microseconds since 1970.

A node keeps its last 65,536 events in memory. Where some are missing, a line
says so, and `weft jobs` says how jobs are now. The node that leads a job has its
events; `submitted`, `led` and `moved` tell which one that is.

--json prints, by `event`: submitted, led, moved, retried, leased, lease_lost,
task_ended, job_ended, forgotten, node_up, node_down, missed.";
