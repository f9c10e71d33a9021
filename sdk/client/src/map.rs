//! Inputs out, results in, over one exchange. The connection's task pulls the inputs (see [`Pump`]), whoever polls
//! the [`Map`] takes the results; neither waits for the other but through the node, which stops reading inputs while
//! too many tasks are unfinished.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::vec;

use bytes::Bytes;
use futures::stream::{self, Fuse};
use futures::{Stream, StreamExt, TryStreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use tokio::sync::Semaphore;

use crate::error::Error;
use crate::frames::{
    self, BATCH_BYTES, ClientFrame, FrameError, INLINE_BYTES_MAX, NodeFrame, Payload, PrintedItem,
    ResultItem, Splitter, Summary,
};
use crate::http::{About, Body, Call, Connection, reason_of, refused};
use crate::input::Input;
use crate::mesh::{Mesh, Parts};
use crate::result::{TaskResult, hex};
use crate::task::Task;
use crate::told::{Printed, Told};

/// Short inputs that go on together, if so many are there.
const CHUNK_MAX: usize = 512;
/// Inputs of an attached job without a result: fewer than a node reads ahead, since what it has not read it has not
/// pinned, and may evict.
const AHEAD_MAX: usize = 8192;
/// Uploads under way at once, of one job. A group of short inputs counts as one.
const UPLOADS_MAX: usize = 4;

/// The results of a job as its tasks end; a stream. An error is its last item.
///
/// Dropping it before its end closes the connection: an attached job is cancelled then, a detached one goes on.
#[must_use = "dropping the results cancels the job"]
pub struct Map {
    mesh: Mesh,
    job: String,
    body: Incoming,
    splitter: Splitter,
    ready: vec::IntoIter<ResultItem>,
    /// Kept until the stream's end, so that dropping this closes the socket.
    connection: Option<Connection>,
    pump: Pump,
    summary: Option<Summary>,
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

    /// How the job ended, in numbers, once the stream has.
    #[must_use]
    pub fn summary(&self) -> Option<Summary> {
        self.summary
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
                Some(Err(error)) => return Poll::Ready(Some(Err(self.broken(reason_of(&error))))),
                None => return Poll::Ready(None),
            }
        }
    }

    /// Why the connection broke: because of our own inputs, if they are to blame.
    fn broken(&self, reason: String) -> Error {
        self.pump.take_error().unwrap_or(Error::Broken { reason })
    }

    fn poll_told(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Told, Error>>> {
        loop {
            if let Some(item) = self.ready.next() {
                return Poll::Ready(Some(Ok(Told::Ended(Box::new(TaskResult::of(item))))));
            }
            if self.connection.is_none() {
                return Poll::Ready(None);
            }
            let failed = match ready!(self.poll_frame(cx)) {
                Some(Ok(NodeFrame::Results(items))) => {
                    self.pump.shared.ahead.add_permits(items.len());
                    self.ready = items.into_iter();
                    continue;
                }
                Some(Ok(NodeFrame::Printed(PrintedItem { index, attempt, stream, offset, bytes }))) => {
                    let bytes = Bytes::from_owner(bytes);
                    return Poll::Ready(Some(Ok(Told::Printed(Printed {
                        index,
                        attempt,
                        stream,
                        offset,
                        bytes,
                    }))));
                }
                Some(Ok(NodeFrame::Ended(summary))) => {
                    self.summary = Some(summary);
                    continue;
                }
                Some(Ok(NodeFrame::Taken { tasks })) => {
                    self.summary = Some(Summary { tasks, ..Summary::default() });
                    continue;
                }
                None if self.summary.is_some() => {
                    self.finish();
                    continue;
                }
                None => self.broken(String::from("the answer ended before the job did")),
                Some(Ok(NodeFrame::Accepted { job })) => Error::protocol(format!("accepted again, as {job}")),
                Some(Ok(NodeFrame::Error(body))) => refused(body),
                Some(Err(error)) => error,
            };
            self.connection = None;
            return Poll::Ready(Some(Err(failed)));
        }
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
    };
    match std::future::poll_fn(|cx| map.poll_frame(cx)).await {
        Some(Ok(NodeFrame::Accepted { job })) => map.job = job,
        Some(Ok(NodeFrame::Error(body))) => return Err(refused(body)),
        Some(Ok(
            NodeFrame::Results(_) | NodeFrame::Printed(_) | NodeFrame::Ended(_) | NodeFrame::Taken { .. },
        )) => {
            return Err(Error::protocol("results before the job's name"));
        }
        Some(Err(error)) => return Err(error),
        None => return Err(map.broken(String::from("the answer is empty"))),
    }
    Ok(map)
}

/// What the connection's task, which pulls the inputs, has to tell whoever takes the results.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pump {
    shared: Arc<Pumped>,
}

#[derive(Debug)]
struct Pumped {
    /// How many inputs may go before a result comes back.
    ahead: Semaphore,
    /// Every input was handed over.
    finished: AtomicBool,
    /// An input could not be had.
    error: Mutex<Option<Error>>,
}

impl Default for Pumped {
    fn default() -> Self {
        let ahead = Semaphore::new(AHEAD_MAX);
        Self { ahead, finished: AtomicBool::default(), error: Mutex::default() }
    }
}

impl Pump {
    /// One whose inputs go on without results: those of a detached job.
    pub(crate) fn detached() -> Self {
        let pump = Self::default();
        pump.shared.ahead.add_permits(Semaphore::MAX_PERMITS / 2);
        pump
    }

    /// One that has nothing to do.
    pub(crate) fn finished() -> Self {
        let pump = Self::default();
        pump.shared.finished.store(true, Ordering::Release);
        pump
    }

    fn is_finished(&self) -> bool {
        self.shared.finished.load(Ordering::Acquire)
    }

    fn take_error(&self) -> Option<Error> {
        self.shared.error.lock().expect("nobody panics holding this lock").take()
    }

    /// The body of a job: the opening frame, the inputs in batches of what is there, the closing frame.
    pub(crate) fn body<S>(&self, mesh: Mesh, open: Vec<u8>, inputs: S) -> Body
    where
        S: Stream<Item = Input> + Send + 'static,
    {
        // A group's place is kept while those behind it are on their way.
        let groups = Groups { inputs: Box::pin(inputs.fuse()), long: None };
        let prepared = groups.map({
            let pump = self.clone();
            move |group| prepare_all(pump.clone(), mesh.clone(), group)
        });
        let batches = prepared.buffered(UPLOADS_MAX).map(|group| encode_inputs(group?));
        let shared = Arc::clone(&self.shared);
        let last = stream::once(async move {
            let mut buffer = Vec::new();
            frames::encode(&ClientFrame::Close, &mut buffer).map_err(malformed)?;
            shared.finished.store(true, Ordering::Release);
            Ok(Bytes::from(buffer))
        });
        let shared = Arc::clone(&self.shared);
        let body = stream::iter([Ok(Bytes::from(open))]).chain(batches).chain(last);
        // The connection only learns that the body broke; why is kept for the results' side.
        let body = body.map_ok(Frame::data).map_err(move |error: Error| {
            let reason = error.to_string();
            *shared.error.lock().expect("nobody panics holding this lock") = Some(error);
            Error::Broken { reason }
        });
        BodyExt::boxed_unsync(StreamBody::new(body))
    }
}

/// Inputs that go on together: short ones as far as they are there, long ones each alone, so that the mesh works on
/// the first while the next is uploaded, and few of them are held in memory.
struct Groups<S> {
    inputs: Pin<Box<Fuse<S>>>,
    /// A long one that came behind short ones.
    long: Option<Input>,
}

impl<S: Stream<Item = Input>> Stream for Groups<S> {
    type Item = Vec<Input>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some(long) = this.long.take() {
            return Poll::Ready(Some(vec![long]));
        }
        let mut group = Vec::new();
        while group.len() < CHUNK_MAX {
            match this.inputs.as_mut().poll_next(cx) {
                Poll::Ready(Some(input)) if is_short(&input) => group.push(input),
                Poll::Ready(Some(long)) if group.is_empty() => return Poll::Ready(Some(vec![long])),
                Poll::Ready(Some(long)) => {
                    this.long = Some(long);
                    break;
                }
                Poll::Ready(None) if group.is_empty() => return Poll::Ready(None),
                Poll::Pending if group.is_empty() => return Poll::Pending,
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        Poll::Ready(Some(group))
    }
}

fn is_short(input: &Input) -> bool {
    matches!(input, Input::Bytes(bytes) if bytes.len() <= INLINE_BYTES_MAX)
}

async fn prepare_all(pump: Pump, mesh: Mesh, inputs: Vec<Input>) -> Result<Vec<Payload>, Error> {
    let count = u32::try_from(inputs.len()).unwrap_or(u32::MAX);
    let room = pump.shared.ahead.acquire_many(count).await;
    room.expect("this semaphore is never closed").forget();
    let mut payloads = Vec::with_capacity(inputs.len());
    for input in inputs {
        payloads.push(mesh.prepare(input).await?);
    }
    Ok(payloads)
}

/// Inputs as frames, none of them too long.
fn encode_inputs(inputs: Vec<Payload>) -> Result<Bytes, Error> {
    let mut buffer = Vec::new();
    let mut batch = Vec::with_capacity(inputs.len());
    let mut bytes = 0;
    for input in inputs {
        bytes += input.inline_len();
        batch.push(input);
        if bytes >= BATCH_BYTES {
            let full = std::mem::take(&mut batch);
            frames::encode(&ClientFrame::Inputs(full), &mut buffer).map_err(malformed)?;
            bytes = 0;
        }
    }
    if !batch.is_empty() {
        frames::encode(&ClientFrame::Inputs(batch), &mut buffer).map_err(malformed)?;
    }
    Ok(buffer.into())
}

fn malformed(error: FrameError) -> Error {
    Error::protocol(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn long_inputs_go_alone_and_in_their_place() {
        let lengths = [1, 2, INLINE_BYTES_MAX + 1, INLINE_BYTES_MAX + 2, 3];
        let inputs = stream::iter(lengths.map(|length| Input::from(vec![0; length])));
        let groups = Groups { inputs: Box::pin(inputs.fuse()), long: None };
        let groups: Vec<Vec<Input>> = groups.collect().await;
        let length = |input: &Input| match input {
            Input::Bytes(bytes) => bytes.len(),
            Input::File(_) | Input::Blob { .. } => 0,
        };
        let seen: Vec<Vec<usize>> = groups.iter().map(|group| group.iter().map(length).collect()).collect();
        assert_eq!(seen, [vec![1, 2], vec![INLINE_BYTES_MAX + 1], vec![INLINE_BYTES_MAX + 2], vec![3]]);
    }
}
