//! `weft events`: what became of jobs, tasks and nodes, a line each.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use weft_client::api::{Event, What};
use weft_client::{EventFilter, Events, Mesh, Missed, Watched};
use weft_node::terminal::visible;

use super::Problem;
use super::interrupt::Interrupt;
use crate::cli::EventsArgs;
use crate::render::{json_line, print, say, short};

/// Prints the events that there are, or also those that come.
pub(crate) async fn events(mesh: &Mesh, args: EventsArgs) -> Result<u8, Problem> {
    let EventsArgs { job, from, follow, json } = args;
    // A name may belong to another job later.
    let job = match job {
        Some(job) => Some(mesh.job(&job).await?.job),
        None => None,
    };
    let mut lines = Lines { mesh, names: BTreeMap::new(), json };
    let filter = EventFilter { from, job };
    if follow { lines.follow(filter).await } else { lines.show(filter).await }
}

/// What is printed.
struct Lines<'a> {
    mesh: &'a Mesh,
    /// The names of nodes, by their ids.
    names: BTreeMap<String, String>,
    json: bool,
}

impl Lines<'_> {
    async fn show(&mut self, mut filter: EventFilter) -> Result<u8, Problem> {
        loop {
            let Events { missed, events, next, is_all } = self.mesh.events(&filter).await?;
            missed.iter().try_for_each(|missed| self.missed(*missed))?;
            for event in events {
                self.event(&event).await?;
            }
            filter.from = next;
            if is_all {
                return Ok(0);
            }
        }
    }

    async fn follow(&mut self, filter: EventFilter) -> Result<u8, Problem> {
        let interrupt = Interrupt::listen()?;
        let is_of_job = filter.job.is_some();
        // One that has ended may have its last event behind it, or none here.
        let ended = match &filter.job {
            Some(job) => self.mesh.job(job).await?.state.has_ended(),
            None => false,
        };
        if ended {
            return self.show(filter).await;
        }
        let mut watch = Box::pin(self.mesh.watch(filter));
        loop {
            let watched = tokio::select! {
                watched = watch.next() => watched,
                () = interrupt.came() => return Err(Problem::Interrupted(String::from("interrupted"))),
            };
            match watched.transpose()? {
                None => return Ok(0),
                Some(Watched::Missed(missed)) => self.missed(missed)?,
                Some(Watched::Event(event)) => {
                    self.event(&event).await?;
                    if is_of_job && matches!(event.what, What::JobEnded { .. }) {
                        return Ok(0);
                    }
                }
            }
        }
    }

    fn missed(&self, missed: Missed) -> Result<(), Problem> {
        let Missed { from, to } = missed;
        if self.json {
            return print(&json_line(&serde_json::json!({ "event": "missed", "from": from, "to": to }))?);
        }
        say(&format!(
            "events before {} are not here any more: `weft jobs` shows how jobs are now",
            time_of_day(to)
        ));
        Ok(())
    }

    async fn event(&mut self, event: &Event) -> Result<(), Problem> {
        if self.json {
            return print(&json_line(event)?);
        }
        if let Some(node) = node_of(&event.what).filter(|node| !self.names.contains_key(*node)) {
            self.learn(node).await;
        }
        print(&format!("{}  {}\n", time_of_day(event.offset), visible(&self.words(&event.what))))
    }

    /// Looks up the names of all nodes, as one of them has none here.
    async fn learn(&mut self, node: &str) {
        if let Ok(peers) = self.mesh.peers().await {
            self.names.extend(peers.into_iter().map(|peer| (peer.peer, peer.name)));
        }
        if let Ok(status) = self.mesh.status().await {
            self.names.insert(status.peer, status.name);
        }
        // One that stays unknown is asked for once.
        self.names.entry(node.to_owned()).or_default();
    }

    fn node(&self, id: &str) -> String {
        match self.names.get(id).filter(|name| !name.is_empty()) {
            Some(name) => name.clone(),
            None => short(id),
        }
    }

    fn words(&self, what: &What) -> String {
        match what {
            What::Submitted { job, name, level } => {
                let name = if name.is_empty() { String::new() } else { format!(" ({name})") };
                format!("job {}{name} submitted, level {level}", short(job))
            }
            What::Led { job, tasks, done } => {
                format!("job {} goes on here, {done} of {tasks} tasks done", short(job))
            }
            What::Moved { job, leader: Some(leader) } => {
                format!("job {} is led by {} now", short(job), self.node(leader))
            }
            What::Moved { job, leader: None } => format!("job {} is led here no more", short(job)),
            What::Retried { job } => format!("job {}: what is not done runs again", short(job)),
            What::Leased { job, index, worker, attempt } => {
                format!("task {index} of job {}: to {}, attempt {attempt}", short(job), self.node(worker))
            }
            What::LeaseLost { job, index, worker } => {
                format!("task {index} of job {}: lost by {}, waits again", short(job), self.node(worker))
            }
            What::TaskEnded { job, index, outcome, worker, attempts } => {
                let by =
                    worker.as_ref().map(|worker| format!(" by {}", self.node(worker))).unwrap_or_default();
                let attempts = if *attempts > 1 { format!(", attempt {attempts}") } else { String::new() };
                format!("task {index} of job {}: {outcome}{by}{attempts}", short(job))
            }
            What::JobEnded { job, state, done, failed, cancelled } => {
                format!("job {} {state}: {done} done, {failed} failed, {cancelled} cancelled", short(job))
            }
            What::Forgotten { job } => format!("job {} forgotten", short(job)),
            What::NodeUp { peer } => format!("node {} is connected", self.node(peer)),
            What::NodeDown { peer, reason } => format!("node {} is gone: {reason}", self.node(peer)),
        }
    }
}

/// The node that it is about, if it is about one.
fn node_of(what: &What) -> Option<&str> {
    match what {
        What::Leased { worker, .. }
        | What::LeaseLost { worker, .. }
        | What::TaskEnded { worker: Some(worker), .. } => Some(worker),
        What::Moved { leader: Some(node), .. }
        | What::NodeUp { peer: node }
        | What::NodeDown { peer: node, .. } => Some(node),
        What::Submitted { .. }
        | What::Led { .. }
        | What::Moved { leader: None, .. }
        | What::Retried { .. }
        | What::TaskEnded { worker: None, .. }
        | What::JobEnded { .. }
        | What::Forgotten { .. } => None,
    }
}

/// The time of an offset, in UTC.
fn time_of_day(offset: u64) -> String {
    let millis = offset / 1000 % 86_400_000;
    let (seconds, millis) = (millis / 1000, millis % 1000);
    format!("{:02}:{:02}:{:02}.{millis:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_that_of_the_day() {
        assert_eq!(time_of_day(0), "00:00:00.000");
        // 2024-02-29T23:59:58.123456Z.
        assert_eq!(time_of_day(1_709_251_198_123_456), "23:59:58.123");
    }
}
