//! `weft submit`: hands a job in that goes on without us.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use weft_client::{Input, Job, Level, Mesh, Task};

use super::feed::{Ahead, Feed, Source};
use super::inputs::{Inputs, inputs_of};
use super::interrupt::Interrupt;
use super::plan::Plan;
use super::sources::Sources;
use super::tailor::Tailor;
use super::{Problem, kept, run, task_of};
use crate::cli::SubmitArgs;
use crate::render::{bytes, json_line, print, say};

/// When it is looked at why a submission takes long. It doubles with each look, up to the longest one.
const EXPLAIN_AFTER: Duration = Duration::from_secs(3);
const EXPLAIN_EVERY_MAX: Duration = Duration::from_secs(60);

/// Hands it in, and prints its id.
pub(crate) async fn submit(data_dir: &Path, args: SubmitArgs) -> Result<u8, Problem> {
    let SubmitArgs { module, mut args, inputs, each_result, gather, stdin, receipt, json, keep, mut task } =
        args;
    let chosen = keep.level;
    // As of a map: what has words in braces is each task's own.
    let is_map = inputs.is_given();
    let is_command = task.function.is_none();
    let tailor = (is_map && is_command).then(|| Tailor::take(&mut task, &mut args, inputs.as_file)).flatten();
    let sources = Sources::of(&module, &task, &inputs)?;
    let task = kept::keep(task_of(&module, task, args)?, keep)?;
    let task = if receipt { task.receipts() } else { task };
    let task = if tailor.is_some() { task.parcels() } else { task };
    let task = each_result.iter().fold(task, |task, parent| task.each_result_of(parent));
    let task = gather.iter().fold(task, |task, parent| task.gather(parent));
    let takes_results_of = each_result.iter().chain(&gather).cloned().collect::<Vec<_>>();
    let interrupt = Interrupt::listen()?;
    let begun = async {
        let mesh = Mesh::connect_in(data_dir).await?;
        let (level, lack) = match chosen {
            Some(level) => (level, None),
            None if takes_results_of.is_empty() => kept::best_level(&mesh).await?,
            None => (least_level(&mesh, &takes_results_of).await?, None),
        };
        let task = task.level(level);
        let job = if is_map {
            let plan = Plan::new(None, tailor, false, sources);
            let (inputs, choice) = inputs_of(inputs, &plan)?;
            let source = match inputs {
                Inputs::Stream(source) => source,
                Inputs::Files(files) => Source::Files(choice.of(files)?, 0),
            };
            let (feed, inputs) = Feed::start(source, plan, choice, Ahead::default());
            hand_in(&mesh, &task, whole(feed, inputs)).await?
        } else if !takes_results_of.is_empty() {
            hand_in(&mesh, &task, stream::empty()).await?
        } else {
            let stdin = run::stdin_of(stdin, data_dir).await?;
            hand_in(&mesh, &task, stream::iter([stdin])).await?
        };
        Ok::<_, Problem>((mesh, job, Keep { level, lack, json }))
    };
    let (mesh, job, keep) = tokio::select! {
        begun = explained(data_dir, Box::pin(begun)) => begun?,
        // The node cancels a job of which not all came.
        () = interrupt.came() => {
            return Err(Problem::Interrupted("interrupted; a job that was not accepted whole is cancelled, see `weft jobs`".into()));
        }
    };
    tell(&mesh, &job, keep).await
}

/// What the least kept of these jobs survives: one that its inputs come from them can't survive more.
async fn least_level(mesh: &Mesh, jobs: &[String]) -> Result<Level, Problem> {
    let mut least = Level::Mesh;
    for job in jobs {
        least = least.min(mesh.job(job).await?.level);
    }
    Ok(least)
}

/// What `begun` gives; says once why it takes long, if that is for want of room.
async fn explained<T>(data_dir: &Path, mut begun: impl Future<Output = T> + Unpin) -> T {
    tokio::select! {
        done = &mut begun => return done,
        text = lack_of_room(data_dir) => say(&text),
    }
    begun.await
}

/// That the node is so full of what work needs that it lets uploads wait, as soon as it is.
async fn lack_of_room(data_dir: &Path) -> String {
    let mut pause = EXPLAIN_AFTER;
    loop {
        tokio::time::sleep(pause).await;
        pause = (2 * pause).min(EXPLAIN_EVERY_MAX);
        let Ok(mesh) = Mesh::connect_in(data_dir).await else { continue };
        if let Some(store) =
            mesh.status().await.ok().map(|status| status.store).filter(|store| store.uploads_wait)
        {
            return format!(
                "the node's store is full: {} of its {} are in use by work, so uploads wait for room; wait until jobs end, \
                 `weft forget` jobs whose results you have, or start the node with a larger --store",
                bytes(store.pinned_bytes),
                bytes(store.quota_bytes)
            );
        }
    }
}

async fn hand_in<S>(mesh: &Mesh, task: &Task, inputs: S) -> Result<Job, Problem>
where
    S: Stream<Item = Input> + Send + 'static,
{
    Ok(mesh.submit_stream(task, inputs).await?)
}

/// The inputs; if they broke off, the last one is missing, so that no half of a job is handed in.
fn whole(feed: Arc<Feed>, inputs: impl Stream<Item = Input> + Send) -> impl Stream<Item = Input> + Send {
    let broken = stream::iter(std::iter::once_with(move || feed.take_problem()));
    inputs.chain(
        broken.filter_map(async |problem| {
            problem.map(|problem| Input::Missing { reason: problem.to_string() })
        }),
    )
}

/// How a job is kept, and how that is told.
struct Keep {
    level: Level,
    /// Why it is not kept better.
    lack: Option<String>,
    json: bool,
}

/// The id alone on stdout; who keeps it on stderr.
async fn tell(mesh: &Mesh, job: &Job, keep: Keep) -> Result<u8, Problem> {
    let Keep { level, lack, json } = keep;
    let place = kept::place(mesh, job.id(), level).await;
    let told = if json {
        json_line(&serde_json::json!({ "job": job.id(), "level": level }))?
    } else {
        format!("{}\n", job.id())
    };
    // Even a closed stdout is an error here: else the job would be known to no user.
    print(&told).map_err(|problem| {
        Problem::Failed(format!("job {} is kept {place}, but its id can't be printed: {problem}", job.id()))
    })?;
    let end = match (level, lack) {
        (Level::Memory, _) => String::from("; it ends with that node"),
        (_, Some(lack)) => format!(", {lack}"),
        (_, None) => String::new(),
    };
    say(&format!("kept {place}{end}"));
    Ok(0)
}
