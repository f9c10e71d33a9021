//! The inputs of a job on their way to the node: the connection's task pulls them through here, the caller that takes the results
//! learns here what became of those that never went. An input that can't be had costs its own task and no other.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::stream::Fuse;
use futures::task::AtomicWaker;
use futures::{Stream, StreamExt};
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::Semaphore;

use crate::error::Error;
use crate::frames::{self, BATCH_BYTES, ClientFrame, INLINE_BYTES_MAX, Payload};
use crate::http::Body;
use crate::input::Input;
use crate::map::malformed;
use crate::mesh::Mesh;
use crate::rest::{Feed, Rest};
use crate::result::TaskResult;

/// Most short inputs that are sent together.
pub(crate) const CHUNK_MAX: usize = 512;
/// Inputs of an attached job without a result: fewer than a node reads ahead, since what it has not read it has not
/// pinned, and may evict.
const AHEAD_MAX: usize = 8192;
/// Uploads under way at once, of one job. A group of short inputs counts as one.
const UPLOADS_MAX: usize = 4;

/// How inputs are handed in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handing {
    /// Each may have arguments and files of its own.
    pub(crate) takes_parcels: bool,
    /// Those that the node may not have are held, to go again.
    pub(crate) holds: bool,
}

/// What the connection's task, which pulls the inputs, has to tell the caller that takes the results.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pump {
    shared: Arc<Pumped>,
    /// Inputs that the node may not have. Apart from what these need while they come.
    rest: Arc<Mutex<Rest>>,
}

#[derive(Debug)]
struct Pumped {
    /// How many inputs may go before a result comes back.
    ahead: Semaphore,
    /// Every input was handed over.
    finished: AtomicBool,
    /// Why the inputs broke off.
    error: Mutex<Option<Error>>,
    /// Results are not taken: an input that can't be read ends the job.
    is_strict: bool,
    missing: Mutex<Missing>,
    /// The task that waits for results.
    taker: AtomicWaker,
}

impl Default for Pumped {
    fn default() -> Self {
        Self {
            ahead: Semaphore::new(AHEAD_MAX),
            finished: AtomicBool::default(),
            error: Mutex::default(),
            is_strict: false,
            missing: Mutex::default(),
            taker: AtomicWaker::new(),
        }
    }
}

/// The inputs that could not be had: no task of the job is theirs, so that the tasks behind them have other numbers than
/// their inputs.
#[derive(Debug, Default)]
struct Missing {
    /// Inputs that were counted, and tasks that were made of them.
    inputs: u32,
    tasks: u32,
    /// How many inputs are missing before this task and those behind it: one entry for each row of missing inputs.
    before: BTreeMap<u32, u32>,
    /// Results that were not taken yet; as many as inputs may be ahead of the results.
    untold: VecDeque<TaskResult>,
}

impl Missing {
    /// Counts an input that became a task.
    fn found(&mut self) {
        self.inputs += 1;
        self.tasks += 1;
    }

    /// Counts an input that can't be read.
    fn lost(&mut self, reason: String) {
        self.untold.push_back(TaskResult::of_no_input(self.inputs, reason));
        self.inputs += 1;
        self.before.insert(self.tasks, self.inputs - self.tasks);
    }

    /// How many tasks were made of the inputs before that one.
    fn tasks_before(&self, input: u32) -> u32 {
        let mut missing = 0;
        for (task, count) in &self.before {
            // The last of that row is right before the input of the task.
            let end = task.saturating_add(*count);
            if input <= end {
                return input.saturating_sub(missing).min(*task);
            }
            missing = *count;
        }
        input.saturating_sub(missing)
    }

    /// The input of that task.
    fn input_of(&self, task: u32) -> u32 {
        task.saturating_add(self.before.range(..=task).next_back().map_or(0, |(_, missing)| *missing))
    }
}

impl Pump {
    /// One whose inputs go on without results: those of a detached job.
    pub(crate) fn detached() -> Self {
        let ahead = Semaphore::new(Semaphore::MAX_PERMITS / 2);
        let shared = Arc::new(Pumped { ahead, is_strict: true, ..Pumped::default() });
        Self { shared, rest: Arc::default() }
    }

    /// One that has nothing to do.
    pub(crate) fn finished() -> Self {
        let pump = Self::default();
        pump.shared.finished.store(true, Ordering::Release);
        pump
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.shared.finished.load(Ordering::Acquire)
    }

    pub(crate) fn take_error(&self) -> Option<Error> {
        self.shared.error.lock().expect("no thread panics while it holds this lock").take()
    }

    /// `results` results came: as many inputs may be sent.
    pub(crate) fn came_home(&self, results: usize) {
        self.shared.ahead.add_permits(results);
    }

    /// The number of the input that became this task.
    pub(crate) fn input_of(&self, task: u32) -> u32 {
        self.missing().input_of(task)
    }

    /// How many tasks were made of the inputs that were sent.
    pub(crate) fn tasks(&self) -> u32 {
        self.missing().tasks
    }

    /// Whether a job that ended with that many tasks lacks inputs of these.
    pub(crate) fn is_cut_short(&self, tasks: u32) -> bool {
        !self.is_finished() || tasks < self.tasks()
    }

    /// How many tasks of the job were made of the inputs before that one.
    pub(crate) fn tasks_before(&self, input: u32) -> u32 {
        self.missing().tasks_before(input)
    }

    /// The result of an input that can't be read. Without one, the caller is woken for the next.
    pub(crate) fn poll_missing(&self, cx: &Context<'_>) -> Option<TaskResult> {
        self.shared.taker.register(cx.waker());
        let result = self.missing().untold.pop_front()?;
        self.came_home(1);
        Some(result)
    }

    fn missing(&self) -> MutexGuard<'_, Missing> {
        self.shared.missing()
    }

    /// Inputs that the node may not have.
    pub(crate) fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().expect("no thread panics while it holds this lock")
    }

    pub(crate) fn set_finished(&self, finished: bool) {
        self.shared.finished.store(finished, Ordering::Release);
    }

    /// The inputs broke off, for this reason: what their connection is told.
    pub(crate) fn broke(&self, error: Error) -> Error {
        let reason = error.to_string();
        *self.shared.error.lock().expect("no thread panics while it holds this lock") = Some(error);
        Error::Broken { reason }
    }

    /// The body of a job: the opening frame, the inputs in batches of what is there, the closing frame. With `holds`, inputs
    /// can go again where the way to the node breaks.
    pub(crate) fn body<S>(&self, mesh: Mesh, open: Vec<u8>, how: Handing, inputs: S) -> Body
    where
        S: Stream<Item = Input> + Send + 'static,
    {
        let Handing { takes_parcels, holds } = how;
        // A group's place is kept while those behind it are on their way.
        let groups = Groups { inputs: Box::pin(inputs.fuse()), long: None };
        let prepared = groups.map({
            let shared = Arc::clone(&self.shared);
            move |group| prepare_all(Arc::clone(&shared), mesh.clone(), takes_parcels, group)
        });
        let groups = prepared.buffered(UPLOADS_MAX).map({
            let shared = Arc::clone(&self.shared);
            move |group| Ok(shared.counted(group?))
        });
        *self.rest() = Rest::of(Box::pin(groups), holds);
        BodyExt::boxed_unsync(StreamBody::new(Feed::new(self.clone(), open)))
    }
}

impl Pumped {
    fn missing(&self) -> MutexGuard<'_, Missing> {
        self.missing.lock().expect("no thread panics while it holds this lock")
    }

    /// Those of a group that can go, each counted in its turn.
    fn counted(&self, group: Vec<Prepared>) -> Vec<Payload> {
        let mut missing = self.missing();
        let mut found = Vec::with_capacity(group.len());
        for input in group {
            match input {
                Ok(payload) => {
                    missing.found();
                    found.push(payload);
                }
                Err(reason) => missing.lost(reason),
            }
        }
        if !missing.untold.is_empty() {
            self.taker.wake();
        }
        found
    }
}

/// An input that can go, or why it can't be had.
type Prepared = Result<Payload, String>;

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
    match input {
        Input::Bytes(bytes) => bytes.len() <= INLINE_BYTES_MAX,
        Input::Parcel(parcel) => parcel.is_short(),
        Input::Missing { .. } => true,
        Input::File(_) | Input::Blob { .. } | Input::Part(_) => false,
    }
}

async fn prepare_all(
    shared: Arc<Pumped>,
    mesh: Mesh,
    takes_parcels: bool,
    inputs: Vec<Input>,
) -> Result<Vec<Prepared>, Error> {
    let count = u32::try_from(inputs.len()).unwrap_or(u32::MAX);
    let room = shared.ahead.acquire_many(count).await;
    room.expect("this semaphore is never closed").forget();
    let mut prepared = Vec::with_capacity(inputs.len());
    for input in inputs {
        prepared.push(match mesh.prepare_for(takes_parcels, input).await {
            Ok(payload) => Ok(payload),
            Err(error) if shared.is_strict => return Err(error),
            Err(error) => Err(error.of_an_input().ok_or(error)?),
        });
    }
    Ok(prepared)
}

/// Inputs as frames, none of them too long.
pub(crate) fn encode_inputs(inputs: Vec<Payload>) -> Result<Bytes, Error> {
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

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    #[tokio::test]
    async fn long_inputs_go_alone_and_in_their_place() {
        let lengths = [1, 2, INLINE_BYTES_MAX + 1, INLINE_BYTES_MAX + 2, 3];
        let inputs = stream::iter(lengths.map(|length| Input::from(vec![0; length])));
        let groups = Groups { inputs: Box::pin(inputs.fuse()), long: None };
        let groups: Vec<Vec<Input>> = groups.collect().await;
        let length = |input: &Input| match input {
            Input::Bytes(bytes) => bytes.len(),
            Input::File(_)
            | Input::Blob { .. }
            | Input::Part(_)
            | Input::Parcel(_)
            | Input::Missing { .. } => 0,
        };
        let seen: Vec<Vec<usize>> = groups.iter().map(|group| group.iter().map(length).collect()).collect();
        assert_eq!(seen, [vec![1, 2], vec![INLINE_BYTES_MAX + 1], vec![INLINE_BYTES_MAX + 2], vec![3]]);
    }

    #[test]
    fn a_job_is_cut_short_where_inputs_did_not_go_or_did_not_arrive() {
        let pump = Pump::default();
        (0..3).for_each(|_| pump.missing().found());
        assert!(pump.is_cut_short(3), "more may come");
        pump.set_finished(true);
        assert!(pump.is_cut_short(2) && !pump.is_cut_short(3));
        assert!(!Pump::finished().is_cut_short(7), "it had none to hand in");
    }

    #[test]
    fn tasks_know_their_inputs_however_many_are_missing() {
        let mut missing = Missing::default();
        for input in [true, false, false, true, true, false, true] {
            if input { missing.found() } else { missing.lost(String::from("gone")) }
        }
        let inputs: Vec<u32> = (0..4).map(|task| missing.input_of(task)).collect();
        assert_eq!(inputs, [0, 3, 4, 6]);
        let tasks: Vec<u32> = (0..8).map(|input| missing.tasks_before(input)).collect();
        assert_eq!(tasks, [0, 1, 1, 1, 2, 3, 3, 4]);
        let untold: Vec<u32> = missing.untold.iter().map(|result| result.index).collect();
        assert_eq!(untold, [1, 2, 5]);
        assert_eq!(missing.before.len(), 2, "a row of missing inputs is one entry");
    }
}
