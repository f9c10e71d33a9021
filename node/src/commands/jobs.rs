//! `weft jobs`: the jobs that the local node knows, or those of the whole mesh.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use weft_client::{JobFilter, Mesh, api};

use super::Problem;
use crate::cli::JobsArgs;
use crate::render::{Side, Table, json_line, millis, print, say, short};

/// Jobs that are shown without a word about how many.
const SHOWN: u32 = 100;
/// Jobs in quarantine that are named.
const NAMED_MAX: usize = 8;

/// Prints the jobs, oldest first.
pub(crate) async fn jobs(mesh: &Mesh, args: &JobsArgs) -> Result<u8, Problem> {
    let filter = filter(mesh, args).await?;
    let api::Status { peer: me, journal, .. } = mesh.status().await?;
    let lacking = lacking(&journal);
    // A list must not look whole where jobs may be missing in it.
    lacking.iter().for_each(|text| say(text));
    let code = u8::from(journal.unopened);
    if args.json {
        let is_page = !args.all && (args.limit.is_some() || args.before.is_some());
        json(mesh, &filter, is_page).await?;
        return Ok(code);
    }
    let api::MeshJobs { jobs, silent } =
        if args.all { mesh.pages(&filter).await? } else { mesh.page(&filter).await? };
    if !silent.is_empty() {
        let names: Vec<&str> = silent.iter().map(api::Node::called).collect();
        say(&format!("no answer from {}: jobs that they lead may be missing", names.join(", ")));
    }
    let Some(oldest) = jobs.first() else {
        say(nothing(args, lacking.is_empty()));
        return Ok(code);
    };
    let is_everybodys = args.mesh || jobs.iter().any(|job| job.owner.peer != me || job.leader.peer != me);
    table(&jobs, is_everybodys).print()?;
    if filter.limit.is_some_and(|limit| jobs.len() as u64 == u64::from(limit)) && !args.all {
        let before = JobFilter { before: Some(api::Position::of(oldest)), limit: Some(1), ..filter };
        if !mesh.list(&before).await?.is_empty() {
            say(&format!("older jobs: --before {}, or --all", short(&oldest.job)));
        }
    }
    Ok(code)
}

/// The jobs as JSON, a line each: a page of them, or all of them page by page.
async fn json(mesh: &Mesh, filter: &JobFilter, is_page: bool) -> Result<(), Problem> {
    let mut list = JsonList::begin(filter.mesh)?;
    let limit = filter.limit.filter(|_| is_page);
    let newest = mesh.page(&JobFilter { limit, ..filter.clone() }).await?;
    if is_page || !has_older(mesh, filter, &newest, &mut list).await? {
        list.add(&newest)?;
        return list.end();
    }
    for part in parts(mesh, filter, &mut list).await? {
        for page in pages_of(mesh, filter, part).await? {
            list.add(&page)?;
        }
    }
    list.end()
}

/// Whether there are jobs before those of a page. Mostly there are none, and nothing is asked for a second time.
async fn has_older(
    mesh: &Mesh,
    filter: &JobFilter,
    page: &api::MeshJobs,
    list: &mut JsonList,
) -> Result<bool, Problem> {
    let Some(first) = page.jobs.first().map(api::Position::of) else { return Ok(false) };
    let older = mesh.page(&JobFilter { before: Some(first), limit: None, ..filter.clone() }).await?;
    list.note_silent(&older);
    Ok(!older.jobs.is_empty())
}

/// A part of all jobs: those before one and from one on; the newest ones, or the oldest, where one of these is none.
#[derive(Clone, Debug)]
struct Part {
    before: Option<api::Position>,
    from: Option<api::Position>,
}

/// All jobs in parts of a page each, oldest first.
async fn parts(mesh: &Mesh, filter: &JobFilter, list: &mut JsonList) -> Result<Vec<Part>, Problem> {
    let (mut parts, mut before) = (Vec::new(), None);
    loop {
        let page = mesh.page(&JobFilter { before: before.clone(), limit: None, ..filter.clone() }).await?;
        list.note_silent(&page);
        let from = page.jobs.first().map(api::Position::of);
        parts.push(Part { before, from: from.clone() });
        if from.is_none() {
            parts.reverse();
            return Ok(parts);
        }
        before = from;
    }
}

/// The jobs of a part, oldest first. They are more than a page where others came since it was measured.
async fn pages_of(mesh: &Mesh, filter: &JobFilter, part: Part) -> Result<Vec<api::MeshJobs>, Problem> {
    let (mut pages, mut before) = (Vec::new(), part.before);
    loop {
        let mut page = mesh.page(&JobFilter { before, limit: None, ..filter.clone() }).await?;
        before = page.jobs.first().map(api::Position::of);
        let is_last = before.is_none() || part.from.is_some() && before <= part.from;
        page.jobs.retain(|job| part.from.as_ref().is_none_or(|from| api::Position::of(job) >= *from));
        pages.push(page);
        if is_last {
            pages.reverse();
            return Ok(pages);
        }
    }
}

/// A list of jobs that is written as it comes.
struct JsonList {
    is_mesh: bool,
    is_empty: bool,
    silent: BTreeMap<String, api::Node>,
}

impl JsonList {
    fn begin(is_mesh: bool) -> Result<Self, Problem> {
        print(if is_mesh { "{\"jobs\": [" } else { "[" })?;
        Ok(Self { is_mesh, is_empty: true, silent: BTreeMap::new() })
    }

    fn note_silent(&mut self, page: &api::MeshJobs) {
        self.silent.extend(page.silent.iter().map(|node| (node.peer.clone(), node.clone())));
    }

    fn add(&mut self, page: &api::MeshJobs) -> Result<(), Problem> {
        self.note_silent(page);
        for job in &page.jobs {
            let gap = if std::mem::replace(&mut self.is_empty, false) { "\n" } else { ",\n" };
            print(&format!("{gap}{}", json_line(job)?.trim_end()))?;
        }
        Ok(())
    }

    fn end(self) -> Result<(), Problem> {
        let gap = if self.is_empty { "" } else { "\n" };
        if !self.is_mesh {
            return print(&format!("{gap}]\n"));
        }
        let silent: Vec<api::Node> = self.silent.into_values().collect();
        print(&format!("{gap}], \"silent\": {}}}\n", json_line(&silent)?.trim_end()))
    }
}

/// Why jobs of this node may be in no list, in sentences.
pub(super) fn lacking(journal: &api::Journal) -> Vec<String> {
    let incomplete =
        journal.incomplete.as_ref().map(|why| format!("jobs of this node may be missing: {why}"));
    incomplete.into_iter().chain(in_quarantine(&journal.quarantined)).collect()
}

/// Which jobs of this node are in no list, because their records can't be used.
fn in_quarantine(jobs: &[String]) -> Option<String> {
    let first = jobs.get(..jobs.len().min(NAMED_MAX)).filter(|first| !first.is_empty())?.join(", ");
    let more = jobs.len().saturating_sub(NAMED_MAX);
    let others = if more == 0 { String::new() } else { format!(" and {more} more") };
    Some(format!("in quarantine, and not in this list: {first}{others}; `weft status` says why"))
}

/// What the command line asks for.
async fn filter(mesh: &Mesh, args: &JobsArgs) -> Result<JobFilter, Problem> {
    let before = match &args.before {
        Some(job) => Some(api::Position::of(&mesh.job(job).await?)),
        None => None,
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let since = args.since.map(|since| now.saturating_sub(since));
    Ok(JobFilter {
        states: args.state.iter().flat_map(|word| word.0.iter().copied()).collect(),
        labels: args.label.clone(),
        name: args.name.clone(),
        owner: args.owner.clone(),
        since_ms: since.map(|since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
        before,
        limit: Some(args.limit.unwrap_or(SHOWN)),
        mesh: args.mesh,
    })
}

/// That there is no job in the list.
fn nothing(args: &JobsArgs, is_whole: bool) -> &'static str {
    let is_all = is_whole
        && args.state.is_empty()
        && args.label.is_empty()
        && args.name.is_none()
        && args.owner.is_none()
        && args.since.is_none()
        && args.before.is_none();
    if is_all { "no jobs: `weft run`, `weft map` and `weft submit` make some" } else { "no such jobs" }
}

/// The jobs; with whose they are and who leads them, where that is not this node for all of them.
fn table(jobs: &[api::Job], is_everybodys: bool) -> Table {
    let mut table = Table::new(&[
        ("JOB", Side::Left),
        ("NAME", Side::Left),
        ("STATE", Side::Left),
        ("LEVEL", Side::Left),
        ("OWNER", Side::Left),
        ("LED BY", Side::Left),
        ("CLASS", Side::Left),
        ("TASKS", Side::Right),
        ("QUEUED", Side::Right),
        ("LEASED", Side::Right),
        ("DONE", Side::Right),
        ("FAILED", Side::Right),
        ("CANCELLED", Side::Right),
        ("RETRIED", Side::Right),
        ("TIME", Side::Right),
        ("MODULE", Side::Left),
        ("LABELS", Side::Left),
    ])
    .fitted(&[
        "CANCELLED",
        "RETRIED",
        "NAME",
        "LABELS",
        "MODULE",
        "CLASS",
        "LEVEL",
        "QUEUED",
        "LEASED",
        "LED BY",
        "OWNER",
    ]);
    for job in jobs {
        table.row([
            job.job.clone(),
            or_dash(&job.name),
            state(job).into(),
            job.level.to_string(),
            or_dash(job.owner.called()),
            or_dash(job.leader.called()),
            job.class.to_string(),
            job.tasks.to_string(),
            known(job, job.queued + job.delayed + job.held),
            known(job, job.leased),
            job.done.to_string(),
            job.failed.to_string(),
            job.cancelled.to_string(),
            known(job, job.retried),
            millis(job.elapsed_ms),
            or_dash(&short(&job.module)),
            super::labels(&job.labels),
        ]);
    }
    if is_everybodys { table } else { table.without(&["OWNER", "LED BY"]) }
}

fn or_dash(text: &str) -> String {
    String::from(if text.is_empty() { "-" } else { text })
}

/// A count that the node which leads a job knows alone.
fn known(job: &api::Job, count: u32) -> String {
    if job.from_log { String::from("-") } else { count.to_string() }
}

/// The state in one word: that of a filter, or one that says more.
pub(super) fn state(job: &api::Job) -> &'static str {
    let is_unfinished = !job.state.has_ended();
    if is_unfinished && job.is_left_copy() {
        "owner silent"
    } else if is_unfinished && job.leader.peer.is_empty() {
        "no leader"
    } else if job.state == api::JobState::Failed && job.tasks > 0 && job.skipped == job.tasks {
        "skipped"
    } else if job.given_up {
        "given up"
    } else if is_unfinished && job.cancelled_by_user {
        "cancelling"
    } else if job.state == api::JobState::Running && job.open {
        "open"
    } else {
        job.state.word()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_in_quarantine_are_named_and_the_rest_counted() {
        let jobs = |count: u32| (0..count).map(|number| number.to_string()).collect::<Vec<String>>();
        assert_eq!(in_quarantine(&jobs(0)), None);
        let two = "in quarantine, and not in this list: 0, 1; `weft status` says why";
        assert_eq!(in_quarantine(&jobs(2)).as_deref(), Some(two));
        assert!(in_quarantine(&jobs(10)).unwrap().contains("6, 7 and 2 more;"));
    }

    #[test]
    fn what_the_leader_knows_alone_is_no_number_where_another_node_tells_it() {
        let told = |from_log: bool| -> api::Job {
            let job = serde_json::json!({
                "job": "a7c372edeab46585", "state": "running", "detached": true, "cancelled_by_user": false,
                "class": "batch", "module": "", "tasks": 9, "queued": 7, "leased": 0, "done": 2, "failed": 0,
                "cancelled": 0, "retried": 0, "elapsed_ms": 1, "from_log": from_log,
            });
            serde_json::from_value(job).unwrap()
        };
        let shown = |job: &api::Job| [known(job, job.queued), known(job, job.leased)];
        assert_eq!(shown(&told(true)), ["-", "-"]);
        assert_eq!(shown(&told(false)), ["7", "0"]);
    }
}
