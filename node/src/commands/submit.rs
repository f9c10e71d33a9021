//! `weft submit`: hands a job in that goes on without us.

use std::path::Path;
use std::time::Duration;

use futures::{Stream, stream};
use weft_client::{Input, Job, Level, Mesh, Task};

use super::draft::Draft;
use super::interrupt::Interrupt;
use super::{Problem, kept, run};
use crate::cli::SubmitArgs;
use crate::render::{bytes, json_line, print, say};

/// When it is looked at why a submission takes long. It doubles with each look, up to the longest one.
const EXPLAIN_AFTER: Duration = Duration::from_secs(3);
const EXPLAIN_EVERY_MAX: Duration = Duration::from_secs(60);

/// Hands it in, and prints its id.
pub(crate) async fn submit(data_dir: &Path, args: SubmitArgs) -> Result<u8, Problem> {
    let SubmitArgs { module, args, inputs, each_result, gather, stdin, receipt, json, keep_with, keep, task } =
        args;
    let chosen = keep.level;
    let draft = Draft::of(&module, task, args, inputs)?;
    let task = kept::keep(draft.task.clone(), keep)?;
    let task = if receipt { task.receipts() } else { task };
    let task = keep_with.into_iter().fold(task, Task::keep_with);
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
        let job = if draft.is_map() {
            hand_in(&mesh, &task, draft.inputs()?).await?
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
