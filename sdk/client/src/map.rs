//! Inputs out, results in, over one exchange. The connection's task pulls the inputs (see `pump`), the caller that polls
//! the [`Map`] takes the results; neither waits for the other but through the node, which stops reading inputs while
//! too many tasks are unfinished.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::vec;

use bytes::Bytes;
use futures::Stream;
use hyper::body::{Body as _, Incoming};

use crate::again::Again;
use crate::error::Error;
use crate::frames::{self, ClientFrame, FrameError, NodeFrame, PrintedItem, ResultItem, Splitter, Summary};
use crate::http::{self, About, Body, Call, Connection, refused};
use crate::mesh::{Mesh, Parts};
use crate::pump::Pump;
use crate::result::{TaskResult, hex};
use crate::task::Task;
use crate::told::{Printed, Told};

/// The results of a job as its tasks end; a stream. An error is its last item.
///
/// Indices count the inputs. One that can't be had has a result too, [`crate::Outcome::Invalid`] with the reason, although
/// no task of the job was made for it.
///
/// Dropping it before its end closes the connection: an attached job in memory is cancelled then; a detached one, and one
/// of [`crate::Level::Disk`] or [`crate::Level::Mesh`], goes on with the inputs that it has.
#[must_use = "dropping the results cancels an attached job in memory"]
pub struct Map {
    pub(crate) mesh: Mesh,
    pub(crate) job: String,
    pub(crate) body: Incoming,
    pub(crate) splitter: Splitter,
    ready: vec::IntoIter<ResultItem>,
    /// Kept until the stream's end, so that dropping this closes the socket.
    pub(crate) connection: Option<Connection>,
    pub(crate) pump: Pump,
    pub(crate) summary: Option<Summary>,
    /// How it goes on where the way to the job breaks; `None` if nothing keeps its results.
    pub(crate) again: Option<Again>,
    /// Why the way to the job broke, until that is asked for.
    pub(crate) broke: Option<String>,
    /// The answer begins, and has not said which job's it is.
    pub(crate) begins: bool,
    /// The summary is that of the end.
    has_ended: bool,
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map").field("job", &self.job).field("summary", &self.summary).finish_non_exhaustive()
    }
}

impl Map {
    /// The job's id.
    #[must_use]
    pub fn job(&self) -> &str {
        &self.job
    }

    /// How the job ended, in numbers, once the stream has; how far it is, if the stream does not follow.
    #[must_use]
    pub fn summary(&self) -> Option<Summary> {
        self.summary
    }

    /// How many tasks of the job were made of the inputs before that one: fewer than those, if some could not be had.
    #[must_use]
    pub fn tasks_before(&self, input: u32) -> u32 {
        self.pump.tasks_before(input)
    }

    /// Whether the job had ended when the last result was told. False while results come, and at the end of a stream that
    /// does not follow its job to the end.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether the job ended without inputs that were to come, because it was cancelled or given up before: that it has no
    /// cancelled task says nothing about those. False before its end.
    #[must_use]
    pub fn is_cut_short(&self) -> bool {
        let tasks = self.summary.filter(|_| self.has_ended).map(|summary| summary.tasks);
        tasks.is_some_and(|tasks| self.pump.is_cut_short(tasks))
    }

    /// Cancels the job. Results still come: those that were on their way, and one for each cancelled task.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn cancel(&self) -> Result<(), Error> {
        self.mesh.cancel(&self.job).await
    }

    /// The next thing that the node told, results and what tasks print; as a stream, a `Map` gives results only.
    pub async fn next_told(&mut self) -> Option<Result<Told, Error>> {
        std::future::poll_fn(|cx| self.poll_told(cx)).await
    }

    /// The next frame; `None` at the end of the answer.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<NodeFrame, Error>>> {
        loop {
            match self.splitter.next_frame::<NodeFrame>() {
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(malformed(error)))),
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.splitter.push(&bytes);
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(self.broken(http::broken(&error))))),
                None => return Poll::Ready(None),
            }
        }
    }

    /// Why the connection broke: because of our own inputs, if they are to blame.
    fn broken(&self, error: Error) -> Error {
        self.pump.take_error().unwrap_or(error)
    }

    fn poll_told(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Told, Error>>> {
        loop {
            if let Some(item) = self.ready.next() {
                let index = self.pump.input_of(item.index);
                return Poll::Ready(Some(Ok(Told::Ended(Box::new(TaskResult {
                    index,
                    ..TaskResult::of(item)
                })))));
            }
            if let Some(result) = self.pump.poll_missing(cx) {
                return Poll::Ready(Some(Ok(Told::Ended(Box::new(result)))));
            }
            if let Some(reopening) = self.again.as_mut().and_then(|again| again.reopening.as_mut()) {
                let answer = ready!(reopening.as_mut().poll(cx));
                if let Err(error) = self.reopened(answer) {
                    return Poll::Ready(Some(Err(error)));
                }
                continue;
            }
            if self.connection.is_none() {
                return Poll::Ready(None);
            }
            let frame = ready!(self.poll_frame(cx));
            match self.on_frame(frame) {
                Ok(Some(told)) => return Poll::Ready(Some(Ok(told))),
                Ok(None) => {}
                Err(failed) => {
                    self.connection = None;
                    if let Err(error) = self.reopen(failed) {
                        return Poll::Ready(Some(Err(error)));
                    }
                }
            }
        }
    }

    /// Takes a frame, or the end of the answer; what it tells at once.
    fn on_frame(&mut self, frame: Option<Result<NodeFrame, Error>>) -> Result<Option<Told>, Error> {
        match frame {
            Some(Ok(NodeFrame::Results(items))) => {
                self.again = self.again.take().and_then(|again| again.told(items.len()));
                self.pump.came_home(items.len());
                self.ready = items.into_iter();
            }
            Some(Ok(NodeFrame::Printed(PrintedItem { index, attempt, stream, offset, bytes }))) => {
                let (index, bytes) = (self.pump.input_of(index), Bytes::from_owner(bytes));
                return Ok(Some(Told::Printed(Printed { index, attempt, stream, offset, bytes })));
            }
            Some(Ok(NodeFrame::Ended(summary))) => (self.summary, self.has_ended) = (Some(summary), true),
            Some(Ok(NodeFrame::SoFar(summary))) => self.summary = Some(summary),
            Some(Ok(NodeFrame::Next { from })) => {
                if let Some(again) = &mut self.again {
                    again.told_upto = Some(from);
                }
            }
            Some(Ok(NodeFrame::Kept { tasks })) => self.pump.rest().kept(tasks),
            Some(Ok(NodeFrame::Taken { tasks })) => {
                self.summary = Some(Summary { tasks, ..Summary::default() });
            }
            None if self.summary.is_some() => {
                self.finish();
                self.lacking().map_or(Ok(()), Err)?;
            }
            None => return Err(self.broken(short("the answer ended before the job did"))),
            Some(Ok(NodeFrame::Accepted { job })) if self.begins && job == self.job => self.begins = false,
            Some(Ok(NodeFrame::Accepted { job })) => {
                return Err(Error::protocol(format!("accepted again, as {job}")));
            }
            Some(Ok(NodeFrame::Error(body))) => return Err(refused(body)),
            Some(Err(error)) => return Err(error),
        }
        Ok(None)
    }

    /// The answer was read to its end: the connection may carry another, if the question is over too.
    fn finish(&mut self) {
        if let Some(connection) = self.connection.take()
            && self.pump.is_finished()
        {
            self.mesh.http().give_back(connection);
        }
    }
}

impl Stream for Map {
    type Item = Result<TaskResult, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            match ready!(this.poll_told(cx)) {
                Some(Ok(Told::Ended(result))) => return Poll::Ready(Some(Ok(*result))),
                Some(Ok(Told::Printed(_))) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.ready.len(), None)
    }
}

/// The first frame of a job, in a buffer.
pub(crate) fn open_frame(task: &Task, parts: Parts, detached: bool) -> Result<Vec<u8>, Error> {
    let mut buffer = Vec::with_capacity(256);
    let request = task.request(parts.module, parts.files, detached);
    match frames::encode(&ClientFrame::Open(request), &mut buffer) {
        Ok(()) => Ok(buffer),
        Err(error) => Err(Error::refused(
            format!("arguments and environment make {error}"),
            "shorter ones, or an input",
        )),
    }
}

/// Sends the body of a job and waits until the node has accepted it.
pub(crate) async fn start(mesh: &Mesh, body: Body, module: [u8; 32], pump: Pump) -> Result<Map, Error> {
    let name = hex(&module);
    let about = About { what: "module", name: &name };
    let content_type = Some(frames::CONTENT_TYPE);
    follow(mesh, Call { body, content_type, ..Call::post("/v1/jobs", about) }, pump).await
}

/// Sends a call that is answered by a stream of frames, and waits for the first of them.
pub(crate) async fn follow(mesh: &Mesh, call: Call<'_>, pump: Pump) -> Result<Map, Error> {
    let call = Call { accept: Some(frames::CONTENT_TYPE), ..call };
    let answer = match mesh.http().send(call).await {
        Ok(answer) => answer,
        // Our own inputs broke the connection before the answer began.
        Err(error @ Error::Broken { .. }) => return Err(pump.take_error().unwrap_or(error)),
        Err(error) => return Err(error),
    };
    let mut map = Map {
        mesh: mesh.clone(),
        job: String::new(),
        body: answer.body,
        splitter: Splitter::default(),
        ready: Vec::new().into_iter(),
        connection: Some(answer.connection),
        pump,
        summary: None,
        again: None,
        broke: None,
        begins: true,
        has_ended: false,
    };
    match std::future::poll_fn(|cx| map.poll_frame(cx)).await {
        Some(Ok(NodeFrame::Accepted { job })) => (map.job, map.begins) = (job, false),
        Some(Ok(NodeFrame::Error(body))) => return Err(refused(body)),
        Some(Ok(
            NodeFrame::Results(_)
            | NodeFrame::Printed(_)
            | NodeFrame::Ended(_)
            | NodeFrame::SoFar(_)
            | NodeFrame::Taken { .. }
            | NodeFrame::Kept { .. }
            | NodeFrame::Next { .. },
        )) => {
            return Err(Error::protocol("results before the job's name"));
        }
        Some(Err(error)) => return Err(error),
        None => return Err(map.broken(short("the answer is empty"))),
    }
    Ok(map)
}

fn short(reason: &str) -> Error {
    Error::Broken { reason: reason.to_owned() }
}

pub(crate) fn malformed(error: FrameError) -> Error {
    Error::protocol(error.to_string())
}
