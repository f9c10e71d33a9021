//! The API over real loopback HTTP, spoken by the real client, before a node that echoes every input as its output.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use weft_client::{
    Error, Existing, Input, JobFilter, Level, Mesh, Module, Outcome, Output, Parcel, Phase, Reading, Task,
    Told, api as wire, frames,
};
use weft_core::snapshot::{Answer, Counters, Said, Snapshot, TaskView, Why};
use weft_core::{Command, Event, JobId, PeerId, Report};
use weft_exec::PoolStatus;
use weft_node::api;
use weft_node::handle::{NodeHandle, NodeInfo, Request, Standing};
use weft_node::jobs::JobTable;

const DEADLINE: Duration = Duration::from_secs(30);
const ME: PeerId = PeerId([7; 32]);

/// What the echoing node has seen so far.
#[derive(Clone, Debug, Default)]
struct Seen {
    tasks: u32,
    submitted: Vec<JobId>,
    cancelled: Vec<JobId>,
    programs: Vec<weft_core::Program>,
}

/// An API, a node that echoes, and a client. `hold` keeps tasks from ending until cancelled.
struct Bench {
    mesh: Mesh,
    dir: tempfile::TempDir,
    handle: NodeHandle,
    seen: watch::Receiver<Seen>,
    address: String,
    token: String,
    _tasks: JoinSet<()>,
}

impl Bench {
    async fn start() -> Self {
        Self::new(false).await
    }

    async fn holding() -> Self {
        Self::new(true).await
    }

    async fn new(hold: bool) -> Self {
        // Both ends of each connection are files of this process.
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let store = weft_blobs::Store::open(dir.path(), weft_blobs::Quota { bytes: 1 << 30 }).unwrap();
        let jobs = Arc::new(JobTable::new());
        let info = NodeInfo {
            peer: ME,
            name: String::from("echo"),
            version: "0",
            data_dir: PathBuf::from(dir.path()),
            memo: weft_core::Recall::Own,
            mesh: String::from("none"),
            listen: Mutex::default(),
            store_fault: weft_node::handle::StoreFault::default(),
            troubles: Mutex::default(),
            started: Instant::now(),
            grace: Duration::from_secs(10),
        };
        let (requests, inbox) = mpsc::channel(64);
        let handle = NodeHandle::new(requests, store, Arc::clone(&jobs), Arc::new(info));
        let listener = api::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let published = api::publish(dir.path(), &listener).unwrap();
        let token = published.token().to_owned();
        let (tell, seen) = watch::channel(Seen::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(echo(inbox, jobs, tell, hold));
        let served = api::serve(listener, handle.clone(), token.clone(), None);
        tasks.spawn(async move {
            served.await;
            drop(published);
        });
        let mesh = Mesh::connect_in(dir.path()).await.unwrap();
        Self { mesh, dir, handle, seen, address, token, _tasks: tasks }
    }

    /// Sends bytes as they are; the whole answer.
    async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        timeout(DEADLINE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        String::from_utf8(answer).unwrap()
    }

    async fn raw_get(&self, path: &str) -> String {
        let Self { address, token, .. } = self;
        let head = format!("host: {address}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n");
        self.raw(&format!("GET {path} HTTP/1.1\r\n{head}")).await
    }

    async fn raw_post(&self, path: &str, kind: &str, body: &str) -> String {
        let Self { address, token, .. } = self;
        let length = body.len();
        self.raw(&format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
             content-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
        .await
    }

    /// Tasks taken when the API has nothing left to read: what it still reads, it has read before it answers another
    /// question.
    async fn settled(&self) -> u32 {
        for _ in 0..20 {
            self.mesh.status().await.unwrap();
        }
        self.wait_for(|_| true).await.tasks
    }

    async fn wait_for(&self, what: impl FnMut(&Seen) -> bool) -> Seen {
        let mut seen = self.seen.clone();
        timeout(DEADLINE, seen.wait_for(what)).await.unwrap().unwrap().clone()
    }
}

#[derive(Default)]
struct EchoJob {
    tasks: u32,
    ended: u32,
    closed: bool,
    /// What lies under `/in` is left in `/out`.
    files: weft_core::Payload,
    stream: bool,
}

/// Ends every task at once with its input as output and its files as files; a holding one ends them as cancelled, when
/// told to.
async fn echo(
    mut inbox: mpsc::Receiver<Request>,
    jobs: Arc<JobTable>,
    tell: watch::Sender<Seen>,
    hold: bool,
) {
    let mut own: BTreeMap<JobId, EchoJob> = BTreeMap::new();
    while let Some(request) = inbox.recv().await {
        let (job, inputs, close) = match request {
            Request::Command(Command::Submit(submission)) => {
                tell.send_modify(|seen| {
                    seen.programs.push((*submission.program).clone());
                    seen.submitted.push(submission.job);
                });
                let (files, stream) = (submission.program.files.clone(), submission.terms.stream);
                own.insert(submission.job, EchoJob { files, stream, ..EchoJob::default() });
                (submission.job, submission.inputs, submission.closed)
            }
            Request::Command(Command::Extend { job, inputs }) => (job, inputs, false),
            Request::Command(Command::Close { job }) => (job, Vec::new(), true),
            Request::Command(Command::Cancel { job }) => {
                tell.send_modify(|seen| seen.cancelled.push(job));
                let echo = own.get_mut(&job).unwrap();
                for index in echo.ended..echo.tasks {
                    let report = Report::bare(weft_core::Outcome::Cancelled);
                    jobs.record(ended(job, index, report, None));
                }
                echo.ended = echo.tasks;
                jobs.record(Event::JobEnded { job });
                continue;
            }
            Request::Command(
                Command::Drain(_)
                | Command::GiveBack
                | Command::Forget(_)
                | Command::Stop
                | Command::Retry(_)
                | Command::ForgetJob { .. },
            ) => continue,
            Request::Standing(reply) => {
                drop(reply.send(Standing { snapshot: snapshot(), pool: PoolStatus::default() }));
                continue;
            }
            Request::Why { job, index, reply } => {
                drop(reply.send(own.get(&job).filter(|echo| index < echo.tasks).map(|_| why())));
                continue;
            }
        };
        let echo = own.get_mut(&job).unwrap();
        tell.send_modify(|seen| seen.tasks += u32::try_from(inputs.len()).unwrap());
        for input in inputs {
            let files = echo.files.clone();
            let report = Report { output: input, files, ..Report::bare(weft_core::Outcome::Done) };
            if !hold {
                if echo.stream {
                    jobs.record(printed(job, echo.tasks));
                }
                jobs.record(ended(job, echo.tasks, report, Some(ME)));
                echo.ended += 1;
            }
            echo.tasks += 1;
        }
        echo.closed |= close;
        if echo.closed && echo.ended == echo.tasks {
            jobs.record(Event::JobEnded { job });
        }
    }
}

fn ended(job: JobId, index: u32, report: Report, worker: Option<PeerId>) -> Event {
    let attempts = u32::from(worker.is_some());
    Event::TaskEnded { job, index, report, worker, attempts, memo: None, proof: None, verified: None }
}

fn printed(job: JobId, index: u32) -> Event {
    let (stream, bytes) = (weft_core::Stream::Errors, Arc::from(*b"working"));
    Event::Printed { job, index, attempt: 1, stream, offset: 0, bytes }
}

fn snapshot() -> Snapshot {
    Snapshot {
        me: ME,
        capacity: weft_core::message::Capacity::default(),
        running: 0,
        paused: 0,
        waiting: 0,
        reserved: 0,
        undelivered: 0,
        starved: 0,
        known: 0,
        self_fencing: None,
        peers: Vec::new(),
        jobs: Vec::new(),
        counters: Counters::default(),
    }
}

fn why() -> Why {
    let answers = vec![Answer { peer: ME, said: Said::Bid(2), ago_ms: 5 }];
    let deadline = Some(weft_core::snapshot::Deadline::Left { ms: 4000 });
    Why { state: TaskView::Queued { before: 3 }, deadline, answers, notes: Vec::new() }
}

fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

fn task() -> Task {
    // This node has no journal.
    Task::command(Module::from(b"\0asm, as far as this node can tell")).level(Level::Memory)
}

#[tokio::test]
async fn a_task_runs() {
    let bench = Bench::start().await;
    let task = task().arg("-v").env("A", "b").timeout(Duration::from_secs(2)).memory_bytes(1 << 20);
    for text in ["hello", ""] {
        let result = bench.mesh.run(&task, text).await.unwrap().into_done().unwrap();
        assert_eq!(result.output_bytes(&bench.mesh).await.unwrap(), text.as_bytes());
        assert_eq!((result.index, result.attempts, result.exit_code()), (0, 1, Some(0)));
        assert_eq!(result.worker.as_deref(), Some("07".repeat(32).as_str()));
    }
    let program = bench.wait_for(|seen| seen.programs.len() == 2).await.programs[1].clone();
    assert_eq!(program.module_bytes, 34);
    assert_eq!((program.args, program.env), (vec!["-v".into()], vec![("A".into(), "b".into())]));
    assert_eq!((program.limits.wall_ms, program.limits.memory_bytes), (2000, 1 << 20));
}

#[tokio::test]
async fn ten_thousand_tasks_come_back() {
    let bench = Bench::start().await;
    let mut results = bench.mesh.map_iter(&task(), (0..10_000).map(|n| format!("input {n}"))).await.unwrap();
    let mut seen = vec![false; 10_000];
    while let Some(result) = results.next().await {
        let result = result.unwrap();
        let expected = format!("input {}", result.index);
        assert_eq!(result.output, Output::Inline(expected.into()));
        assert!(!std::mem::replace(&mut seen[result.index as usize], true), "{} came twice", result.index);
    }
    assert!(seen.iter().all(|seen| *seen));
    assert_eq!(results.summary().unwrap().done, 10_000);
}

#[tokio::test]
async fn results_flow_while_inputs_still_come() {
    let bench = Bench::start().await;
    let (inputs, source) = mpsc::channel::<Input>(1);
    let source =
        stream::unfold(source, |mut source| async { source.recv().await.map(|input| (input, source)) });
    let mut results = timeout(DEADLINE, bench.mesh.map(&task(), source)).await.unwrap().unwrap();
    for index in 0..3 {
        inputs.send(Input::from("x")).await.unwrap();
        let result = timeout(DEADLINE, results.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(result.index, index);
    }
    drop(inputs);
    assert!(timeout(DEADLINE, results.next()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_client_sends_only_so_far_ahead_of_results() {
    const AHEAD: u32 = 8192;
    let bench = Bench::holding().await;
    let endless = stream::repeat_with(|| Input::from("input"));
    let results = bench.mesh.map(&task(), endless).await.unwrap();
    bench.wait_for(|seen| seen.tasks > AHEAD / 2).await;
    let tasks = bench.settled().await;
    assert!(tasks <= AHEAD, "{tasks} tasks were sent");
    drop(results);
    bench.wait_for(|seen| seen.cancelled.len() == 1).await;
}

#[tokio::test]
async fn a_node_reads_only_so_far_ahead_of_ends() {
    const ROOM: u32 = 16_384;
    let bench = Bench::holding().await;
    // A detached job waits for no results of its own; this one's inputs never end, so neither does its submission.
    let task = task();
    let endless = bench.mesh.submit(&task, std::iter::repeat("input"));
    let tasks = tokio::select! {
        _never = endless => panic!("inputs without end were all taken"),
        tasks = async {
            bench.wait_for(|seen| seen.tasks >= ROOM).await;
            bench.settled().await
        } => tasks,
    };
    // One read may bring more than fits: what a connection buffers, at six bytes an input and more.
    assert!(tasks < 4 * ROOM, "{tasks} tasks were taken");
}

#[tokio::test]
async fn a_detached_job_keeps_its_results() {
    let bench = Bench::start().await;
    let job = bench.mesh.submit(&task(), (0..1000).map(|n| n.to_string())).await.unwrap();
    let view = timeout(DEADLINE, job.wait()).await.unwrap().unwrap();
    assert_eq!((view.state, view.tasks, view.done, view.detached), (wire::JobState::Ended, 1000, 1000, true));
    for _ in 0..2 {
        let results: Vec<_> = job.results().await.unwrap().collect().await;
        assert_eq!(results.len(), 1000);
        assert!(results.iter().all(|result| result.as_ref().unwrap().is_done()));
    }
    let again = bench.mesh.attach(job.id().get(..12).unwrap()).await.unwrap();
    assert_eq!(again.id(), job.id());
    assert_eq!(bench.mesh.jobs().await.unwrap().len(), 1);
    assert!(bench.seen.borrow().cancelled.is_empty());
}

#[tokio::test]
async fn results_are_read_from_any_place_and_as_far_as_they_are() {
    let bench = Bench::start().await;
    let job = bench.mesh.submit(&task(), (0..3000).map(|n| n.to_string())).await.unwrap();
    timeout(DEADLINE, job.wait()).await.unwrap().unwrap();
    let mut results = job.read(Reading { from: 2990, follow: true }).await.unwrap();
    assert_eq!(results.next().await.unwrap().unwrap().index, 2990);
    assert_eq!(results.by_ref().count().await, 9);
    assert_eq!(results.summary().unwrap().done, 3000);
    let answer = bench.raw_get(&format!("/v1/jobs/{}/results?from=10&limit=2", job.id())).await;
    let lines: Vec<&str> = answer.lines().filter(|line| line.contains("\"index\"")).collect();
    assert!(
        matches!(lines.as_slice(), [first, last] if first.contains(":10,") && last.contains(":11,")),
        "{answer}"
    );
    let answer = bench.raw_get(&format!("/v1/jobs/{}/results?from=x", job.id())).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");

    let bench = Bench::holding().await;
    let job = bench.mesh.submit(&task(), ["a", "b"]).await.unwrap();
    let mut results = job.read(Reading { from: 0, follow: false }).await.unwrap();
    assert!(timeout(DEADLINE, results.next()).await.unwrap().is_none());
    let told = results.summary().unwrap();
    assert_eq!((told.tasks, told.done), (2, 0));
}

#[tokio::test]
async fn a_job_that_cant_be_kept_is_refused_and_leaves_nothing() {
    let bench = Bench::holding().await;
    let refusing = async {
        let seen = bench.wait_for(|seen| !seen.submitted.is_empty()).await;
        let reason = weft_core::Refusal::DiskLow;
        bench.handle.jobs().record(Event::Refused { job: seen.submitted[0], reason });
    };
    let task = task().level(Level::Disk).name("kept");
    let (refused, ()) = tokio::join!(bench.mesh.submit(&task, ["a"]), refusing);
    let refused = refused.unwrap_err();
    assert!(refused.to_string().contains("too little room"), "{refused}");
    assert!(matches!(bench.mesh.job("kept").await, Err(Error::NotFound { .. })));
}

/// Inputs that come when they are sent.
fn sent_inputs() -> (mpsc::Sender<Input>, impl futures::Stream<Item = Input> + Send) {
    let (send, inputs) = mpsc::channel(4);
    (send, stream::unfold(inputs, async |mut inputs| Some((inputs.recv().await?, inputs))))
}

#[tokio::test]
async fn a_map_whose_inputs_are_refused_takes_no_more_and_ends_with_that_error() {
    let bench = Bench::start().await;
    let (send, inputs) = sent_inputs();
    send.try_send(Input::from("a")).unwrap();
    let mut results = bench.mesh.map(&task(), inputs).await.unwrap();
    assert_eq!(timeout(DEADLINE, results.next()).await.unwrap().unwrap().unwrap().index, 0);
    let job = bench.seen.borrow().submitted[0];
    let reason = weft_core::Refusal::DiskLow;
    bench.handle.jobs().record(Event::ExtensionRefused { job, tasks: 0, reason });
    // The disk has room again: this input would be given the place of one that was refused.
    let _refused_too = send.try_send(Input::from("c"));
    let ended = timeout(DEADLINE, results.next()).await.unwrap().unwrap().unwrap_err();
    let text = ended.to_string();
    assert!(text.contains("were not taken"), "{text}");
    assert_eq!((bench.settled().await, results.next().await.is_none()), (1, true));
    assert!(bench.handle.jobs().summary(job).unwrap().ended, "its engine is told that no more come");
}

#[tokio::test]
async fn a_submission_of_which_inputs_are_refused_is_refused() {
    let bench = Bench::start().await;
    for is_over in [true, false] {
        let (send, inputs) = sent_inputs();
        send.try_send(Input::from("a")).unwrap();
        let refusing = async {
            let jobs = bench.seen.borrow().submitted.len();
            let seen = bench.wait_for(|seen| seen.submitted.len() > jobs).await;
            let job = seen.submitted[jobs];
            poll_tasks(&bench, job, 1).await;
            let reason = weft_core::Refusal::DiskLow;
            bench.handle.jobs().record(if is_over {
                Event::JobEnded { job }
            } else {
                Event::ExtensionRefused { job, tasks: 0, reason }
            });
            send.try_send(Input::from("b")).unwrap();
        };
        let task = task();
        let (refused, ()) =
            tokio::join!(timeout(DEADLINE, bench.mesh.submit_stream(&task, inputs)), refusing);
        let text = refused.unwrap().unwrap_err().to_string();
        let reason = if is_over { "ended before all of its inputs came" } else { "were not taken" };
        assert!(text.contains(reason), "{text}");
    }
}

/// Waits until that many tasks of a job have ended.
async fn poll_tasks(bench: &Bench, job: JobId, least: u32) {
    let jobs = bench.handle.jobs();
    let ended = async {
        while jobs.summary(job).is_none_or(|summary| summary.done < least) {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, ended).await.unwrap();
}

#[tokio::test]
async fn jobs_are_found_and_forgotten() {
    let bench = Bench::start().await;
    for (name, team) in [("first", "fonts"), ("second", "fonts"), ("third", "maps")] {
        let job = bench.mesh.submit(&task().name(name).label("team", team), ["x"]).await.unwrap();
        let ended = timeout(DEADLINE, job.wait()).await.unwrap().unwrap();
        // Jobs of one millisecond are in the order of their ids.
        while now_ms() <= ended.submitted_ms {
            tokio::task::yield_now().await;
        }
    }
    let names = |jobs: Vec<wire::Job>| jobs.into_iter().map(|job| job.name).collect::<Vec<_>>();
    let labels = vec![("team".into(), "fonts".into())];
    let fonts = JobFilter { labels, phases: vec![Phase::Done], ..JobFilter::default() };
    assert_eq!(names(bench.mesh.list(&fonts).await.unwrap()), ["first", "second"]);
    let last = bench.mesh.list(&JobFilter { limit: Some(1), ..fonts.clone() }).await.unwrap();
    let before = last.first().map(wire::Position::of);
    assert_eq!(names(last), ["second"]);
    let page = bench.mesh.list(&JobFilter { before, limit: Some(1), ..fonts }).await.unwrap();
    assert_eq!(names(page), ["first"]);
    assert_eq!(names(bench.mesh.jobs().await.unwrap()), ["first", "second", "third"]);
    let refused =
        bench.mesh.list(&JobFilter { limit: Some(1001), ..JobFilter::default() }).await.unwrap_err();
    assert!(refused.to_string().contains("1 to 1000"), "{refused}");

    bench.mesh.forget("second").await.unwrap();
    assert!(matches!(bench.mesh.job("second").await, Err(Error::NotFound { .. })));
    let odd = "100% größe & more?";
    let job = bench.mesh.submit(&task().name(odd), ["x"]).await.unwrap();
    assert_eq!(bench.mesh.attach(odd).await.unwrap().id(), job.id());
    let refused = bench.mesh.submit(&task().name("cafe"), ["x"]).await.unwrap_err();
    assert!(refused.to_string().contains("looks like an id"), "{refused}");
    let holding = Bench::holding().await;
    let job = holding.mesh.submit(&task(), ["x"]).await.unwrap();
    for refused in [job.retry().await, job.forget().await] {
        assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn a_cancelled_job_ends() {
    let bench = Bench::holding().await;
    let mut results = bench.mesh.map_iter(&task(), ["a", "b"]).await.unwrap();
    bench.wait_for(|seen| seen.tasks == 2).await;
    results.cancel().await.unwrap();
    for _ in 0..2 {
        let result = timeout(DEADLINE, results.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(result.outcome, Outcome::Cancelled);
    }
    assert!(timeout(DEADLINE, results.next()).await.unwrap().is_none());
    assert!(bench.mesh.job(results.job()).await.unwrap().cancelled_by_user);
}

#[tokio::test]
async fn a_job_whose_submitter_is_gone_is_cancelled() {
    let bench = Bench::holding().await;
    let results = bench.mesh.map_iter(&task(), ["a", "b"]).await.unwrap();
    let job = results.job().to_owned();
    bench.wait_for(|seen| seen.tasks == 2).await;
    drop(results);
    let seen = bench.wait_for(|seen| !seen.cancelled.is_empty()).await;
    assert_eq!(seen.cancelled[0].to_string(), job);
}

#[tokio::test]
async fn an_input_that_cannot_be_read_ends_a_job_whose_results_nobody_takes() {
    let bench = Bench::holding().await;
    let inputs = [Input::from("fine"), Input::file("/no/such/file")];
    let failed = timeout(DEADLINE, bench.mesh.submit(&task(), inputs)).await.unwrap().unwrap_err();
    assert!(matches!(failed, Error::File { .. }), "{failed}");
    bench.wait_for(|seen| seen.programs.len() == seen.cancelled.len()).await;
}

#[tokio::test]
async fn unknown_names_are_not_found() {
    let bench = Bench::start().await;
    for name in ["0123456789abcdef", "0123", "../status", ""] {
        assert!(matches!(bench.mesh.job(name).await, Err(Error::NotFound { .. })), "{name}");
    }
    assert!(matches!(bench.mesh.cancel("0123").await, Err(Error::NotFound { .. })));
    let blob = "ab".repeat(32);
    assert!(matches!(bench.mesh.get_blob(&blob).await, Err(Error::NotFound { .. })));
    let missing = Task::command(Module::blob(blob));
    assert!(matches!(bench.mesh.run(&missing, "").await, Err(Error::NotFound { what: "module", .. })));
    let Bench { address, token, .. } = &bench;
    let head = format!("host: {address}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n");
    let answer = bench.raw(&format!("GET /v1/jobs/zz HTTP/1.1\r\n{head}")).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(answer.contains("{\"error\":\"no job zz\""), "{answer}");
}

#[tokio::test]
async fn strangers_are_refused() {
    let bench = Bench::start().await;
    let Bench { address, token, .. } = &bench;
    let cases = [
        ("401", format!("host: {address}\r\nauthorization: Bearer {}\r\n", "0".repeat(64))),
        ("401", format!("host: {address}\r\n")),
        ("403", format!("host: evil.example\r\nauthorization: Bearer {token}\r\n")),
        (
            "403",
            format!("host: {address}\r\norigin: http://evil.example\r\nauthorization: Bearer {token}\r\n"),
        ),
        ("200", format!("host: {address}\r\norigin: http://{address}\r\nauthorization: Bearer {token}\r\n")),
    ];
    for (status, headers) in cases {
        let answer =
            bench.raw(&format!("GET /v1/status HTTP/1.1\r\nconnection: close\r\n{headers}\r\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{headers} {answer}");
    }
    let path = bench.dir.path().join("other");
    std::fs::create_dir(&path).unwrap();
    let endpoint = wire::Endpoint { address: address.clone(), token: "0".repeat(64), pid: 1 };
    std::fs::write(path.join("api.json"), serde_json::to_vec(&endpoint).unwrap()).unwrap();
    let stranger = Mesh::connect_in(&path).await.unwrap();
    assert!(matches!(stranger.status().await, Err(Error::Unauthorized { .. })));
    let nowhere = Mesh::connect_in(&path.join("none")).await.unwrap_err();
    assert!(nowhere.to_string().contains("start one with `weft node --data-dir"), "{nowhere}");
}

#[tokio::test]
async fn garbage_frames_are_refused() {
    let bench = Bench::start().await;
    for body in ["\u{1}\0\0\0\u{7f}", "garbage!", "\0\0\0", ""] {
        let answer = bench.raw_post("/v1/jobs", frames::CONTENT_TYPE, body).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{body:?} {answer}");
    }
    let answer = bench.raw_post("/v1/jobs", "text/plain", "x").await;
    assert!(answer.starts_with("HTTP/1.1 415"), "{answer}");
    assert!(bench.seen.borrow().programs.is_empty(), "nothing of it reached the node");
}

#[tokio::test]
async fn blobs_go_and_come() {
    let bench = Bench::start().await;
    let bytes: Vec<u8> = (0..20 << 20).map(|n: u32| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let file = bench.dir.path().join("big");
    std::fs::write(&file, &bytes).unwrap();
    let blob = bench.mesh.put_blob_file(&file).await.unwrap();
    assert_eq!((blob.bytes, blob.id.as_str()), (20 << 20, blake3::hash(&bytes).to_hex().as_str()));
    assert!(bench.mesh.has_blob(&blob.id).await.unwrap());
    assert!(bench.mesh.get_blob(&blob.id).await.unwrap() == bytes);
    assert_eq!(bench.mesh.put_blob(bytes.clone()).await.unwrap(), blob);
    // A long input travels as a blob, and its echo comes back as one.
    let long = bytes[..100_000].to_vec();
    let result = bench.mesh.run(&task(), long.clone()).await.unwrap();
    assert!(matches!(result.output, Output::Blob { bytes: 100_000, .. }));
    assert!(result.output_bytes(&bench.mesh).await.unwrap() == long);
    let missing = bench.mesh.put_blob_file(&bench.dir.path().join("none")).await;
    assert!(matches!(missing, Err(Error::File { .. })));
}

#[tokio::test]
async fn json_in_and_lines_out() {
    let bench = Bench::start().await;
    let body = r#"{"wasm_base64": "AGFzbQ==", "function": "f", "limits": {"wall_ms": 9}, "needs": {"gpu": "yes"},
        "class": "interactive", "inputs": ["text", {"base64": "/w=="}]}"#;
    let answer = bench.raw_post("/v1/jobs", "application/json", body).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let lines: Vec<wire::ResultLine> = answer
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2, "{answer}");
    assert_eq!((lines[0].outcome.as_str(), lines[0].exit_code), ("done", Some(0)));
    assert_eq!(lines[0].output, wire::Value::Text(String::from("text")));
    assert_eq!(lines[1].output, wire::Value::Base64 { base64: String::from("/w==") });

    for wrong in ["{", r#"{"inputs": []}"#, r#"{"wasm_base64": "AA==", "inputs": [], "no": 1}"#] {
        let answer = bench.raw_post("/v1/jobs", "application/json", wrong).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{wrong} {answer}");
    }
}

#[tokio::test]
async fn the_node_says_how_things_stand() {
    let bench = Bench::holding().await;
    assert_eq!(bench.mesh.status().await.unwrap().name, "echo");
    assert_eq!(bench.mesh.peers().await.unwrap(), []);
    let results = bench.mesh.map_iter(&task(), ["a"]).await.unwrap();
    bench.wait_for(|seen| seen.tasks == 1).await;
    let why = bench.mesh.why(results.job().get(..10).unwrap(), None).await.unwrap();
    assert_eq!((why.index, why.task), (0, wire::TaskState::Queued { before: 3 }));
    assert_eq!((why.answers[0].name.as_str(), &why.answers[0].said), ("echo", &wire::Said::Bid { slots: 2 }));
    let beyond = bench.mesh.why(results.job(), Some(9)).await.unwrap_err().to_string();
    assert!(beyond.contains("no task 9 in job") && beyond.contains("it has 1, counted from 0"), "{beyond}");
    let Bench { address, token, .. } = &bench;
    let head = format!("host: {address}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n");
    let answer = bench.raw(&format!("GET /metrics HTTP/1.1\r\n{head}")).await;
    assert!(answer.contains("\nweft_calls_total 0\n"), "{answer}");
}

#[tokio::test]
async fn a_blob_that_another_program_removed_is_told_of_until_it_is_here_again() {
    let bench = Bench::start().await;
    let (store, needed) = (bench.handle.store(), vec![7; 3 << 20]);
    let blob = store.put(&needed).unwrap();
    store.pin(blob);
    std::fs::remove_dir_all(bench.dir.path().join("blobs")).unwrap();
    assert!(store.open_read(blob).unwrap().is_none());
    let vanished = async || bench.mesh.status().await.unwrap().store.vanished;
    assert_eq!(vanished().await, 1);
    // What succeeds afterwards does not hide it.
    bench.mesh.put_blob(b"another".as_slice()).await.unwrap();
    bench.handle.info().store_fault.set(None);
    assert_eq!(vanished().await, 1);
    store.put(&needed).unwrap();
    assert_eq!(vanished().await, 0);
}

#[tokio::test]
async fn files_go_in_and_come_back() {
    let bench = Bench::start().await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("d")).unwrap();
    // One archive that travels in the frame, and one that is uploaded.
    for length in [10, 100_000] {
        std::fs::write(dir.path().join("d/a"), vec![b'a'; length]).unwrap();
        let task = task().file(dir.path().join("d")).file_bytes("/in/b", "bee");
        for _ in 0..2 {
            let result = bench.mesh.run(&task, "").await.unwrap();
            let files = result.files(&bench.mesh).await.unwrap();
            let seen: Vec<(&str, usize)> =
                files.iter().map(|file| (file.path.as_str(), file.bytes.len())).collect();
            assert_eq!(seen, [("b", 3), ("d/a", length)]);
            let out = dir.path().join(format!("out-{length}"));
            assert_eq!(result.unpack(&bench.mesh, &out, Existing::Replace).await.unwrap(), 2);
            assert_eq!(std::fs::read(out.join("b")).unwrap(), b"bee");
        }
    }
    let none = bench.mesh.run(&task(), "").await.unwrap();
    assert!(none.files(&bench.mesh).await.unwrap().is_empty());
    let task = task().file(dir.path().join("missing"));
    assert!(matches!(bench.mesh.run(&task, "").await.unwrap_err(), Error::File { .. }));
}

#[tokio::test]
async fn an_archive_that_the_node_lacks_is_refused() {
    let bench = Bench::start().await;
    let task = task().files_archive(Input::Blob { id: "0".repeat(64), bytes: 512 });
    let error = bench.mesh.run(&task, "").await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    let short = bench.mesh.put_blob("short").await.unwrap();
    let task = self::task().files_archive(Input::Blob { id: short.id, bytes: 512 });
    let error = bench.mesh.run(&task, "").await.unwrap_err();
    assert!(error.to_string().contains("expected 5 bytes"), "{error}");
}

#[tokio::test]
async fn an_input_that_cant_be_had_costs_its_own_task_only() {
    let bench = Bench::start().await;
    let missing = || Input::Missing { reason: String::from("it is gone") };
    let inputs = [Input::from("a"), Input::file("/nonexistent/x"), missing(), Input::from("b"), missing()];
    let results = bench.mesh.map_iter(&task(), inputs).await.unwrap();
    let mut results: Vec<_> = results.map(Result::unwrap).collect().await;
    results.sort_by_key(|result| result.index);
    let words: Vec<String> = results.iter().map(|result| result.outcome.to_string()).collect();
    assert_eq!(words.len(), 5);
    assert!(results[0].is_done() && results[3].is_done(), "{words:?}");
    assert_eq!(results[3].output_bytes(&bench.mesh).await.unwrap(), "b");
    assert!(words[1].contains("cannot read /nonexistent/x") && words[2].contains("it is gone"), "{words:?}");
}

#[tokio::test]
async fn a_task_that_takes_parcels_gets_them_and_no_other_does() {
    let bench = Bench::start().await;
    let error = bench.mesh.run(&task(), Parcel::new("x")).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }) && error.to_string().contains("Task::parcels"), "{error}");
    let parcels = task().parcels();
    for input in [Input::from("x"), Parcel::new("x").into()] {
        let output = bench.mesh.run(&parcels, input).await.unwrap().output_bytes(&bench.mesh).await.unwrap();
        assert!(output.starts_with(b"x") && output.ends_with(b"weftprc1"), "{output:?}");
    }
    let seen = bench.wait_for(|seen| seen.programs.len() >= 2).await;
    assert!(seen.programs.iter().all(|program| program.entry == weft_core::Entry::Parcel));
}

#[tokio::test]
async fn what_a_task_prints_is_told_before_its_result_where_it_is_asked_for() {
    let bench = Bench::start().await;
    let mut told = bench.mesh.map_iter(&task().streamed(), ["x"]).await.unwrap();
    let Some(Ok(Told::Printed(printed))) = told.next_told().await else {
        panic!("expected what was printed")
    };
    assert_eq!((printed.offset, &printed.bytes[..]), (0, b"working".as_slice()));
    assert!(matches!(told.next_told().await, Some(Ok(Told::Ended(_)))));
    assert!(told.next_told().await.is_none());
    let mut plain = bench.mesh.map_iter(&task(), ["x"]).await.unwrap();
    assert!(matches!(plain.next_told().await, Some(Ok(Told::Ended(_)))));
}

#[tokio::test]
async fn a_json_job_has_files_profile_and_limits() {
    let bench = Bench::start().await;
    let blob = bench.mesh.put_blob("from the store").await.unwrap().id;
    let body = format!(
        r#"{{"wasm_base64": "AGFzbQ==", "profile": "portable", "memo": false, "limits": {{"files": 3, "files_bytes": 4}},
        "inputs": ["x"], "files": [{{"path": "a", "text": "one"}}, {{"path": "/in/d/b", "base64": "/w=="}},
        {{"path": "c", "blob": "{blob}"}}]}}"#
    );
    let answer = bench.raw_post("/v1/jobs", "application/json", &body).await;
    let line: wire::ResultLine =
        serde_json::from_str(answer.lines().find(|line| line.starts_with('{')).unwrap()).unwrap();
    assert!(!line.memo && line.receipt.is_none());
    let program = bench.wait_for(|seen| seen.programs.len() == 1).await.programs[0].clone();
    assert_eq!(program.profile, weft_core::Profile::Portable);
    assert_eq!((program.limits.files, program.limits.files_bytes), (3, 4));
    let weft_core::Payload::Inline(tar) = program.files else { panic!("it is short") };
    let files = weft_client::Files::parse(&tar.to_vec().into()).unwrap();
    let seen: Vec<(&str, &[u8])> = files.iter().map(|file| (file.path.as_str(), &file.bytes[..])).collect();
    assert_eq!(seen, [("a", b"one".as_slice()), ("c", b"from the store"), ("d/b", b"\xff")]);
    for wrong in
        [r#"{"path": "../a", "text": ""}"#, r#"{"path": "a"}"#, r#"{"path": "a", "text": "", "blob": ""}"#]
    {
        let body = format!(r#"{{"wasm_base64": "AGFzbQ==", "inputs": [], "files": [{wrong}]}}"#);
        let answer = bench.raw_post("/v1/jobs", "application/json", &body).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{wrong}: {answer}");
    }
}

#[tokio::test]
async fn connections_that_say_nothing_keep_nobody_out() {
    let bench = Bench::start().await;
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(TcpStream::connect(&bench.address).await.unwrap());
    }
    assert_eq!(timeout(DEADLINE, bench.mesh.status()).await.unwrap().unwrap().name, "echo");
    let fresh = Mesh::connect_in(bench.dir.path()).await.unwrap();
    assert_eq!(timeout(DEADLINE, fresh.jobs()).await.unwrap().unwrap(), []);
    // The oldest of them was closed for the later ones, and one that has the token was not.
    let closed = timeout(DEADLINE, silent[0].read(&mut [0; 1])).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    bench.mesh.status().await.unwrap();
}

#[tokio::test]
async fn clients_that_wait_leave_room_to_look_and_to_cancel() {
    let bench = Bench::holding().await;
    let mut waiting = Vec::new();
    for _ in 0..300 {
        let mesh = Mesh::connect_in(bench.dir.path()).await.unwrap();
        waiting.push(timeout(DEADLINE, mesh.map_iter(&task(), ["x"])).await.unwrap().unwrap());
    }
    let fresh = Mesh::connect_in(bench.dir.path()).await.unwrap();
    assert_eq!(timeout(DEADLINE, fresh.jobs()).await.unwrap().unwrap().len(), 300);
    timeout(DEADLINE, fresh.status()).await.unwrap().unwrap();
    timeout(DEADLINE, fresh.cancel(waiting[0].job())).await.unwrap().unwrap();
    let ended = timeout(DEADLINE, waiting[0].next()).await.unwrap().unwrap().unwrap();
    assert_eq!(ended.outcome, Outcome::Cancelled);
}

#[tokio::test]
async fn a_head_of_more_than_it_may_have_is_refused() {
    let bench = Bench::start().await;
    let Bench { address, token, .. } = &bench;
    for (length, status) in [(60 << 10, "200"), (70 << 10, "431"), (200 << 10, "431")] {
        let long = "x".repeat(length);
        let head = format!(
            "host: {address}\r\nauthorization: Bearer {token}\r\nconnection: close\r\nx: {long}\r\n\r\n"
        );
        let answer = bench.raw(&format!("GET /v1/status HTTP/1.1\r\n{head}")).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{length}: {}",
            answer.lines().next().unwrap()
        );
    }
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_an_error_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let listener = api::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let _published = api::publish(dir.path(), &listener).unwrap();
    // The kernel takes its connections, and they are not read.
    let mesh = Mesh::connect_in(dir.path()).await.unwrap();
    let error = timeout(DEADLINE, mesh.status()).await.expect("the client gives up by itself").unwrap_err();
    assert!(error.to_string().contains("no answer within 20 s"), "{error}");
}

#[tokio::test]
async fn slow_uploads_wait_for_each_other_and_none_is_refused() {
    let bench = Bench::start().await;
    let Bench { address, token, .. } = &bench;
    let head = format!(
        "PUT /v1/blobs HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
         content-length: 20000\r\n\r\n"
    );
    let mut uploads = Vec::new();
    for number in 0..260_u32 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&number.to_le_bytes().repeat(2500)).await.unwrap();
        uploads.push((number, stream));
    }
    timeout(DEADLINE, bench.mesh.status()).await.unwrap().unwrap();
    for (number, mut stream) in uploads {
        stream.write_all(&number.to_le_bytes().repeat(2500)).await.unwrap();
        let mut answer = String::new();
        timeout(DEADLINE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 201"), "{number}: {answer}");
    }
}

/// An upload may wait for minutes; the result of a task, which is a download, must not wait for that.
#[tokio::test]
async fn uploads_that_wait_take_no_place_of_a_download() {
    let bench = Bench::start().await;
    let blob = bench.mesh.put_blob("the result").await.unwrap();
    let Bench { address, token, .. } = &bench;
    let head = format!(
        "PUT /v1/blobs HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
         content-length: 9\r\n\r\n"
    );
    // None of them ends. So the first answer is that to one for which there is no place.
    let mut uploads = JoinSet::new();
    for _ in 0..800 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        uploads.spawn(async move {
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.unwrap();
            (answer, stream)
        });
    }
    let (answer, _) = timeout(DEADLINE, uploads.join_next()).await.unwrap().unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 503");
    let got = timeout(DEADLINE, bench.mesh.get_blob(&blob.id)).await.unwrap().unwrap();
    assert_eq!(got, "the result");
    // One that sends all of its body before it reads learns why it was refused, not that the connection broke.
    let long = format!("{}{}", head.replace("length: 9\r", "length: 4000000\r"), "x".repeat(4_000_000));
    let answer = bench.raw(&long).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("at most"), "{answer}");
}

#[expect(clippy::disallowed_methods, reason = "the runtime of this test ends with it")]
#[tokio::test]
async fn a_node_without_room_for_a_blob_is_asked_again_and_gets_all_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let listener = api::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let _published = api::publish(dir.path(), &listener).unwrap();
    let bytes: Vec<u8> = (0..9 << 20).map(|n: u32| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let id = blake3::hash(&bytes).to_hex().to_string();
    let file = dir.path().join("big");
    std::fs::write(&file, &bytes).unwrap();
    // It refuses every other request before it has read the body, which it drops.
    let busy = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let (asked, kept) = (Arc::clone(&busy), bytes.clone());
    let answer = move |request: hyper::Request<hyper::body::Incoming>| {
        let (number, kept) = (asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed), kept.clone());
        async move {
            let answer = |status: u16, body: Vec<u8>| {
                let body = http_body_util::Full::new(bytes::Bytes::from(body));
                Ok::<_, hyper::Error>(hyper::Response::builder().status(status).body(body).unwrap())
            };
            if number % 2 == 0 {
                tokio::spawn(http_body_util::BodyExt::collect(request.into_body()));
                return answer(503, br#"{"error": "no room"}"#.to_vec());
            }
            if request.method() == hyper::Method::GET {
                return answer(200, kept);
            }
            let body = http_body_util::BodyExt::collect(request.into_body()).await?.to_bytes();
            let id = blake3::hash(&body).to_hex();
            answer(201, format!(r#"{{"id": "{id}", "bytes": {}}}"#, body.len()).into_bytes())
        }
    };
    let mut served = JoinSet::new();
    served.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let http = hyper::server::conn::http1::Builder::new();
            let service = hyper::service::service_fn(answer.clone());
            tokio::spawn(http.serve_connection(hyper_util::rt::TokioIo::new(stream), service));
        }
    });
    let mesh = Mesh::connect_in(dir.path()).await.unwrap();
    let put = timeout(DEADLINE, mesh.put_blob_file(&file)).await.unwrap().unwrap();
    assert_eq!((put.id.as_str(), put.bytes), (id.as_str(), 9 << 20));
    let part = weft_client::FilePart::new(Arc::new(std::fs::File::open(&file).unwrap()), "part", 0, 9 << 20);
    assert_eq!(timeout(DEADLINE, mesh.put_blob_of(Input::Part(part))).await.unwrap().unwrap(), put);
    assert!(timeout(DEADLINE, mesh.get_blob(&id)).await.unwrap().unwrap() == bytes);
    assert_eq!(busy.load(std::sync::atomic::Ordering::Relaxed), 6, "each was asked twice");
}

#[tokio::test]
async fn a_module_may_come_as_text() {
    let bench = Bench::start().await;
    let blob = bench.mesh.put_blob(" (module)").await.unwrap().id;
    for module in
        [r#""wat": "(module)""#, r#""wasm_base64": "KG1vZHVsZSk=""#, &format!(r#""module": "{blob}""#)]
    {
        let answer = bench
            .raw_post("/v1/jobs", "application/json", &format!(r#"{{{module}, "inputs": ["x"]}}"#))
            .await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{module} {answer}");
    }
    let programs = bench.wait_for(|seen| seen.programs.len() == 3).await.programs;
    assert!(programs.iter().all(|program| program.module == programs[0].module && program.module_bytes == 8));
    let answer =
        bench.raw_post("/v1/jobs", "application/json", r#"{"wat": "(module\n (funk))", "inputs": []}"#).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("the module's text, 2:3: "), "{answer}");
}
