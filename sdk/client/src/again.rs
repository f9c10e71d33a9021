//! How the results of a kept job go on where the way to it breaks: its node is started again, or another one takes it over.
//! They are asked for from where they were told up to, so that each is told once; inputs that the node does not have are handed
//! in again. Driven by the [`Map`] that is polled.

use std::pin::Pin;

use http_body_util::{BodyExt, StreamBody};

use crate::api;
use crate::error::Error;
use crate::frames::{self, Splitter, Summary};
use crate::http::{About, Answer, Call};
use crate::job::Reading;
use crate::map::Map;
use crate::mesh::Mesh;
use crate::patience::Patience;
use crate::pump::Pump;
use crate::rest::Feed;
use crate::task::Task;

/// What it takes to go on where the way to a job broke.
pub(crate) struct Again {
    reading: Reading,
    /// The results are not read here, only the inputs are handed in.
    detached: bool,
    /// Where to read on behind the results that come next.
    pub(crate) told_upto: Option<u64>,
    patience: Patience,
    was_broken: bool,
    /// The way was there when it was looked at last.
    is_found: bool,
    /// Why it is not.
    why: Option<String>,
    pub(crate) reopening: Option<Reopening>,
}

/// How a job was found again.
pub(crate) enum Found {
    /// Its results come, and the inputs that it lacks go.
    Answer(Answer),
    /// A detached one, with all of its inputs.
    Whole { tasks: u32 },
}

pub(crate) type Reopening = Pin<Box<dyn Future<Output = Result<Found, Error>> + Send>>;

impl Again {
    fn of(reading: Reading) -> Self {
        Self {
            reading,
            detached: false,
            told_upto: None,
            patience: Patience::new(),
            was_broken: false,
            is_found: true,
            why: None,
            reopening: None,
        }
    }

    /// That many results came; `None` if their node does not say where to read on. None at all is a sign of life, and says nothing
    /// about that.
    pub(crate) fn told(mut self, results: usize) -> Option<Self> {
        if results > 0 {
            self.reading.from = self.told_upto.take()?;
        }
        self.patience.renew();
        Some(self)
    }

    /// The way to the job is there again; a later break is another one.
    fn found(&mut self) {
        self.is_found = true;
        self.patience.found();
    }
}

/// The path of a job's results.
pub(crate) fn results_path(job: &str, reading: Reading) -> String {
    let Reading { from, follow } = reading;
    format!("/v1/jobs/{job}/results?from={from}&follow={follow}")
}

impl Map {
    /// Results that are read, and can be read again.
    pub(crate) fn reading(mut self, reading: Reading) -> Self {
        self.again = Some(Again::of(reading));
        self
    }

    /// Results of a new job of that task.
    pub(crate) fn of_task(self, task: &Task) -> Self {
        if task.is_kept(false) { self.reading(Reading { from: 0, follow: true }) } else { self }
    }

    /// A new job of that task that goes on without us.
    pub(crate) fn of_detached(mut self, task: &Task) -> Self {
        let reading = Reading { from: 0, follow: true };
        self.again = task.is_kept(true).then(|| Again { detached: true, ..Again::of(reading) });
        self
    }

    /// Why the way to the job is broken, while it is looked for again; the results go on once it is found.
    #[must_use]
    pub fn away(&self) -> Option<&str> {
        self.again.as_ref().filter(|again| again.reopening.is_some()).and_then(|again| again.why.as_deref())
    }

    /// Why the way to the job broke since this was asked last, also where it was found again meanwhile. It holds the last break.
    pub fn take_break(&mut self) -> Option<String> {
        self.broke.take()
    }

    /// Looks for the job again, after a while, to go on with what was not told and not handed in; the error itself if that is of
    /// no use.
    pub(crate) fn reopen(&mut self, error: Error) -> Result<(), Error> {
        // Inputs that can't go again are lost with the connection.
        let goes_on = self.pump.is_finished() || self.pump.rest().holds();
        let Some(again) = self.again.as_mut().filter(|_| goes_on) else { return Err(error) };
        if let Error::Protocol { .. } | Error::Refused { .. } = error {
            return Err(error);
        }
        let Some(pause) = again.patience.after(&error) else { return Err(error) };
        again.was_broken = true;
        again.why = Some(error.to_string());
        if core::mem::take(&mut again.is_found) {
            self.broke = again.why.clone();
        }
        let way = Way {
            mesh: self.mesh.clone(),
            job: self.job.clone(),
            reading: again.reading,
            detached: again.detached,
            pump: self.pump.clone(),
        };
        again.reopening = Some(Box::pin(async move {
            tokio::time::sleep(pause).await;
            way.find().await
        }));
        Ok(())
    }

    /// Takes the new answer, or tries on.
    pub(crate) fn reopened(&mut self, found: Result<Found, Error>) -> Result<(), Error> {
        if let Some(again) = &mut self.again {
            again.reopening = None;
        }
        match found {
            Ok(Found::Answer(Answer { body, connection, .. })) => {
                self.again.iter_mut().for_each(Again::found);
                (self.body, self.connection) = (body, Some(connection));
                (self.splitter, self.begins) = (Splitter::default(), true);
                Ok(())
            }
            Ok(Found::Whole { tasks }) => {
                self.summary = Some(Summary { tasks, ..Summary::default() });
                self.lacking().map_or(Ok(()), Err)
            }
            Err(error) => self.reopen(error),
        }
    }

    /// That inputs did not reach the node before the connection broke, if some did not.
    pub(crate) fn lacking(&mut self) -> Option<Error> {
        let (sent, summary) = (self.pump.tasks(), self.summary?);
        let was_broken = self.again.take().is_some_and(|again| again.was_broken);
        if was_broken && self.pump.rest().holds() && summary.tasks > sent {
            let text = format!("{} tasks for {sent} inputs", summary.tasks);
            return Some(Error::protocol(text));
        }
        (was_broken && summary.tasks < sent).then(|| Error::Refused {
            what: format!(
                "the connection broke before {} of {sent} inputs had reached the node",
                sent - summary.tasks
            ),
            expected: None,
            help: Some(String::from("the job has the inputs before them; hand in the others as another job")),
        })
    }
}

/// The way to a job that broke.
struct Way {
    mesh: Mesh,
    job: String,
    reading: Reading,
    detached: bool,
    pump: Pump,
}

impl Way {
    /// Looks for the job, once.
    async fn find(self) -> Result<Found, Error> {
        let Self { mesh, job, reading, detached, pump } = self;
        let about = About { what: "job", name: &job };
        let holds = pump.rest().holds();
        if holds || detached {
            let path = format!("/v1/jobs/{job}");
            let view: api::Job = mesh.http().json(Call::get(path, about).soon()).await?;
            if holds && view.open {
                return hand_in(&mesh, &view, reading.from, detached, &pump).await;
            }
            // It takes no more, and there were more to come.
            let is_stopped = view.cancelled_by_user || view.given_up;
            if !pump.is_finished() && !is_stopped {
                return Err(lost(&view));
            }
            if detached {
                return whole(&view);
            }
        }
        let accept = Some(frames::CONTENT_TYPE);
        let call = Call { accept, ..Call::get(results_path(&job, reading), about) };
        mesh.http().send(call).await.map(Found::Answer)
    }
}

/// Hands in the inputs that a job lacks.
async fn hand_in(
    mesh: &Mesh,
    view: &api::Job,
    next: u64,
    detached: bool,
    pump: &Pump,
) -> Result<Found, Error> {
    let api::Job { job, tasks, .. } = view;
    let body = Feed::again(pump, *tasks).ok_or_else(|| lost(view))?;
    let path = format!("/v1/jobs/{job}/inputs?from={tasks}&next={next}&detached={detached}");
    let content_type = Some(frames::CONTENT_TYPE);
    let call = Call {
        body: BodyExt::boxed_unsync(StreamBody::new(body)),
        content_type,
        accept: content_type,
        ..Call::post(path, About { what: "job", name: job })
    };
    mesh.http().send(call).await.map(Found::Answer)
}

/// That a job can't have the inputs behind those that it has.
fn lost(view: &api::Job) -> Error {
    Error::Refused {
        what: format!("the connection broke, and job {} has the first {} inputs only", view.job, view.tasks),
        expected: None,
        help: Some(String::from("hand in the others as another job")),
    }
}

/// A detached job has all of its inputs, unless it was cancelled before they came.
fn whole(view: &api::Job) -> Result<Found, Error> {
    if !view.cancelled_by_user {
        return Ok(Found::Whole { tasks: view.tasks });
    }
    Err(Error::Refused {
        what: format!("job {} was cancelled before all of its inputs had come", view.job),
        expected: None,
        help: None,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use futures::StreamExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::frames::NodeFrame;
    use crate::map;

    const ALL: Reading = Reading { from: 0, follow: true };

    #[test]
    fn where_to_read_on_is_known_until_results_come_without_it() {
        let again = Again::of(ALL).told(0).unwrap();
        assert_eq!(again.reading, ALL, "a sign of life changes nothing");
        let again = Again { told_upto: Some(7), ..again }.told(2).unwrap();
        assert_eq!((again.reading.from, again.told_upto), (7, None));
        assert!(again.told(1).is_none(), "these might be told again");
    }

    #[test]
    fn each_break_has_its_own_patience() {
        let mut again = Again::of(ALL);
        let broken = Error::Broken { reason: String::new() };
        let first = again.patience.after(&broken);
        again.found();
        assert!(again.patience.is_fresh(), "the next break is another one");
        assert!(
            again.patience.after(&broken) > first,
            "a node that breaks off each time is asked ever more seldom"
        );
    }

    /// A chunk of an answer, with these frames.
    fn chunk(told: &[NodeFrame]) -> Vec<u8> {
        let mut bytes = Vec::new();
        told.iter().for_each(|frame| frames::encode(frame, &mut bytes).unwrap());
        [format!("{:x}\r\n", bytes.len()).as_bytes(), &bytes, b"\r\n"].concat()
    }

    /// A node's API, as its clients find it.
    async fn listen(data_dir: &Path) -> TcpListener {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let endpoint = serde_json::json!({ "address": address, "token": "t", "pid": 1 });
        std::fs::write(data_dir.join("api.json"), endpoint.to_string()).unwrap();
        listener
    }

    #[tokio::test]
    async fn results_go_on_where_the_way_breaks_after_a_quiet_second() {
        let dir = tempfile::tempdir().unwrap();
        let listener = listen(dir.path()).await;
        let accepted = || NodeFrame::Accepted { job: String::from("a7c372edeab46585") };
        // What a node sends each second while it has no room for inputs, and then it is gone.
        let quiet = chunk(&[accepted(), NodeFrame::Results(Vec::new())]);
        let whole =
            [chunk(&[accepted(), NodeFrame::Ended(Summary::default())]), b"0\r\n\r\n".to_vec()].concat();
        let node = async {
            for answer in [quiet, whole] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _asked = stream.read(&mut [0; 4096]).await.unwrap();
                let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                stream.write_all(&[&head[..], &answer].concat()).await.unwrap();
            }
        };
        let read = async {
            let mesh = Mesh::connect_in(dir.path()).await.unwrap();
            let about = About { what: "job", name: "a7c372edeab46585" };
            let call = Call::get(results_path("a7c372edeab46585", ALL), about);
            let mut results = map::follow(&mesh, call, Pump::finished()).await.unwrap().reading(ALL);
            assert!(results.next().await.is_none(), "the end, and no error");
            results.has_ended()
        };
        assert!(tokio::join!(node, read).1);
    }
    #[tokio::test]
    async fn a_job_without_inputs_of_its_own_is_whole_though_it_gets_tasks_still() {
        let dir = tempfile::tempdir().unwrap();
        let listener = listen(dir.path()).await;
        let job = "a7c372edeab46585";
        let view = serde_json::json!({
            "job": job, "state": "running", "open": true, "detached": true, "cancelled_by_user": false, "class": "batch", "module": "", "tasks": 7,
            "queued": 0, "leased": 0, "done": 0, "failed": 0, "cancelled": 0, "retried": 0, "elapsed_ms": 0,
        });
        let view = view.to_string();
        let node = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 4096];
            let read = stream.read(&mut asked).await.unwrap();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                view.len()
            );
            stream.write_all(&[head.as_bytes(), view.as_bytes()].concat()).await.unwrap();
            String::from_utf8_lossy(asked.get(..read).unwrap()).into_owned()
        };
        let mesh = Mesh::connect_in(dir.path()).await.unwrap();
        let pump = Pump::finished();
        let way = Way { mesh, job: job.into(), reading: ALL, detached: true, pump };
        let (asked, found) = tokio::join!(node, way.find());
        assert!(asked.starts_with("GET /v1/jobs/a7c372edeab46585 "), "{asked}");
        assert!(matches!(found, Ok(Found::Whole { tasks: 7 })));
    }
}
