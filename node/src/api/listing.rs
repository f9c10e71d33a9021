//! `GET /v1/jobs`: the jobs of this node, or of all that are connected, filtered and in pages.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Query, State};
use futures::{StreamExt as _, stream};
use tokio::time::{Instant, timeout_at};
use weft_client::api::{Job, JobFilter, JobState, MeshJobs, Position};
use weft_core::PeerId;
use weft_net::{ApiRequest, Asker};

use super::caller::{Caller, Names};
use super::error::ApiError;
use super::placing::peer_of;
use super::{Answered, Api, json, relay, views};
use crate::jobs::{Custody, JobMeta, JobSummary, Led};

/// Jobs in one answer at most.
const PAGE_MAX: u32 = 1000;
/// How long other nodes are asked for their jobs; who has not answered then is left out, and named.
const LIST_TIME: Duration = Duration::from_secs(3);
/// Nodes that are asked at once.
const AT_ONCE_MAX: usize = 16;
/// Longest list of one node, in bytes; a node that is asked leaves out the oldest jobs of a longer one, and one that comes all the
/// same is left out, and its node named.
const LIST_BYTES_MAX: usize = 4 << 20;
/// Longest job in a list, in bytes: with a name, labels and parents as long as they may be it is shorter.
const JOB_BYTES_MAX: usize = 64 << 10;

/// The newest jobs that pass, oldest first; of this node, or of all that are connected.
pub(super) async fn jobs(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<Vec<(String, String)>>,
) -> Answered {
    let (mut filter, mut query) = (filter(query.clone())?, query);
    if filter.mesh && caller != Caller::Here {
        return Err(ApiError::bad("a node that is asked asks no third one").expected("no mesh"));
    }
    let snapshot = api.handle.snapshot().await?;
    let mut known = api.handle.jobs().summaries();
    let owner = match &filter.owner {
        // One that is not known here submitted nothing that this node knows; a member may know it.
        Some(called) => peer_of(&api, called, known.iter().map(JobSummary::owner)).await?,
        None => None,
    };
    if let Some(owner) = owner {
        // Members may call another node so.
        filter.owner = Some(owner.to_string());
        query
            .iter_mut()
            .filter(|(name, _)| name == "owner")
            .for_each(|(_, value)| *value = owner.to_string());
    }
    // A view is made of few: there may be a hundred thousand jobs.
    known.retain(|summary| {
        (filter.owner.is_none() || owner == Some(summary.owner())) && may_pass(&filter, summary)
    });
    if caller != Caller::Here {
        // What it keeps for others, their leaders tell.
        known.retain(|summary| summary.here().is_ok());
    }
    let names = Names::of(&api, &snapshot);
    let mut jobs = views::jobs(known, &snapshot, &names);
    jobs.retain(|job| filter.passes(job));
    let most = filter.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    newest(&mut jobs, most);
    if caller != Caller::Here {
        shorten(&mut jobs, LIST_BYTES_MAX);
    }
    if !filter.mesh {
        return Ok(json::answer(&jobs));
    }
    let silent = add_those_of_others(&api, Asked { filter: &filter, query }, &mut jobs, most).await;
    let silent = silent.into_iter().map(|peer| names.node(peer)).collect();
    Ok(json::answer(&MeshJobs { jobs, silent }))
}

/// The newest of them, oldest first, each once.
fn newest(jobs: &mut Vec<Job>, most: usize) {
    jobs.sort_by_cached_key(Position::of);
    jobs.dedup_by(|later, earlier| later.job == earlier.job);
    jobs.drain(..jobs.len().saturating_sub(most));
}

/// Leaves out the oldest, so that the list is no longer than that. Who asks sees by its length that there may be more.
fn shorten(jobs: &mut Vec<Job>, bytes_max: usize) {
    let mut bytes = json::line(&[(); 0]).len();
    let fits = |job: &&Job| {
        bytes += json::line(job).len();
        bytes <= bytes_max
    };
    let fitting = jobs.iter().rev().take_while(fits).count();
    jobs.drain(..jobs.len() - fitting);
}

/// What a member told.
struct Told {
    jobs: Vec<Job>,
    /// Older ones of it may have had no room.
    may_lack: bool,
}

impl Told {
    /// A list of that length; none if its jobs are longer than any is.
    fn of(jobs: Vec<Job>, bytes: usize) -> Option<Self> {
        let is_long = bytes > LIST_BYTES_MAX / 2;
        let is_sound = !is_long || jobs.len() >= bytes / JOB_BYTES_MAX;
        is_sound.then_some(Self { jobs, may_lack: is_long })
    }
}

/// What a client asks for, as it is and as it was written.
struct Asked<'a> {
    filter: &'a JobFilter,
    query: Vec<(String, String)>,
}

/// Whether a job that another node told belongs to the page that was asked for. One that does not could have a client ask for
/// the same page for ever.
fn is_of_page(filter: &JobFilter, job: &Job) -> bool {
    let position = Position::of(job);
    let is_sound = position.to_string().parse::<Position>().is_ok();
    is_sound && filter.passes(job) && filter.before.as_ref().is_none_or(|before| position < *before)
}

/// Whether a member that says that it leads a job may: of one that this node knows, its keepers alone, and none while this node
/// leads it. Of one that it does not know, the member that is heard first.
fn may_lead(peer: PeerId, told: &Job, known: Option<&JobSummary>) -> bool {
    let is_keeper = |custody: &Custody| custody.led != Led::Here && custody.keepers.contains(&peer);
    told.leader.peer == peer.to_string()
        && known.is_none_or(|known| known.custody.as_ref().is_some_and(is_keeper))
}

/// Adds what the members lead that are connected and answer in time; no more than `most` are held. Those that did not answer.
async fn add_those_of_others(
    api: &Api,
    asked: Asked<'_>,
    jobs: &mut Vec<Job>,
    most: usize,
) -> BTreeSet<PeerId> {
    let Asked { filter, query } = asked;
    let Some(asker) = api.handle.asker() else { return BTreeSet::new() };
    let pairs = query.into_iter().filter(|(name, _)| name != "mesh");
    let pairs: Vec<String> = pairs.map(|(name, value)| relay::target(&format!("{name}="), &value)).collect();
    let target = format!("/v1/jobs?{}", pairs.join("&"));
    let request = ApiRequest { method: String::from("GET"), target, ..ApiRequest::default() };
    let ask = |peer: PeerId| {
        let (asker, request) = (asker, &request);
        async move { (peer, list_of(asker, peer, request).await) }
    };
    let members = asker.connected();
    let mut silent: BTreeSet<PeerId> = members.iter().copied().collect();
    let mut answers = stream::iter(members).map(ask).buffer_unordered(AT_ONCE_MAX);
    let deadline = Instant::now() + LIST_TIME;
    let (mut from, mut heard) = (None, BTreeSet::new());
    while let Ok(Some((peer, answer))) = timeout_at(deadline, answers.next()).await {
        let Some(Told { jobs: mut told, may_lack }) = answer else { continue };
        silent.remove(&peer);
        told.retain(|job| {
            let known = job.job.parse().ok().and_then(|id| api.handle.jobs().summary(id));
            let is_first = known.is_some() || heard.insert(job.job.clone());
            is_first && may_lead(peer, job, known.as_ref()) && is_of_page(filter, job)
        });
        if may_lack && told.len() < most {
            from = from.max(told.iter().map(Position::of).min());
        }
        let ids: BTreeSet<&str> = told.iter().map(|job| job.job.as_str()).collect();
        // Who leads a job knows it best.
        jobs.retain(|job| !ids.contains(job.job.as_str()));
        jobs.extend(told);
        newest(jobs, most);
    }
    // What comes before the oldest that a member had room for is of the next page, with what it left out.
    jobs.retain(|job| from.as_ref().is_none_or(|from| Position::of(job) >= *from));
    silent
}

/// What a member says that it leads; `None` if it gives no answer.
async fn list_of(asker: &Asker, peer: PeerId, request: &ApiRequest) -> Option<Told> {
    let (jobs, bytes) = relay::list(asker.ask(peer, request).await.ok()?, LIST_BYTES_MAX).await?;
    Told::of(jobs, bytes)
}

/// Whether a job may pass, by what never changes of it but its owner.
fn may_pass(filter: &JobFilter, summary: &JobSummary) -> bool {
    let JobFilter { states: _, labels, name, owner: _, since_ms, before, limit: _, mesh: _ } = filter;
    let JobMeta { title, submitted_ms, .. } = &summary.meta;
    let comes_before = |before: &Position| {
        *submitted_ms < before.submitted_ms
            || *submitted_ms == before.submitted_ms && summary.job.to_string() < before.job
    };
    name.as_ref().is_none_or(|name| title.name == *name)
        && since_ms.is_none_or(|since_ms| *submitted_ms >= since_ms)
        && labels.iter().all(|(label, value)| title.labels.get(label) == Some(value))
        && before.as_ref().is_none_or(comes_before)
}

/// The filter of a query.
fn filter(query: Vec<(String, String)>) -> Result<JobFilter, ApiError> {
    let mut filter = JobFilter { limit: Some(PAGE_MAX), ..JobFilter::default() };
    for (name, value) in query {
        let wrong = || ApiError::bad(format!("{name} of {value:?}"));
        match name.as_str() {
            "state" => {
                for word in value.split(',') {
                    let states = JobState::of_word(word);
                    let expected = |text: String| wrong().expected(text.trim_start_matches("expected "));
                    filter.states.extend(states.map_err(expected)?);
                }
            }
            "label" => {
                let pair = value.split_once('=').filter(|(label, _)| !label.is_empty());
                let (label, value) = pair.ok_or_else(|| wrong().expected("NAME=VALUE"))?;
                filter.labels.push((label.to_owned(), value.to_owned()));
            }
            "name" => filter.name = Some(value),
            "owner" => filter.owner = Some(value),
            "since_ms" => {
                let since_ms = value.parse().map_err(|_cause| wrong().expected("milliseconds since 1970"))?;
                filter.since_ms = Some(since_ms);
            }
            "before" => {
                let position: Result<Position, String> = value.parse();
                let expected = |text: String| wrong().expected(text.trim_start_matches("expected "));
                filter.before = Some(position.map_err(expected)?);
            }
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
                let expected = || wrong().expected(format!("a whole number from 1 to {PAGE_MAX}"));
                filter.limit = Some(limit.ok_or_else(expected)?);
            }
            "mesh" => filter.mesh = value.parse().map_err(|_cause| wrong().expected("true or false"))?,
            _ => {
                let text = format!("{name} is no filter of jobs");
                return Err(ApiError::bad(text)
                    .expected("state, label, name, owner, since_ms, before, limit or mesh"));
            }
        }
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use weft_core::message::Class;
    use weft_core::{BlobId, Level};

    use super::*;
    use crate::jobs::JobTable;

    fn parsed(pairs: &[(&str, &str)]) -> Result<JobFilter, ApiError> {
        filter(pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
    }

    #[test]
    fn a_query_is_a_filter() {
        let query = [
            ("state", "failed,cancelled"),
            ("label", "team=fonts"),
            ("label", "a=b=c"),
            ("name", "friday"),
            ("owner", "anna"),
            ("since_ms", "5"),
            ("limit", "7"),
            ("before", "1-a7c372edeab46585"),
            ("mesh", "true"),
        ];
        let expected = JobFilter {
            states: vec![JobState::Failed, JobState::Cancelled],
            labels: vec![("team".into(), "fonts".into()), ("a".into(), "b=c".into())],
            name: Some("friday".into()),
            owner: Some("anna".into()),
            since_ms: Some(5),
            before: "1-a7c372edeab46585".parse().ok(),
            limit: Some(7),
            mesh: true,
        };
        assert_eq!(parsed(&query), Ok(expected));
        assert_eq!(parsed(&[]).unwrap().limit, Some(PAGE_MAX));
    }

    fn meta(owner: PeerId) -> JobMeta {
        JobMeta {
            module: BlobId([0; 32]),
            class: Class::Batch,
            detached: true,
            level: Level::Mesh,
            owner,
            shared: false,
            title: Arc::default(),
            submitted_ms: 0,
            streamed: false,
            signed: None,
            after: Arc::default(),
            takes_results: false,
        }
    }

    fn job(job: &str, submitted_ms: u64) -> Job {
        let told = serde_json::json!({
            "job": job, "state": "done", "detached": true, "cancelled_by_user": false, "class": "batch",
            "module": "", "tasks": 1, "queued": 0, "leased": 0, "done": 1, "failed": 0, "cancelled": 0,
            "retried": 0, "elapsed_ms": 1, "submitted_ms": submitted_ms,
        });
        serde_json::from_value(told).unwrap()
    }

    #[test]
    fn only_who_may_lead_a_job_tells_of_it() {
        let (me, keeper, other) = (PeerId([1; 32]), PeerId([2; 32]), PeerId([3; 32]));
        let table = JobTable::new();
        let id = "00000000000000a1".parse().unwrap();
        table.create(id, meta(me)).unwrap();
        let known = |led| JobSummary {
            custody: Some(Custody { keepers: vec![me, keeper], led, shared: false }),
            ..table.summary(id).unwrap()
        };
        let told = |by: PeerId| {
            let mut told = job("00000000000000a1", 1);
            told.leader.peer = by.to_string();
            told
        };
        assert!(may_lead(other, &told(other), None), "it is not known here");
        assert!(!may_lead(other, &told(keeper), None), "each tells of what it leads itself");
        let elsewhere = known(Led::Elsewhere { leader: None });
        assert!(may_lead(keeper, &told(keeper), Some(&elsewhere)));
        assert!(!may_lead(other, &told(other), Some(&elsewhere)), "it does not keep the job");
        assert!(!may_lead(keeper, &told(keeper), Some(&known(Led::Here))), "this node leads it");
        let alone = JobSummary { custody: None, ..elsewhere };
        assert!(!may_lead(keeper, &told(keeper), Some(&alone)), "it is not kept by others");
    }

    #[test]
    fn what_a_member_is_told_has_the_newest_jobs_that_fit_and_says_that_there_may_be_more() {
        // The longest job that is taken: each letter of its labels takes six in JSON.
        let label = |number: u8| (format!("{number:02}{}", "\u{202e}".repeat(20)), "\u{202e}".repeat(85));
        let long = |id: u64| Job { labels: (0..32).map(label).collect(), ..job(&format!("{id:016x}"), id) };
        let one = json::line(&long(0)).len();
        assert!((20_000..JOB_BYTES_MAX).contains(&one), "{one}");
        let all: Vec<Job> = (0..1000).map(long).collect();
        let mut fitting = all.clone();
        shorten(&mut fitting, LIST_BYTES_MAX);
        let bytes = json::line(&fitting).len();
        assert!((LIST_BYTES_MAX - one..=LIST_BYTES_MAX).contains(&bytes), "{bytes}");
        assert!(all.ends_with(&fitting), "the newest");
        assert!(Told::of(fitting, bytes).is_some_and(|told| told.may_lack));
        let mut few = all[..10].to_vec();
        shorten(&mut few, LIST_BYTES_MAX);
        let bytes = json::line(&few).len();
        assert!(few.len() == 10 && Told::of(few, bytes).is_some_and(|told| !told.may_lack));
        assert!(Told::of(all[..9].to_vec(), LIST_BYTES_MAX).is_none(), "no job is so long");
    }

    #[test]
    fn what_another_node_tells_is_of_the_page_that_was_asked_for() {
        let id = "a7c372edeab46585";
        let filter = parsed(&[("before", &format!("7-{id}")), ("mesh", "true")]).unwrap();
        let is_of_page = |name: &str, submitted_ms| is_of_page(&filter, &job(name, submitted_ms));
        assert!(is_of_page(id, 6) && is_of_page("a7c372edeab46584", 7));
        assert!(!is_of_page(id, 7) && !is_of_page(id, 8), "it was on an earlier page");
        assert!(!is_of_page("../../stop", 6), "it is no id");
    }

    #[test]
    fn a_filter_that_means_nothing_is_refused() {
        let wrong = [
            ("state", "lost"),
            ("state", ""),
            ("label", "team"),
            ("label", "=x"),
            ("since_ms", "-1"),
            ("before", "a7c372edeab46585"),
            ("limit", "0"),
            ("limit", "1001"),
            ("mesh", "yes"),
            ("leader", "anna"),
        ];
        for pair in wrong {
            assert!(parsed(&[pair]).is_err(), "{pair:?}");
        }
    }
}
