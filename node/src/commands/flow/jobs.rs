//! The jobs of a flow, as a node tells them, and which flow a command line names.

use std::collections::BTreeMap;
use std::path::Path;

use weft_client::{JobFilter, Mesh, api};

use super::super::Problem;
use super::content;
use super::file::Flow;

/// The newest job of each step, by the step's name.
pub(crate) type Newest = BTreeMap<String, api::Job>;
/// Steps and their jobs, each behind those whose results it takes.
pub(crate) type Steps = Vec<(String, api::Job)>;

/// A flow that a command line names, by its file or its name.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) name: String,
    /// Where its file is named.
    flow: Option<Flow>,
}

impl Named {
    /// That of a file's path, or that of a name, which has neither a dot nor a slash.
    ///
    /// # Errors
    /// When the file can't be read.
    pub(crate) fn of(text: &str) -> Result<Self, Problem> {
        let path = Path::new(text);
        if !path.is_file() && !text.contains(['.', '/']) {
            return Ok(Self { name: text.to_owned(), flow: None });
        }
        let flow = Flow::read(path)?;
        Ok(Self { name: flow.name.clone(), flow: Some(flow) })
    }

    /// The names of its steps, as far as its file is named.
    pub(crate) fn steps(&self) -> impl Iterator<Item = &str> {
        self.flow.iter().flat_map(|flow| &flow.steps).map(|step| step.name.as_str())
    }

    /// Its jobs, oldest first: those of this node, or, where it has none, those of the node that submitted the last one.
    ///
    /// # Errors
    /// When there are none.
    pub(crate) async fn jobs(&self, mesh: &Mesh) -> Result<Vec<api::Job>, Problem> {
        let own = own(mesh, &self.name).await?;
        if !own.is_empty() {
            return Ok(own);
        }
        let mut all = mesh.list_all(&JobFilter { mesh: true, ..with_name(&self.name) }).await?;
        let Some(last) = all.last().map(|job| job.owner.peer.clone()) else {
            let text = format!(
                "flow {} has no jobs: `weft flow run` begins it, `weft jobs --mesh` shows those that there are",
                self.name
            );
            return Err(Problem::Failed(text));
        };
        all.retain(|job| job.owner.peer == last);
        Ok(all)
    }
}

/// The jobs of a flow that this node has submitted, oldest first.
pub(crate) async fn own(mesh: &Mesh, flow: &str) -> Result<Vec<api::Job>, Problem> {
    let me = mesh.status().await?.peer;
    Ok(mesh.list_all(&JobFilter { owner: Some(me), ..with_name(flow) }).await?)
}

fn with_name(flow: &str) -> JobFilter {
    JobFilter { labels: vec![(content::FLOW.to_owned(), flow.to_owned())], ..JobFilter::default() }
}

/// The step of a job; empty for one that has none.
pub(crate) fn step_of(job: &api::Job) -> &str {
    job.labels.get(content::STEP).map_or("", String::as_str)
}

/// The newest job of each step among jobs, oldest first.
pub(crate) fn newest(jobs: Vec<api::Job>) -> Newest {
    named_steps(jobs).into_iter().collect()
}

/// The jobs with the names of their steps; without those that are no step's.
pub(crate) fn named_steps(jobs: Vec<api::Job>) -> Steps {
    let named = jobs.into_iter().map(|job| (step_of(&job).to_owned(), job));
    named.filter(|(step, _)| !step.is_empty()).collect()
}

/// As they were submitted: a step is behind those whose results it takes.
pub(crate) fn in_order(newest: Newest) -> Steps {
    let mut steps: Steps = newest.into_iter().collect();
    steps.sort_by_key(|(_, job)| api::Position::of(job));
    steps
}

#[cfg(test)]
mod tests {
    use weft_client::JobState;

    use super::super::tests;
    use super::*;

    #[test]
    fn a_name_has_no_dot() {
        assert_eq!(Named::of("thumbs").unwrap().name, "thumbs");
        assert!(Named::of("none.toml").unwrap_err().to_string().contains("none.toml"));
    }

    #[test]
    fn the_last_job_of_a_step_counts() {
        let of = |id: &str, step: &str, submitted_ms: u64| {
            let mut job = tests::job(id, JobState::Done, 1);
            job.labels.insert(content::STEP.to_owned(), step.to_owned());
            api::Job { submitted_ms, ..job }
        };
        let jobs =
            vec![of("1", "b", 1), of("2", "a", 2), of("3", "b", 3), tests::job("4", JobState::Done, 1)];
        let order: Vec<(String, String)> =
            in_order(newest(jobs)).into_iter().map(|(step, job)| (step, job.job)).collect();
        assert_eq!(order, [("a".into(), "2".into()), ("b".into(), "3".into())]);
    }
}
