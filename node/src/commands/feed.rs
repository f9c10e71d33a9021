//! The inputs of `weft map` on their way to the node: read no faster than they are taken, by a thread of their own, since
//! a read may block. Knows for each input under way what it is called, until its result comes.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::stream::{self, Stream};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use weft_client::Input;

use super::Problem;
use super::choice::Choice;
use super::plan::{Label, Plan, Planned};
use super::records::{Item, Items};
use crate::render::Total;

/// Most inputs handed over at once.
const BATCH_MAX: usize = 256;
/// Batches read ahead.
const BATCHES_MAX: usize = 4;

/// What the thread that reads inputs and the task that takes results share.
#[derive(Debug)]
pub(crate) struct Feed {
    /// Inputs that may still be given out; without it they are bounded by the node alone.
    window: Option<Semaphore>,
    /// Inputs that may still be on their way to a result.
    ahead: Option<Semaphore>,
    /// No further input is given out.
    stop: CancellationToken,
    given: AtomicU64,
    /// Inputs that were given out.
    taken: AtomicU64,
    bytes_read: AtomicU64,
    bytes_total: Option<u64>,
    /// How many there are, where they are counted before.
    exactly: Option<u64>,
    choice: Choice,
    /// Inputs whose outputs an earlier run made.
    kept: AtomicU64,
    /// All inputs were read.
    ended: AtomicBool,
    problem: Mutex<Option<Problem>>,
    /// What the inputs under way are called, by their places; an input that is missing here has the number of its place
    /// and no other name.
    labels: Mutex<BTreeMap<u32, Label>>,
}

/// Where inputs come from.
pub(crate) enum Source {
    /// One by one, from a file of this many bytes, if that is known.
    Stream(Items, Option<u64>),
    /// All at once, each planned and chosen; and how many others an earlier run made.
    Files(Vec<Planned>, u64),
}

/// How far inputs are given out ahead of results.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ahead {
    /// Most inputs that were not released by [`Feed::release`].
    pub(crate) window: Option<usize>,
    /// Most inputs without a result ([`Feed::came_home`]).
    pub(crate) open: Option<usize>,
}

/// Whole files as inputs; looks whether each is there, so that a wrong name costs no work.
pub(crate) fn files(paths: Vec<PathBuf>) -> Result<Vec<Item>, Problem> {
    let item = |(number, path): (usize, PathBuf)| {
        let unreadable = |source| Problem::File { action: "read", path: path.clone(), source };
        let about = std::fs::metadata(&path).map_err(unreadable)?;
        if about.is_dir() {
            return Err(unreadable(std::io::ErrorKind::IsADirectory.into()));
        }
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let line = Bytes::copy_from_slice(path.as_os_str().as_bytes());
        Ok(Item { number, line, input: Input::File(path), read_bytes: 0, has_next: true })
    };
    paths.into_iter().enumerate().map(item).collect()
}

impl Feed {
    /// Starts to read; inputs are given out as far ahead as they may be.
    pub(crate) fn start(
        source: Source,
        plan: Plan,
        choice: Choice,
        ahead: Ahead,
    ) -> (Arc<Self>, impl Stream<Item = Input> + use<>) {
        let (bytes_total, exactly, kept) = match &source {
            Source::Stream(_, bytes) => (*bytes, None, 0),
            Source::Files(files, kept) => (None, Some(files.len() as u64), *kept),
        };
        let feed = Arc::new(Self {
            window: ahead.window.map(Semaphore::new),
            ahead: ahead.open.map(Semaphore::new),
            stop: CancellationToken::new(),
            given: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            bytes_read: AtomicU64::new(0),
            bytes_total,
            exactly,
            choice,
            kept: AtomicU64::new(kept),
            ended: AtomicBool::new(false),
            problem: Mutex::new(None),
            labels: Mutex::default(),
        });
        let (sender, batches) = mpsc::channel(BATCHES_MAX);
        let reader =
            Reader { feed: Arc::clone(&feed), sender: sender.clone(), place: 0, batch: Vec::new(), bytes: 0 };
        // This thread is not waited for: a read of stdin may never end. It ends with its channel or its input.
        let problem = Arc::clone(&feed);
        std::thread::spawn(move || {
            // Inputs that end with a panic must not look like all of them, so the problem is noted before the end of
            // the channel is seen.
            let read = weft_net::caught_call("reading the inputs", || reader.run(source, plan));
            if let Err(panicked) = read {
                *problem.problem.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some(Problem::Failed(panicked.to_string()));
            }
            drop(sender);
        });
        let state = Taken { feed: Arc::clone(&feed), batches, batch: Vec::new().into_iter() };
        (feed, stream::unfold(state, Taken::next))
    }

    /// Lets `count` more inputs out.
    pub(crate) fn release(&self, count: usize) {
        if let Some(window) = &self.window {
            window.add_permits(count);
        }
    }

    /// Notes that a result came.
    pub(crate) fn came_home(&self) {
        if let Some(ahead) = &self.ahead {
            ahead.add_permits(1);
        }
    }

    /// Gives no further input out.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Whether every input was given out.
    pub(crate) fn is_over(&self) -> bool {
        let has_ended = self.ended.load(Ordering::Acquire);
        has_ended && self.taken.load(Ordering::Relaxed) == self.given.load(Ordering::Relaxed)
    }

    /// How many inputs there are, as far as that can be told.
    pub(crate) fn total(&self) -> Total {
        if self.stop.is_cancelled() {
            return Total::Exactly(self.taken.load(Ordering::Relaxed));
        }
        if let Some(exactly) = self.exactly {
            return Total::Exactly(exactly);
        }
        let given = self.given.load(Ordering::Relaxed);
        if self.ended.load(Ordering::Acquire) {
            return Total::Exactly(given);
        }
        match (self.bytes_total, self.bytes_read.load(Ordering::Relaxed)) {
            (Some(all), read) if read > 0 => {
                let about = u128::from(given) * u128::from(all) / u128::from(read);
                Total::About(self.choice.count_of(u64::try_from(about).unwrap_or(given)))
            }
            (Some(_) | None, _) => Total::Unknown,
        }
    }

    /// How many inputs were left out because an earlier run made their outputs.
    pub(crate) fn kept(&self) -> u64 {
        self.kept.load(Ordering::Relaxed)
    }

    /// What the input at that place is called; to be asked once, when its result is there.
    pub(crate) fn take_label(&self, place: u32) -> Label {
        self.labels().remove(&place).unwrap_or_else(|| Label::of(place))
    }

    /// Why the input ended early, if it did.
    pub(crate) fn take_problem(&self) -> Option<Problem> {
        self.problem.lock().expect("no thread panics while it holds this lock").take()
    }

    fn labels(&self) -> MutexGuard<'_, BTreeMap<u32, Label>> {
        self.labels.lock().expect("no thread panics while it holds this lock")
    }
}

/// The reading end.
struct Reader {
    feed: Arc<Feed>,
    sender: mpsc::Sender<Vec<Input>>,
    /// The place of the next input.
    place: u32,
    batch: Vec<Input>,
    /// Bytes that were read since the last batch.
    bytes: u64,
}

/// Whether inputs are still taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taker {
    Waits,
    Gone,
}

impl Reader {
    fn run(mut self, source: Source, plan: Plan) {
        let read = match source {
            Source::Stream(items, _) => self.stream(items, plan),
            Source::Files(files, _) => {
                // The files are counted and cleared for already.
                files.into_iter().try_for_each(|planned| match self.give(plan.tailored(planned), true) {
                    Taker::Waits => Ok(()),
                    Taker::Gone => Err(None),
                })
            }
        };
        self.hand_over();
        if let Err(Some(problem)) = read {
            *self.feed.problem.lock().expect("no thread panics while it holds this lock") = Some(problem);
        }
        self.feed.ended.store(true, Ordering::Release);
    }

    /// Reads to the end, or to the first problem; `None` when inputs are no longer taken.
    fn stream(&mut self, items: Items, mut plan: Plan) -> Result<(), Option<Problem>> {
        if self.feed.choice.shuf {
            return self.by_lot(items, plan);
        }
        let mut left = self.feed.choice.limit.unwrap_or(u64::MAX);
        for item in items {
            let item = item?;
            let has_next = item.has_next;
            self.bytes += item.read_bytes;
            let Some(mut planned) = self.planned(&mut plan, item)? else { continue };
            plan.clear(&mut planned)?;
            left -= 1;
            if self.give(plan.tailored(planned), has_next && left > 0) == Taker::Gone {
                return Err(None);
            }
            // Without a look at the next one, which may not be typed yet.
            if left == 0 {
                break;
            }
        }
        Ok(())
    }

    fn by_lot(&mut self, items: Items, mut plan: Plan) -> Result<(), Option<Problem>> {
        let choice = self.feed.choice;
        let all = items.filter_map(|item| item.and_then(|item| self.planned(&mut plan, item)).transpose());
        for mut planned in choice.draw(all)? {
            plan.clear(&mut planned)?;
            if self.give(plan.tailored(planned), true) == Taker::Gone {
                return Err(None);
            }
        }
        Ok(())
    }

    /// What becomes of an input; nothing if an earlier run made its output.
    fn planned(&self, plan: &mut Plan, item: Item) -> Result<Option<Planned>, Problem> {
        let mut planned = plan.of_item(item)?;
        plan.note(&planned)?;
        if let Some(reason) = plan.refusal(&planned) {
            planned.input = Input::Missing { reason };
            planned.label.out = None;
        }
        let is_done = plan.is_done(&mut planned);
        self.feed.kept.fetch_add(u64::from(is_done), Ordering::Relaxed);
        Ok((!is_done).then_some(planned))
    }

    /// Gives an input out, with those before it when it is time to. One that came alone is sent alone: the user who types it
    /// waits for its result.
    fn give(&mut self, (input, label): (Input, Label), has_next: bool) -> Taker {
        if label != Label::of(self.place) {
            self.feed.labels().insert(self.place, label);
        }
        self.place += 1;
        self.batch.push(input);
        if has_next && self.batch.len() < BATCH_MAX { Taker::Waits } else { self.hand_over() }
    }

    fn hand_over(&mut self) -> Taker {
        let batch = std::mem::take(&mut self.batch);
        let count = batch.len() as u64;
        let is_taken = batch.is_empty() || self.sender.blocking_send(batch).is_ok();
        self.feed.given.fetch_add(count, Ordering::Relaxed);
        self.feed.bytes_read.fetch_add(std::mem::take(&mut self.bytes), Ordering::Relaxed);
        if is_taken { Taker::Waits } else { Taker::Gone }
    }
}

/// The taking end.
struct Taken {
    feed: Arc<Feed>,
    batches: mpsc::Receiver<Vec<Input>>,
    batch: std::vec::IntoIter<Input>,
}

impl Taken {
    async fn next(mut self) -> Option<(Input, Self)> {
        let stop = self.feed.stop.clone();
        let input = tokio::select! {
            biased;
            () = stop.cancelled() => None,
            input = self.next_input() => input,
        }?;
        self.feed.taken.fetch_add(1, Ordering::Relaxed);
        Some((input, self))
    }

    async fn next_input(&mut self) -> Option<Input> {
        loop {
            if let Some(input) = self.batch.next() {
                for bound in [&self.feed.window, &self.feed.ahead].into_iter().flatten() {
                    bound.acquire().await.ok()?.forget();
                }
                return Some(input);
            }
            self.batch = self.batches.recv().await?.into_iter();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::records::{Ends, items_of};
    use super::*;
    use futures::{FutureExt as _, StreamExt as _};

    fn start(text: &'static [u8], choice: Choice, ahead: Ahead) -> (Arc<Feed>, impl Stream<Item = Input>) {
        let items = items_of("test".into(), Box::new(text), Ends::Line, None);
        Feed::start(Source::Stream(items, Some(text.len() as u64)), Plan::default(), choice, ahead)
    }

    fn texts(inputs: Vec<Input>) -> Vec<String> {
        let text = |input| match input {
            Input::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            other @ (Input::File(_)
            | Input::Blob { .. }
            | Input::Part(_)
            | Input::Parcel(_)
            | Input::Missing { .. }) => format!("{other:?}"),
        };
        inputs.into_iter().map(text).collect()
    }

    #[tokio::test]
    async fn every_line_is_given_out() {
        let (feed, inputs) = start(b"one\n\nthree", Choice::default(), Ahead::default());
        assert_eq!(texts(inputs.collect().await), ["one", "", "three"]);
        assert_eq!(feed.total(), Total::Exactly(3));
        assert!(feed.take_problem().is_none() && feed.labels().is_empty());
    }

    #[tokio::test]
    async fn no_line_no_input() {
        let (feed, inputs) = start(b"", Choice::default(), Ahead::default());
        assert!(inputs.collect::<Vec<_>>().await.is_empty());
        assert_eq!(feed.total(), Total::Exactly(0));
    }

    #[tokio::test]
    async fn a_limit_takes_the_first_and_a_lot_knows_their_numbers() {
        let (feed, inputs) = start(b"1\n2\n3\n", Choice { shuf: false, limit: Some(2) }, Ahead::default());
        assert_eq!(texts(inputs.collect().await), ["1", "2"]);
        assert_eq!(feed.total(), Total::Exactly(2));
        let (feed, inputs) = start(b"0\n1\n2\n3\n", Choice { shuf: true, limit: None }, Ahead::default());
        for (place, text) in texts(inputs.collect().await).iter().enumerate() {
            assert_eq!(feed.take_label(u32::try_from(place).unwrap()).number.to_string(), *text);
        }
    }

    #[tokio::test]
    async fn the_window_holds_inputs_back() {
        let (feed, inputs) = start(b"1\n2\n3\n", Choice::default(), Ahead { window: Some(2), open: None });
        let mut inputs = Box::pin(inputs);
        assert!(inputs.next().await.is_some());
        assert!(inputs.next().await.is_some());
        assert!(inputs.next().now_or_never().is_none());
        feed.release(1);
        assert_eq!(texts(vec![inputs.next().await.unwrap()]), ["3"]);
    }

    #[tokio::test]
    async fn few_inputs_are_ahead_of_results_and_none_comes_after_a_stop() {
        let (feed, inputs) = start(b"1\n2\n3\n4\n", Choice::default(), Ahead { window: None, open: Some(1) });
        let mut inputs = Box::pin(inputs);
        assert!(inputs.next().await.is_some());
        assert!(inputs.next().now_or_never().is_none());
        feed.came_home();
        assert_eq!(texts(vec![inputs.next().await.unwrap()]), ["2"]);
        assert!(!feed.is_over());
        feed.came_home();
        feed.stop();
        assert!(inputs.next().await.is_none());
        assert_eq!(feed.total(), Total::Exactly(2));
    }

    #[test]
    fn a_missing_file_is_refused_before_anything_runs() {
        let text = files(vec!["/nonexistent/x".into()]).unwrap_err().to_string();
        assert!(
            text.starts_with("cannot read /nonexistent/x: No such file") && text.ends_with("check the path"),
            "{text}"
        );
    }
}
