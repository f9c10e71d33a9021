//! A node that echoes every input as its output, its API, and a client of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use weft_client::{Level, Mesh, Module, Task};
use weft_core::snapshot::{Counters, PeerResponse, Response, Snapshot, TaskView, Why};
use weft_core::{Command, Event, JobId, PeerId, Report};
use weft_exec::PoolStatus;
use weft_node::api;
use weft_node::handle::{NodeHandle, NodeInfo, Request, Standing};
use weft_node::jobs::JobTable;

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
const ME: PeerId = PeerId([7; 32]);

/// What the echoing node has seen so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) tasks: u32,
    pub(crate) submitted: Vec<JobId>,
    pub(crate) cancelled: Vec<JobId>,
    pub(crate) programs: Vec<weft_core::Program>,
}

/// An API, a node that echoes, and a client. `hold` keeps tasks from ending until cancelled.
pub(crate) struct Bench {
    pub(crate) mesh: Mesh,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) handle: NodeHandle,
    pub(crate) seen: watch::Receiver<Seen>,
    pub(crate) address: String,
    pub(crate) token: String,
    _tasks: JoinSet<()>,
}

impl Bench {
    pub(crate) async fn start() -> Self {
        Self::new(false).await
    }

    pub(crate) async fn holding() -> Self {
        Self::new(true).await
    }

    pub(crate) async fn new(hold: bool) -> Self {
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
    pub(crate) async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        timeout(DEADLINE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        String::from_utf8(answer).unwrap()
    }

    pub(crate) async fn raw_get(&self, path: &str) -> String {
        let Self { address, token, .. } = self;
        let head = format!("host: {address}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n");
        self.raw(&format!("GET {path} HTTP/1.1\r\n{head}")).await
    }

    pub(crate) async fn raw_post(&self, path: &str, kind: &str, body: &str) -> String {
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
    pub(crate) async fn settled(&self) -> u32 {
        for _ in 0..20 {
            self.mesh.status().await.unwrap();
        }
        self.wait_for(|_| true).await.tasks
    }

    pub(crate) async fn wait_for(&self, what: impl FnMut(&Seen) -> bool) -> Seen {
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
                Command::ExtendEnded { .. }
                | Command::Drain(_)
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
    Event::TaskEnded {
        job,
        index,
        report: report.into(),
        worker,
        attempts,
        memo: None,
        proof: None,
        verified: None,
    }
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
        kept: Vec::new(),
        copies: Vec::new(),
        counters: Counters::default(),
    }
}

fn why() -> Why {
    let responses = vec![PeerResponse { peer: ME, response: Response::Bid(2), ago_ms: 5 }];
    let deadline = Some(weft_core::snapshot::Deadline::Left { ms: 4000 });
    Why { state: TaskView::Queued { before: 3 }, deadline, responses, notes: Vec::new() }
}

pub(crate) fn task() -> Task {
    // This node has no journal.
    Task::command(Module::from(b"\0asm, as far as this node can tell")).level(Level::Memory)
}
