//! A node's jobs on disk that its end cut off.

use std::future::poll_fn;

use weft_core::custody::CustodyMessage;
use weft_core::input::Submission;
use weft_core::message::{Class, Message};
use weft_core::{BlobId, JobId, Level, Payload, PeerId, Program};

use super::*;
use crate::jobs::{CLIENT_WAIT_MAX, JobMeta, JobState, NotAccepted, Portion, now_ms};
use crate::keeping::{Order, Question};
use crate::node::kept::about_kept_by_others;
use crate::ports::News;
use crate::settings::JOURNAL_DIR;

pub(super) const JOB: JobId = JobId(5);

/// Runs a test of one node with a slot, in a directory of its own.
pub(super) fn with_settings(test: impl AsyncFnOnce(Settings)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let dir = tempfile::tempdir().unwrap();
        let config = EmbeddedConfig { nodes: 1, slots: 1, dir: dir.path().to_owned() };
        let settings = embedded::settings(&config, 0, [7; 32], Vec::new()).unwrap();
        tokio::time::timeout(DEADLINE, test(settings)).await.expect("it ends");
    });
}

pub(super) struct Life {
    pub(super) handle: NodeHandle,
    running: tokio::task::JoinHandle<Result<Ending, Broken>>,
}

impl Life {
    pub(super) async fn begin(settings: &Settings) -> Self {
        let node = Node::start(settings.clone()).await.unwrap();
        Self::of(node)
    }

    fn of(node: Node) -> Self {
        let handle = node.handle();
        Self { handle, running: tokio::task::spawn_local(node.run_until(std::future::pending())) }
    }

    pub(super) async fn end(self) -> Ending {
        self.handle.stop();
        self.running.await.unwrap().unwrap()
    }

    /// As a kill would, but for the journal, which gives its lock back.
    async fn drop_at_once(self) {
        self.running.abort();
        assert!(self.running.await.unwrap_err().is_cancelled());
    }
}

pub(super) fn meta(module: BlobId, level: Level) -> JobMeta {
    JobMeta {
        module,
        class: Class::Batch,
        detached: true,
        level,
        owner: PeerId([1; 32]),
        shared: false,
        title: Arc::default(),
        submitted_ms: now_ms(),
        streamed: false,
        signed: None,
        after: Arc::default(),
        takes_results: false,
    }
}

/// Hands in a job of one task, which ends as invalid once it was begun: its module is none.
async fn submit(handle: &NodeHandle, level: Level, closed: bool) {
    submit_with(handle, level, closed, Payload::empty()).await.unwrap();
}

/// The same with this input.
async fn submit_with(
    handle: &NodeHandle,
    level: Level,
    closed: bool,
    input: Payload,
) -> Result<(), NotAccepted> {
    let module = handle.store().put(b"no module").unwrap();
    let program = Program::command(module, 9);
    let inputs = vec![input];
    handle.jobs().create(JOB, meta(module, level)).unwrap();
    handle.jobs().submitted(JOB, &inputs);
    if closed {
        handle.jobs().close(JOB);
    }
    let submission = Submission { level, closed, ..Submission::new(JOB, Arc::new(program), inputs) };
    handle.command(Command::Submit(submission)).await.unwrap();
    handle.accepted(JOB).await
}

pub(super) async fn ended(handle: &NodeHandle, job: JobId) {
    poll_fn(|cx| handle.jobs().poll_ended(cx, job)).await.unwrap();
}

#[test]
fn a_job_whose_inputs_had_not_all_come_is_cancelled_in_the_next_life_and_can_be_tried_again() {
    with_settings(async |settings| {
        let life = Life::begin(&settings).await;
        submit(&life.handle, Level::Disk, false).await;
        life.drop_at_once().await;
        let life = Life::begin(&settings).await;
        let handle = &life.handle;
        ended(handle, JOB).await;
        let summary = handle.jobs().summary(JOB).unwrap();
        assert_eq!((summary.state(), summary.done), (JobState::Cancelled, 0));
        handle.retry(JOB).await.unwrap();
        ended(handle, JOB).await;
        assert_eq!(handle.jobs().summary(JOB).unwrap().state(), JobState::Failed, "its task was begun");
        life.end().await;
    });
}

#[test]
fn a_job_that_was_forgotten_is_known_as_such_in_the_next_life() {
    with_settings(async |settings| {
        let life = Life::begin(&settings).await;
        submit(&life.handle, Level::Disk, true).await;
        ended(&life.handle, JOB).await;
        let before = now_ms();
        life.handle.forget(JOB).await.unwrap();
        life.end().await;
        let life = Life::begin(&settings).await;
        assert_eq!(life.handle.jobs().summary(JOB), None);
        let (job, at_ms) = life.handle.jobs().forgotten(&JOB.to_string()).unwrap();
        assert_eq!(job, JOB);
        assert!(at_ms.is_some_and(|at_ms| (before..=now_ms()).contains(&at_ms)), "{at_ms:?}");
        life.end().await;
    });
}

#[test]
fn records_that_are_found_changed_while_the_node_runs_are_told_when_it_ends() {
    with_settings(async |settings| {
        let life = Life::begin(&settings).await;
        submit(&life.handle, Level::Disk, true).await;
        ended(&life.handle, JOB).await;
        let me = life.handle.info().peer;
        assert_eq!(life.end().await, Ending::default());
        // A bit of the outcome, which names its worker and is looked at when it is read.
        let db = settings.data_dir.join(JOURNAL_DIR).join("journal.db");
        let mut bytes = std::fs::read(&db).unwrap();
        let at = bytes.windows(me.0.len()).rposition(|window| window == me.0).unwrap();
        bytes[at] ^= 1;
        std::fs::write(&db, bytes).unwrap();
        assert_eq!(Life::begin(&settings).await.end().await, Ending::default(), "it was not looked at");

        let life = Life::begin(&settings).await;
        life.handle.results_now(JOB, 0, Portion { results_max: 9, bytes: 9 }).await.unwrap_err();
        let ending = life.end().await;
        let said = ending.journal_damage.clone().unwrap_or_default();
        assert!(said.contains("can't give the records of job"), "{said}");
        assert_eq!(ending, Ending { journal_damage: Some(said), ..Ending::default() });
    });
}

/// As the API does for a client that is back.
#[test]
fn a_job_whose_inputs_had_not_all_come_waits_for_its_client_and_takes_the_rest() {
    with_settings(async |settings| {
        let settings = Settings { client_wait: CLIENT_WAIT_MAX, ..settings };
        let life = Life::begin(&settings).await;
        submit(&life.handle, Level::Disk, false).await;
        life.drop_at_once().await;
        let life = Life::begin(&settings).await;
        let handle = &life.handle;
        // What is asked is answered after the jobs of the life before came back.
        handle.snapshot().await.unwrap();
        let jobs = handle.jobs();
        let before = jobs.summary(JOB).unwrap();
        assert_eq!((before.state(), before.tasks), (JobState::Open, 1));
        let feed = jobs.feed_on(JOB, 1).unwrap();
        let inputs = vec![Payload::empty()];
        jobs.submitted(JOB, &inputs);
        handle.command(Command::Extend { job: JOB, inputs }).await.unwrap();
        jobs.close(JOB);
        handle.command(Command::Close { job: JOB }).await.unwrap();
        handle.accepted(JOB).await.unwrap();
        ended(handle, JOB).await;
        let after = jobs.summary(JOB).unwrap();
        assert_eq!((after.state(), after.tasks), (JobState::Failed, 2), "its tasks were begun");
        assert!(jobs.is_fed_by(JOB, feed));
        life.end().await;
    });
}

const NOT_HERE: BlobId = BlobId([9; 32]);

#[test]
fn a_kept_job_whose_bytes_are_not_all_here_is_refused_and_leaves_nothing() {
    with_settings(async |settings| {
        let life = Life::begin(&settings).await;
        let handle = &life.handle;
        let refused = submit_with(handle, Level::Disk, true, Payload::Blob { id: NOT_HERE, bytes: 5 }).await;
        let Err(NotAccepted::Refused(why)) = refused else { panic!("{refused:?}") };
        assert!(why.contains(&NOT_HERE.to_string()) && why.contains("upload it"), "{why}");
        assert_eq!(handle.snapshot().await.unwrap().jobs.len(), 0, "the engine has not heard of it");
        handle.jobs().forget(JOB).unwrap();
        let here = handle.store().put(b"input").unwrap();
        let pinned = handle.store().usage().pinned;
        submit_with(handle, Level::Disk, true, Payload::Blob { id: here, bytes: 5 }).await.unwrap();
        ended(handle, JOB).await;
        assert!(
            handle.store().usage().pinned > pinned,
            "what a job rests on is pinned as long as it is kept"
        );
        handle.forget(JOB).await.unwrap();
        assert_eq!(handle.store().usage().pinned, pinned);
        life.end().await;
    });
}

#[test]
fn tasks_whose_bytes_are_not_here_are_not_taken_and_none_that_come_later_are() {
    with_settings(async |settings| {
        let life = Life::begin(&settings).await;
        let handle = &life.handle;
        submit(handle, Level::Disk, false).await;
        for input in [Payload::Blob { id: NOT_HERE, bytes: 5 }, Payload::empty()] {
            let inputs = vec![input];
            handle.jobs().submitted(JOB, &inputs);
            handle.command(Command::Extend { job: JOB, inputs }).await.unwrap();
        }
        ended(handle, JOB).await;
        let summary = handle.jobs().summary(JOB).unwrap();
        assert_eq!((summary.tasks, summary.failed), (1, 1), "the first task ended as it would have");
        let why = summary.refused_more.unwrap();
        assert!(why.starts_with("2 tasks were not taken"), "{why}");
        life.end().await;
    });
}

#[test]
fn what_is_said_of_logs_of_this_nodes_own_jobs_does_not_reach_its_engine() {
    let jobs = JobTable::new();
    jobs.create(JOB, meta(BlobId([0; 32]), Level::Disk)).unwrap();
    jobs.create(JobId(6), meta(BlobId([0; 32]), Level::Mesh)).unwrap();
    let word = |job| CustodyMessage::Forgotten { job: JobId(job) };
    let heard = about_kept_by_others(&jobs, Message::Custody([5, 6, 7].map(word).to_vec()));
    assert_eq!(heard, Message::Custody([6, 7].map(word).to_vec()));
    let other = Message::Ack(Vec::new());
    assert_eq!(about_kept_by_others(&jobs, other.clone()), other);
}

#[test]
fn what_a_log_says_is_not_held_for_a_job_that_is_not_led_here() {
    with_settings(async |settings| {
        let life = Life::begin(&settings).await;
        submit(&life.handle, Level::Disk, true).await;
        ended(&life.handle, JOB).await;
        life.end().await;
        let mut node = Node::start(settings).await.unwrap();
        node.ports.keeper().unwrap().add(Order::Ask(Question::Whole { job: JOB }));
        loop {
            let news = node.ports.news();
            let is_read =
                |news: &News| matches!(news, News::Input(Input::Recalled { restored: Some(_), .. }));
            let is_over = news.iter().any(is_read);
            news.into_iter().for_each(|news| node.hear(news));
            if is_over {
                break;
            }
            node.kept.news.notified().await;
        }
        assert_eq!(node.ports.count_recalled(), 0);
    });
}
