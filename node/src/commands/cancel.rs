//! `weft cancel`: ends a job.

use weft_client::{Mesh, api};

use super::Problem;
use crate::cli::CancelArgs;
use crate::render::{print_json, say};

/// Cancels the job. One that has ended is left as it is, without an error.
pub(crate) async fn cancel(mesh: &Mesh, args: &CancelArgs) -> Result<u8, Problem> {
    let before = mesh.job(&args.job).await?;
    let has_ended = before.state == api::JobState::Ended;
    if !has_ended {
        mesh.cancel(&before.job).await?;
    }
    if args.json {
        return print_json(&mesh.job(&before.job).await?).map(|()| 0);
    }
    let ended = u64::from(before.done) + u64::from(before.failed) + u64::from(before.cancelled);
    if has_ended {
        say(&format!("job {} had ended already: {} done, {} failed", before.job, before.done, before.failed));
    } else {
        let left = u64::from(before.tasks).saturating_sub(ended);
        say(&format!("job {} is cancelled: {left} of {} tasks had not ended", before.job, before.tasks));
    }
    Ok(0)
}
