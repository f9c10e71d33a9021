//! `weft adopt`: a new job in place of one whose nodes are gone for good.

use weft_client::{Level, Mesh, api};

use super::{Problem, kept};
use crate::cli::AdoptArgs;
use crate::render::{json_line, print, say};

/// Adopts it, and prints the new job's id; without --force it says what would happen, as an error.
pub(crate) async fn adopt(mesh: &Mesh, args: &AdoptArgs) -> Result<u8, Problem> {
    let AdoptArgs { job, force, level, json } = args;
    if *level == Some(Level::Memory) {
        return Err(Problem::Usage(String::from("--level: expected disk or mesh: an adopted job is kept")));
    }
    if !force {
        return Err(Problem::Failed(mesh.ask_to_adopt(job).await?));
    }
    let level = match level {
        Some(level) => *level,
        None => kept::best_level(mesh).await?.0,
    };
    let adopted = mesh.adopt(job, level).await?;
    let told = if *json { json_line(&adopted)? } else { format!("{}\n", adopted.job) };
    // As of `weft submit`: else the job would be known to no user.
    print(&told).map_err(|problem| {
        Problem::Failed(format!("job {} is kept, but its id can't be printed: {problem}", adopted.job))
    })?;
    doubts(&adopted).iter().for_each(|doubt| say(doubt));
    Ok(0)
}

/// What may be doubted of an adopted job, in sentences.
fn doubts(adopted: &api::Adopted) -> Vec<String> {
    let api::Adopted { job, from, level: _, tasks, outcomes, copy_of, cancelled } = adopted;
    let rest = tasks.saturating_sub(*outcomes);
    let back = match copy_of {
        Some(owner) => format!("node {owner} comes back"),
        None => String::from("two of its three nodes come back"),
    };
    let old = format!(
        "job {from} is left as it is, and goes on under its own id if {back}: its tasks can run twice"
    );
    let last = match copy_of {
        Some(owner) => {
            format!(
                "nothing waited for the copy, so what node {owner} told or took after the copy's last record is not in it"
            )
        }
        None => String::from("results that the lost nodes told last may not be among them"),
    };
    let results = format!(
        "{outcomes} of {tasks} results are from this node's copy of job {from}; {last}, and a task that runs again may give \
         another one if its module is not deterministic"
    );
    let half = cancelled.then(|| {
        format!(
            "not all inputs of job {from} had come, so job {job} is cancelled, for half a job must not pass for a whole one: \
             `weft retry {job}` runs the {rest} tasks without a result that came"
        )
    });
    [old, results].into_iter().chain(half).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_doubted_is_said_and_half_a_job_is_called_so() {
        let whole = api::Adopted {
            job: String::from("b7c372edeab46585"),
            from: String::from("a7c372edeab46585"),
            level: Level::Disk,
            tasks: 10,
            outcomes: 4,
            copy_of: None,
            cancelled: false,
        };
        let said = doubts(&whole);
        assert!(said.len() == 2 && said[0].contains("run twice") && said[1].contains("4 of 10"), "{said:?}");
        let copied = doubts(&api::Adopted { copy_of: Some(String::from("anna")), ..whole.clone() });
        assert!(
            copied[0].contains("if node anna comes back")
                && copied[1].contains("after the copy's last record")
        );
        let half = doubts(&api::Adopted { cancelled: true, ..whole });
        assert!(
            half.len() == 3 && half[2].contains("`weft retry b7c372edeab46585` runs the 6 tasks"),
            "{half:?}"
        );
    }
}
