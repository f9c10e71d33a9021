//! A map under way: takes its results, gives them out, and ends it early where it is told to.

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use weft_client::{Map, Mesh, Outcome, TaskResult};
use weft_node::counts::counted;

use super::feed::Feed;
use super::interrupt::Interrupt;
use super::joblog::Joblog;
use super::shortage::Shortage;
use super::sink::{Sink, Told};
use super::stage::StageWatch;
use super::tally::Tally;
use super::{Problem, kept, receipt};
use crate::cli::{Ended, Halt, When};
use crate::render::{Total, say, short};

/// Lines of the joblog after which its results are given to their reader, so that they can be written.
const LOGGED_MAX: usize = 1024;
const TICK: Duration = Duration::from_millis(200);
/// How long a cancelled job's node is waited for.
const CANCEL_WAIT: Duration = Duration::from_secs(2);

/// A job that was begun, and where its inputs come from and its results go.
pub(crate) struct Begun {
    pub(crate) mesh: Mesh,
    pub(crate) feed: Arc<Feed>,
    pub(crate) sink: Sink,
    pub(crate) tally: Tally,
    /// Until the first result.
    pub(crate) stage: Option<StageWatch>,
    /// The job's id.
    pub(crate) job: String,
    /// It goes on without us.
    pub(crate) is_kept: bool,
}

/// What is written or checked about each result.
pub(crate) struct Logs {
    pub(crate) joblog: Option<Joblog>,
    /// Each result must have a good receipt.
    pub(crate) receipts: bool,
}

/// When the map ends early.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stops {
    /// With more failed tasks the job is cancelled.
    pub(crate) max_failures: Option<u64>,
    pub(crate) halt: Option<Halt>,
}

/// Why it ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopped {
    /// More tasks failed than it allows.
    GaveUp(u64),
    /// `--halt` held.
    Halted {
        halt: Halt,
        /// Each input had been handed out and had ended then.
        has_all: bool,
    },
}

/// One job under way.
pub(crate) struct Session {
    begun: Begun,
    logs: Logs,
    stops: Stops,
    /// Tasks that left files which are not taken.
    left_files: u64,
    stopped: Option<Stopped>,
    /// Whether outcomes wait for room on this machine.
    shortage: Shortage,
    /// Whether the way to the job is looked for again.
    away: kept::Away,
}

impl Session {
    pub(crate) fn new(begun: Begun, logs: Logs, stops: Stops) -> Self {
        Self {
            begun,
            logs,
            stops,
            left_files: 0,
            stopped: None,
            shortage: Shortage::new(),
            away: kept::Away::default(),
        }
    }

    /// Goes on to the job's end, or to an interrupt.
    pub(crate) async fn run(mut self, mut results: Map, interrupt: &Interrupt) -> Result<u8, Problem> {
        // Whatever is under way when the interrupt comes is dropped, a write that waits for its reader too.
        let ended = tokio::select! {
            biased;
            () = interrupt.came() => None,
            ended = self.drive(&mut results) => Some(ended),
        };
        match ended {
            Some(ended) => {
                let ended = ended.map_err(|problem| self.with_way_back(problem));
                self.end_output(ended).await?;
                let is_cut_short = self.is_cut_short(&results).await;
                self.end(is_cut_short)
            }
            None => self.interrupted(&results).await,
        }
    }

    /// Takes results until there are no more, and gives them out.
    async fn drive(&mut self, results: &mut Map) -> Result<(), Problem> {
        let mut clock = tokio::time::interval(TICK);
        loop {
            self.away.tell(results);
            // What is there already is taken without a pause; only a wait gives the reader what it has so far.
            if let Some(item) = results.next().now_or_never() {
                let Some(item) = item else { break };
                self.take(item?).await?;
                self.look(results).await?;
                continue;
            }
            if !self.begun.sink.is_flushed() || self.begun.sink.logged() > 0 {
                self.flush().await?;
            }
            tokio::select! {
                item = results.next() => {
                    let Some(item) = item else { break };
                    self.take(item?).await?;
                    self.look(results).await?;
                }
                _ = clock.tick() => {
                    let Begun { feed, tally, stage, .. } = &mut self.begun;
                    tally.progress.at(stage.as_ref().and_then(StageWatch::text));
                    tally.progress.tick(feed.total());
                }
                text = self.shortage.news(&self.begun.mesh) => self.begun.tally.progress.aside(|| say(&text)),
            }
        }
        self.away.tell(results);
        self.flush().await
    }

    /// Gives the reader what it has so far; then the joblog may say so.
    async fn flush(&mut self) -> Result<(), Problem> {
        self.begun.sink.flush().await?;
        let rows = self.begun.sink.take_logged();
        match &mut self.logs.joblog {
            Some(joblog) if !rows.is_empty() => joblog.write(&rows),
            Some(_) | None => Ok(()),
        }
    }

    async fn take(&mut self, result: TaskResult) -> Result<(), Problem> {
        let Begun { mesh, feed, sink, tally, stage, .. } = &mut self.begun;
        *stage = None;
        feed.came_home();
        let place = result.index;
        let label = feed.take_label(place);
        let named = label.shown();
        let result = TaskResult { index: label.number, ..result };
        let is_cancelled = result.outcome == Outcome::Cancelled;
        if self.logs.receipts && result.worker.is_some() && !is_cancelled {
            receipt::of_result(&result, true)?;
        }
        self.left_files += u64::from(sink.is_ordered() && result.archive.bytes_len() > 0);
        let counted = tally.note(mesh, &result, &named).await;
        let row = match &mut self.logs.joblog {
            Some(joblog) if !is_cancelled => Some(joblog.row(mesh, &result, &label).await),
            Some(_) | None => None,
        };
        let written = sink.take(mesh, feed, place, Told { result, label, row }).await;
        tally.given(counted, written, &named)?;
        if sink.logged() >= LOGGED_MAX { self.flush().await } else { Ok(()) }
    }

    /// Ends the job early once too many tasks failed, or enough ended. The node counts failures too, but not the inputs that
    /// could not be read.
    async fn look(&mut self, results: &Map) -> Result<(), Problem> {
        if self.stopped.is_some() {
            return Ok(());
        }
        let Begun { feed, tally, .. } = &self.begun;
        let (done, failed) = (tally.progress.done(), tally.progress.failed());
        let total = match feed.total() {
            Total::Exactly(all) => Some(all),
            Total::About(_) | Total::Unknown => None,
        };
        let halt = self.stops.halt.filter(|halt| halt.is_reached(Ended { done, failed, total }));
        match (self.stops.max_failures, halt) {
            (Some(most), _) if failed > most => {
                self.stopped = Some(Stopped::GaveUp(most));
                Ok(results.cancel().await?)
            }
            (_, Some(halt)) => {
                let has_all = total == Some(done + failed);
                self.stopped = Some(Stopped::Halted { halt, has_all });
                feed.stop();
                if halt.when == When::Now { Ok(results.cancel().await?) } else { Ok(()) }
            }
            (_, None) => Ok(()),
        }
    }

    /// Whether the job was cancelled, or given up by its node, before all of its inputs had come. One that was refused ends early,
    /// too, and its tasks say why.
    async fn is_cut_short(&self, results: &Map) -> bool {
        if self.stopped.is_some() || !results.is_cut_short() {
            return false;
        }
        let view = self.begun.mesh.job(&self.begun.job).await;
        view.map_or(true, |job| job.cancelled_by_user || job.given_up || job.failed == 0)
    }

    fn end(self, is_cut_short: bool) -> Result<u8, Problem> {
        let Self { begun: Begun { feed, tally, job, .. }, logs, left_files, stopped, .. } = self;
        let (failed, cancelled) = (tally.progress.failed(), tally.progress.cancelled());
        tally.finish();
        if left_files > 0 {
            say(&format!("{} left files in /out: --out DIR takes them", counted(left_files, "task")));
        }
        match (feed.kept(), logs.joblog) {
            (0, _) => {}
            (1, None) => say("1 output was there already and was kept, see --resume"),
            (kept, None) => say(&format!("{kept} outputs were there already and were kept, see --resume")),
            (kept, Some(_)) => say(&format!(
                "{} had ended before, well or not, and did not run: see --resume and --resume-failed",
                counted(kept, "input")
            )),
        }
        if let Some(problem) = feed.take_problem() {
            return Err(problem);
        }
        let code = kept::failed_code(failed);
        let is_partial = cancelled > 0 || is_cut_short;
        match stopped {
            Some(Stopped::GaveUp(most)) => {
                say(&too_many(most));
                Ok(code)
            }
            Some(Stopped::Halted { halt, has_all }) => {
                if let Some(rest) = left_by(halt, has_all) {
                    say(&format!("{rest}, see --halt"));
                }
                Ok(if halt.is_success() { 0 } else { code })
            }
            // The node was first.
            None if self.stops.max_failures.is_some_and(|most| failed > most) && is_partial => {
                self.stops.max_failures.iter().for_each(|most| say(&too_many(*most)));
                Ok(code)
            }
            None if cancelled > 0 => Err(Problem::Interrupted(format!(
                "job {job} was cancelled before {cancelled} of its tasks had ended"
            ))),
            None if is_partial => Err(kept::cut_short(&job)),
            None => Ok(code),
        }
    }

    async fn interrupted(mut self, results: &Map) -> Result<u8, Problem> {
        let problem = if self.begun.is_kept {
            Problem::Interrupted(format!("interrupted; {}", self.way_back(results)))
        } else {
            // The node hears of it by the closing connection too, should this take too long.
            drop(tokio::time::timeout(CANCEL_WAIT, results.cancel()).await);
            Problem::Interrupted(format!("interrupted; job {} is cancelled", results.job()))
        };
        let ended = self.end_output(Err(problem)).await;
        self.begun.tally.interrupt();
        ended.map(|()| 0)
    }

    /// Ends what was given out, and the joblog with what its reader has of that, however the map ended: an input that is missing
    /// in the log would run again.
    async fn end_output(&mut self, ended: Result<(), Problem>) -> Result<(), Problem> {
        let ended = self.begun.sink.end(ended).await;
        let logged = if self.begun.sink.is_flushed() { self.flush().await } else { Ok(()) };
        ended.and(logged)
    }

    /// How to get the job back, which goes on.
    fn way_back(&self, results: &Map) -> String {
        let Begun { job, feed, sink, .. } = &self.begun;
        let part = if feed.is_over() { "" } else { " with the inputs that it has by now" };
        let id = short(job);
        // Counted in tasks: an input that could not be read has none.
        let next = sink.next().map(|next| results.tasks_before(next)).filter(|next| *next > 0);
        let from = next.map(|next| format!(" --from {next}")).unwrap_or_default();
        format!(
            "job {job} goes on{part}: `weft attach {id}{from}` shows the rest of it, `weft cancel {id}` ends it"
        )
    }

    /// A kept job is not lost with the way to its node.
    fn with_way_back(&self, problem: Problem) -> Problem {
        let is_broken = matches!(&problem, Problem::Client(error) if kept::is_away(error));
        if !is_broken {
            return problem;
        }
        if !self.begun.is_kept {
            let given = self.begun.tally.progress.done() + self.begun.tally.progress.failed();
            return Problem::Failed(format!(
                "{problem}; its job was in memory, {given} of its tasks had ended, and the others end with it: a map with --level \
                 disk goes on when its node is started again, and one with --joblog FILE can be run again with --resume"
            ));
        }
        let id = short(&self.begun.job);
        Problem::Failed(format!(
            "{problem}; the job is kept: once its node runs again, `weft attach {id}` goes on with it"
        ))
    }
}

/// What became of the inputs that were left when `--halt` held; nothing if there were none.
fn left_by(halt: Halt, has_all: bool) -> Option<&'static str> {
    match (has_all, halt.when) {
        (true, _) => None,
        (false, When::Now) => Some("the rest was cancelled"),
        (false, When::Soon) => Some("no further input was begun"),
    }
}

fn too_many(most: u64) -> String {
    format!("more than {most} tasks failed, so the rest was cancelled or not begun; see --max-failures")
}
