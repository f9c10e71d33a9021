//! Requests about a job that this node does not lead: finds the member that does, and hands over to [`super::relay`]. The
//! members are asked at once, those first that are most likely to know; the wait for them is bounded.
//!
//! That a member leads a job is its own word. A node that keeps the job knows who may; others go by what all say (`claims.rs`), and
//! ask another one where the first does not lead it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures::{StreamExt as _, stream};
use tokio::time::{Instant, timeout_at};
use weft_core::{JobId, PeerId};
use weft_net::{ApiRequest, Asker};

use super::Api;
use super::caller::Names;
use super::claims::Heard;
use super::error::ApiError;
use super::finding::{Named, ambiguous, find, why_unknown};
use super::members::{KNOWN_MAX, Known, LEAD_PATH};
use super::relay::{self, Meant, Wanted};
use crate::jobs::{JobSummary, JobTable, Moved};

/// How long members are asked for who leads a job.
const FIND_MAX: Duration = Duration::from_secs(3);
/// Members that are asked at once.
const AT_ONCE_MAX: usize = 32;
/// Longest answer to that question, in bytes.
const KNOWN_BYTES_MAX: usize = 16 << 10;
/// How long others are waited for once a member says that it leads a job, and none confirms it.
const CONFIRM_MAX: Duration = Duration::from_millis(300);
/// Jobs whose leader is remembered; beyond it all are forgotten, and asked for again.
const LEADERS_MAX: usize = 4096;
/// How often a request is tried where the job moves meanwhile.
const TRIES: u32 = 3;
/// Another member takes over a job within this time, in seconds: the longest silence, its jitter, and the round itself.
const TAKEOVER_S: u64 = 20;

/// The members that were found to lead jobs.
#[derive(Debug, Default)]
pub(super) struct Leaders(Mutex<BTreeMap<JobId, PeerId>>);

impl Leaders {
    fn get(&self, job: JobId) -> Option<PeerId> {
        self.lock().get(&job).copied()
    }

    fn note(&self, job: JobId, leader: PeerId) {
        let mut leaders = self.lock();
        if leaders.len() >= LEADERS_MAX {
            leaders.clear();
        }
        leaders.insert(job, leader);
    }

    fn forget(&self, job: JobId) {
        self.lock().remove(&job);
    }

    /// Those that lead jobs that were asked for here.
    pub(super) fn all(&self) -> BTreeSet<PeerId> {
        self.lock().values().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<JobId, PeerId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers a request about a job here if this node leads it, or if no other node can be asked; else has it answered by the
/// member that does.
pub(super) async fn pass_on(
    State(api): State<Api>,
    Path(name): Path<String>,
    request: Request,
    next: Next,
) -> Response {
    let kept = match find(&api, &name) {
        Ok(summary) => match summary.here() {
            Ok(()) => return next.run(request).await,
            Err(_) if summary.is_left_copy() && shows_copy(&request) => return next.run(request).await,
            Err(Moved { job, leader }) => Some(Kept { job, leader, keepers: keepers_of(&summary) }),
        },
        Err(error) if error.is_not_found() => None,
        Err(_) => return next.run(request).await,
    };
    let asker = api.handle.asker().filter(|asker| kept.is_some() || !asker.connected().is_empty()).cloned();
    match (asker, Wanted::of(request.method(), request.uri().path())) {
        (Some(asker), Some(wanted)) => {
            let answered =
                Errand { api, asker, name, kept, refused: BTreeSet::new() }.run(wanted, request).await;
            answered.unwrap_or_else(ApiError::into_response)
        }
        (None, _) | (_, None) => next.run(request).await,
    }
}

/// Whether a request is answered by what a copy has: what is there of the job, or of its results. One that waits for what comes is
/// not, for the owner may be back soon.
fn shows_copy(request: &Request) -> bool {
    let asks = |what: &str| request.uri().query().is_some_and(|query| query.contains(what));
    match Wanted::of(request.method(), request.uri().path()) {
        Some(Wanted::View) => !asks("wait_ms"),
        Some(Wanted::Results) => asks("follow=false"),
        Some(Wanted::Why | Wanted::Change(_)) | None => false,
    }
}

/// The connected node that leads a job which this node keeps, if one says that it does.
pub(super) async fn leader_of(api: &Api, summary: &JobSummary) -> Option<PeerId> {
    let asker = api.handle.asker()?.clone();
    let kept = Kept { job: summary.job, leader: None, keepers: keepers_of(summary) };
    let name = summary.job.to_string();
    let errand = Errand { api: api.clone(), asker, name, kept: Some(kept), refused: BTreeSet::new() };
    errand.claimed(summary.job).await
}

/// The nodes that keep a job at level `mesh`.
pub(super) fn keepers_of(summary: &JobSummary) -> Vec<PeerId> {
    summary.custody.as_ref().map(|custody| custody.keepers.clone()).unwrap_or_default()
}

/// A job that this node keeps for another leader.
struct Kept {
    job: JobId,
    /// Who leads it, as far as this node knows.
    leader: Option<PeerId>,
    keepers: Vec<PeerId>,
}

/// One request about a job that another member leads.
struct Errand {
    api: Api,
    asker: Asker,
    name: String,
    kept: Option<Kept>,
    /// Members that were asked and do not lead it.
    refused: BTreeSet<PeerId>,
}

impl Errand {
    async fn run(mut self, wanted: Wanted, request: Request) -> Result<Response, ApiError> {
        let (parts, _no_body) = request.into_parts();
        let mut tries = 0;
        loop {
            tries += 1;
            let (job, leader) = self.leader().await?;
            let question = relay::question(&parts, wanted, job);
            let answered = self.asker.ask(leader, &question).await;
            match answered {
                Ok(answer) => {
                    let is_moved = relay::is_moved(&answer);
                    if is_moved {
                        self.mislead(job, leader);
                    }
                    if !is_moved || tries >= TRIES {
                        let name = Some(self.name.as_str()).filter(|name| Named::of(name) == Named::Name);
                        let meant = Meant { job, name };
                        return relay::response(&self.api, wanted, meant, &parts, answer).await;
                    }
                }
                Err(error) => {
                    self.mislead(job, leader);
                    if tries >= TRIES || !(wanted.only_reads() || error.did_nothing()) {
                        return Err(self.out_of_reach(job, leader, &error.to_string()).await?);
                    }
                }
            }
        }
    }

    /// What was known of the job's leader is not so any more.
    fn mislead(&mut self, job: JobId, leader: PeerId) {
        self.refused.insert(leader);
        self.api.leaders.forget(job);
        if let Some(kept) = &mut self.kept {
            kept.leader = None;
        }
    }

    /// Who leads the job that is meant.
    async fn leader(&self) -> Result<(JobId, PeerId), ApiError> {
        let known = self.kept.as_ref().and_then(|kept| Some((kept.job, kept.leader?)));
        if let Some((job, leader)) = known.filter(|(_, leader)| self.asker.connected().contains(leader)) {
            return Ok((job, leader));
        }
        let named = self.kept.as_ref().map_or_else(|| Named::of(&self.name), |kept| Named::Id(kept.job));
        if let Named::Id(job) = named
            && let Some(leader) = self.api.leaders.get(job)
        {
            return Ok((job, leader));
        }
        let heard = self.ask_all(&named).await;
        let led: Vec<JobId> = heard.led();
        match (led.as_slice(), heard.kept()) {
            ([job], _) => {
                let leader = heard.leader(*job, &self.refused);
                let leader = leader.ok_or_else(|| ApiError::not_found("job", &self.name))?;
                self.api.leaders.note(*job, leader);
                Ok((*job, leader))
            }
            ([], None) => Err(self.unknown(heard.silent)),
            ([], Some((job, keepers))) => Err(self.leaderless(job, &keepers).await?),
            (several, _) => Err(ambiguous(&self.api, &self.name, several)),
        }
    }

    /// Who leads the job by its own word; none if no connected node says so.
    async fn claimed(&self, job: JobId) -> Option<PeerId> {
        let heard = self.ask_all(&Named::Id(job)).await;
        heard.leader(job, &self.refused)
    }

    /// Asks all that are connected, until the leader of an id is found, all have answered, or the time is over.
    async fn ask_all(&self, named: &Named) -> Heard {
        let mut likely = self.api.leaders.all();
        likely.extend(self.kept.iter().flat_map(|kept| &kept.keepers));
        let mut members = self.asker.connected();
        members.sort_by_key(|peer| !likely.contains(peer));
        let count = members.len();
        let name = self.kept.as_ref().map_or_else(|| self.name.clone(), |kept| kept.job.to_string());
        let target = relay::target(&format!("{LEAD_PATH}/"), &name);
        let request = ApiRequest { method: String::from("GET"), target, ..ApiRequest::default() };
        let ask = |peer: PeerId| {
            let (asker, request) = (&self.asker, &request);
            async move { (peer, known(asker, peer, request).await) }
        };
        let mut deadline = Instant::now() + FIND_MAX;
        let mut answers = stream::iter(members).map(ask).buffer_unordered(AT_ONCE_MAX);
        let here = self.kept.as_ref().map(|kept| (kept.job, kept.keepers.clone()));
        let (mut heard, mut answered) = (Heard::here(here), 0);
        while let Ok(Some((peer, known))) = timeout_at(deadline, answers.next()).await {
            let Some(known) = known else { continue };
            answered += 1;
            let known = known.into_iter().take(KNOWN_MAX);
            let meant =
                known.filter(|known| self.kept.is_some() || !is_known_here(self.api.handle.jobs(), known));
            meant.for_each(|known| heard.note(named, peer, known));
            if let Named::Id(job) = named {
                if heard.is_confirmed(*job) {
                    break;
                }
                if heard.is_claimed(*job) {
                    deadline = deadline.min(Instant::now() + CONFIRM_MAX);
                }
            }
        }
        heard.silent = count - answered;
        heard
    }

    fn unknown(&self, silent: usize) -> ApiError {
        let error = ApiError::not_found("job", &self.name)
            .expected("a job's id, its first digits, or its name, of this node or one that is connected");
        let silent = match silent {
            0 => None,
            1 => Some(String::from("one connected node did not answer: ask again")),
            several => Some(format!("{several} connected nodes did not answer: ask again")),
        };
        let reasons: Vec<String> = why_unknown(&self.api, &self.name).into_iter().chain(silent).collect();
        if reasons.is_empty() { error } else { error.help(reasons.join("; ")) }
    }

    /// That a job is kept, and no node leads it now.
    async fn leaderless(&self, job: JobId, keepers: &BTreeSet<PeerId>) -> Result<ApiError, ApiError> {
        let names = Names::of(&self.api, &self.api.handle.snapshot().await?);
        let named = |peer: &PeerId| {
            let (node, is_here) = (names.node(*peer), names.is_here(*peer));
            format!("{}{}", node.called(), if is_here { "" } else { " (not connected)" })
        };
        let keepers: Vec<String> = keepers.iter().map(named).collect();
        let text = format!("no node leads job {job} now; it is kept by {}", keepers.join(", "));
        let help = if keepers.len() == 2 {
            format!(
                "it goes on when the node that owns it is connected again; if that is gone for good, `weft adopt {job}` on the other \
                 one, which has a copy, says what can be done"
            )
        } else {
            format!(
                "where two of its three nodes are connected to each other, one leads it within {TAKEOVER_S} s; if two of them are \
                 gone for good, `weft adopt {job}` on the third says what can be done"
            )
        };
        Ok(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text).help(help).soon())
    }

    /// That the leader of a job can't be asked.
    async fn out_of_reach(&self, job: JobId, leader: PeerId, why: &str) -> Result<ApiError, ApiError> {
        let leader = Names::of(&self.api, &self.api.handle.snapshot().await?).node(leader);
        let name = leader.called();
        let text = format!("node {name}, which leads job {job}, gave no answer: {why}");
        Ok(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text).help("look at the job, and ask again").soon())
    }
}

/// Whether a member speaks of a job that this node has. Where none that is meant was found here, it is not that one, whatever the
/// member says it is called: a change of it would be one of this node's own job.
fn is_known_here(jobs: &JobTable, known: &Known) -> bool {
    known.job.parse().is_ok_and(|job| jobs.summary(job).is_some())
}

/// What a member says about the jobs that may be meant; `None` if it gives no answer.
async fn known(asker: &Asker, peer: PeerId, request: &ApiRequest) -> Option<Vec<Known>> {
    let answer = asker.ask(peer, request).await.ok()?;
    if answer.head.status != StatusCode::OK.as_u16() {
        return None;
    }
    serde_json::from_slice(&answer.whole(KNOWN_BYTES_MAX).await.ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::super::testing::meta;
    use super::*;

    #[test]
    fn a_copy_answers_what_asks_for_what_is_there_and_for_nothing_that_waits() {
        let asked = |uri: &str| Request::builder().uri(uri).body(axum::body::Body::empty()).unwrap();
        for (uri, shows) in [
            ("/v1/jobs/a1", true),
            ("/v1/jobs/a1?wait_ms=1000", false),
            ("/v1/jobs/a1/results?from=0&follow=false", true),
            ("/v1/jobs/a1/results?from=7&follow=true", false),
            ("/v1/jobs/a1/results", false),
            ("/v1/jobs/a1/why", false),
        ] {
            assert_eq!(shows_copy(&asked(uri)), shows, "{uri}");
        }
    }

    fn peer(seed: u8) -> PeerId {
        PeerId([seed; 32])
    }

    #[test]
    fn a_job_that_this_node_has_is_none_that_a_member_means() {
        let jobs = JobTable::new();
        jobs.create(JobId(7), meta()).unwrap();
        let claim = |job| Known { job: JobId(job).to_string(), leads: true, epoch: 9, keepers: Vec::new() };
        assert!(is_known_here(&jobs, &claim(7)) && !is_known_here(&jobs, &claim(8)));
    }

    #[test]
    fn leaders_are_remembered_within_a_bound() {
        let leaders = Leaders::default();
        (0..=LEADERS_MAX as u64).for_each(|job| leaders.note(JobId(job), peer(1)));
        assert!(leaders.lock().len() <= LEADERS_MAX);
        assert_eq!(leaders.get(JobId(LEADERS_MAX as u64)), Some(peer(1)));
        leaders.forget(JobId(LEADERS_MAX as u64));
        assert_eq!(leaders.get(JobId(LEADERS_MAX as u64)), None);
    }
}
