//! `weft results` and `weft attach`: the results of a job that is kept, as `weft map` shows them, again and again.

use std::io::IsTerminal as _;
use std::time::Duration;

use futures::StreamExt as _;
use weft_client::{Job, Map, Mesh, Reading, TaskResult, api};
use weft_node::counts::counted;

use super::interrupt::Interrupt;
use super::out::Out;
use super::outdir::{Earlier, Held, OutDir, Unwritten};
use super::plan::{Label, OutSpec};
use super::reorder::Reorder;
use super::sink::{Sink, Told};
use super::tally::Tally;
use super::{EXIT_OWN, Problem, kept};
use crate::cli::{AttachArgs, ResultsArgs, ShowResultsArgs};
use crate::render::{Progress, Total, say, short};

const TICK: Duration = Duration::from_millis(200);

/// Prints the results that are there, or all as they come.
pub(crate) async fn results(mesh: &Mesh, args: ResultsArgs) -> Result<u8, Problem> {
    let ResultsArgs { show, follow } = args;
    let job =
        if follow { kept::find_to_wait(mesh, &show.job).await? } else { kept::find(mesh, &show.job).await? };
    if !follow {
        kept::say_copy(&job);
    }
    say_none(&job, show.from);
    Shown::new(mesh, &job, show, Progress::silent(&job.job))?.run(Way { follow, is_attached: false }).await
}

/// Goes on with a job.
pub(crate) async fn attach(mesh: &Mesh, args: AttachArgs) -> Result<u8, Problem> {
    let AttachArgs { show } = args;
    let job = kept::find_to_wait(mesh, &show.job).await?;
    kept::say_restarted(&job);
    say_none(&job, show.from);
    let progress = Progress::new(&job.job);
    Shown::new(mesh, &job, show, progress)?.run(Way { follow: true, is_attached: true }).await
}

/// That nothing is shown, where it begins behind the last result that there will be.
fn say_none(job: &api::Job, from: u32) {
    if job.state.has_ended() && from > 0 && from >= job.tasks {
        say(&format!(
            "job {} has {}, counted from 0: there is none from {from} on",
            job.job,
            counted(job.tasks.into(), "result")
        ));
    }
}

/// How results are read.
#[derive(Clone, Copy, Debug)]
struct Way {
    /// Those that are not there yet are waited for.
    follow: bool,
    /// Progress and the end are told.
    is_attached: bool,
}

/// The results of one job on their way out.
struct Shown {
    mesh: Mesh,
    job: Job,
    /// Tasks that it had at the beginning.
    tasks: u32,
    from: u32,
    out: Option<OutSpec>,
    sink: Sink,
    /// In order, where the sink has one.
    order: Option<Reorder>,
    tally: Tally,
    left_files: u64,
    /// The job had ended when the last result was told.
    has_all: bool,
    held: Option<std::sync::Arc<OutDir>>,
    /// Whether the way to the job is looked for again.
    away: kept::Away,
}

impl Shown {
    fn new(mesh: &Mesh, job: &api::Job, show: ShowResultsArgs, progress: Progress) -> Result<Self, Problem> {
        let ShowResultsArgs { job: _, from, out, force, resume, json, raw } = show;
        let out = out.as_deref().map(OutSpec::parse).transpose()?;
        if let Some(word) = out.as_ref().and_then(OutSpec::word_of_line) {
            let text = format!("--out: results know no {word} of their inputs; {{index}} is their number");
            return Err(Problem::Usage(text));
        }
        let earlier = match (force, resume) {
            (true, _) => Earlier::Replace,
            (false, true) => Earlier::Keep,
            (false, false) => Earlier::Refuse,
        };
        let dir = out.as_ref().map(|out| OutDir::open(out.dir.clone(), earlier)).transpose()?.map(Held::new);
        let held = dir.as_ref().map(|dir| std::sync::Arc::clone(dir.dir()));
        let stdout = |raw| Out::stdout(progress.bar().filter(|_| std::io::stdout().is_terminal()), raw);
        let (sink, order) = match dir {
            Some(dir) => (Sink::files(dir), None),
            None if json => (Sink::lines(stdout(true)), None),
            None => (Sink::ordered(stdout(raw)), Some(Reorder::from(from))),
        };
        let tally = Tally::new(progress, json);
        Ok(Self {
            mesh: mesh.clone(),
            job: Job::of(mesh, job),
            tasks: job.tasks,
            from,
            out,
            sink,
            order,
            tally,
            left_files: 0,
            has_all: false,
            held,
            away: kept::Away::default(),
        })
    }

    async fn run(mut self, way: Way) -> Result<u8, Problem> {
        let interrupt = Interrupt::listen()?;
        let ended = tokio::select! {
            biased;
            () = interrupt.came() => Err(Problem::Interrupted(format!("interrupted; {}", self.way_back()))),
            ended = self.drive(way) => ended,
        };
        self.sink.end(ended).await?;
        self.end(way).await
    }

    /// Reads to the end, from where something was left out again if need be.
    async fn drive(&mut self, way: Way) -> Result<(), Problem> {
        let mut from = Some(0);
        while let Some(at) = from {
            let results = self.job.read(Reading { from: at, follow: way.follow }).await?;
            from = self.pass(results, way).await?;
        }
        self.sink.flush().await
    }

    /// Gives out what a stream brings; says from where to read again, if that is needed.
    async fn pass(&mut self, mut results: Map, way: Way) -> Result<Option<u64>, Problem> {
        let mut clock = tokio::time::interval(TICK);
        loop {
            self.away.tell(&mut results);
            tokio::select! {
                biased;
                item = results.next() => {
                    let Some(item) = item else {
                        self.away.tell(&mut results);
                        self.has_all = results.has_ended();
                        return Ok(self.order.as_mut().and_then(Reorder::again));
                    };
                    let again = self.take(item?).await?;
                    if again.is_some() {
                        return Ok(again);
                    }
                }
                _ = clock.tick() => {
                    self.sink.flush().await?;
                    if way.is_attached {
                        self.tally.progress.tick(Total::Exactly(u64::from(self.tasks.saturating_sub(self.from))));
                    }
                }
            }
        }
    }

    async fn take(&mut self, result: TaskResult) -> Result<Option<u64>, Problem> {
        let Some(order) = &mut self.order else {
            if result.index >= self.from {
                self.give(result).await?;
            }
            return Ok(None);
        };
        // From the beginning again, if a node says no numbers.
        order.put(result.number.unwrap_or(0), result);
        while let Some(result) = self.order.as_mut().and_then(Reorder::pop) {
            self.give(result).await?;
        }
        Ok(self.order.as_mut().and_then(Reorder::again))
    }

    async fn give(&mut self, result: TaskResult) -> Result<(), Problem> {
        let label = self.label(result.index)?;
        let named = label.shown();
        self.left_files += u64::from(self.sink.is_ordered() && result.archive.bytes_len() > 0);
        let counted = self.tally.note(&self.mesh, &result, &named).await;
        let written = match self.is_written(&result, &label) {
            Ok(true) => Ok(()),
            Ok(false) => self.sink.give(&self.mesh, Told { result, label, row: None }).await,
            Err(unwritten) => Err(unwritten),
        };
        self.tally.given(counted, written, &named)
    }

    /// Whether an earlier run wrote that output, and this one goes on with it. Where it is to be written, what is there under its
    /// names goes: that of another run, or the files of an output that was not finished.
    fn is_written(&self, result: &TaskResult, label: &Label) -> Result<bool, Unwritten> {
        let (Some(dir), Some(name)) = (&self.held, &label.out) else { return Ok(false) };
        if result.is_done() {
            let is_there = dir.is_done(name).map_err(Problem::Failed)?;
            return if is_there { Ok(true) } else { dir.clear(name).map(|()| false) };
        }
        if !dir.replaces_earlier() {
            return Ok(false);
        }
        // It has no output, and none of another run may pass for it. That it failed is told already.
        match dir.clear(name) {
            Err(Unwritten::All(problem)) => Err(problem.into()),
            Ok(()) | Err(Unwritten::This(_)) => Ok(false),
        }
    }

    fn label(&self, number: u32) -> Result<Label, Problem> {
        let out = self.out.as_ref().map(|out| out.numbered(number)).transpose();
        let out = out.map_err(|reason| Problem::Usage(format!("--out: {reason}")))?;
        Ok(Label { out, ..Label::of(number) })
    }

    async fn end(self, way: Way) -> Result<u8, Problem> {
        let job = self.job.progress().await?;
        // Those that could not be written, too.
        let failed = kept::failed_code(self.tally.progress.failed());
        if way.is_attached {
            self.tally.finish_attached(job.state.has_ended().then_some(job.elapsed_ms));
        }
        if self.left_files > 0 {
            say(&format!("{} tasks left files in /out: --out DIR takes them", self.left_files));
        }
        if self.has_all {
            return Ok(kept::exit_code(&job)?.max(failed));
        }
        if job.state.has_ended() {
            say(&format!(
                "job {} ended while its results were read: read them again for the last ones",
                job.job
            ));
        } else {
            say(&missing(&job, self.order.as_ref()));
        }
        Ok(EXIT_OWN)
    }

    /// How to go on.
    fn way_back(&self) -> String {
        let id = short(self.job.id());
        let from = self.order.as_ref().map(Reorder::next).filter(|next| *next > 0);
        let from = from.map(|next| format!(" --from {next}")).unwrap_or_default();
        format!("job {} is not touched by that: `weft attach {id}{from}` shows the rest of it", self.job.id())
    }
}

/// What is not there of a job that has not ended.
fn missing(job: &api::Job, order: Option<&Reorder>) -> String {
    let ended = job.done + job.failed + job.cancelled;
    if job.is_left_copy() {
        let (id, tasks) = (&job.job, job.tasks);
        return format!("job {id} is not known to have ended: the copy has {ended} of {tasks} results");
    }
    let place = order.map(|order| format!("; task {} is the first without a result", order.next()));
    format!(
        "job {} has not ended: {ended} of {} tasks have{}; --follow waits for the rest",
        job.job,
        job.tasks,
        place.unwrap_or_default()
    )
}
