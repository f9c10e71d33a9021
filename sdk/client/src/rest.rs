//! The inputs of a kept job that its node may not have yet. Where the way to the node breaks they go again, and those behind
//! them follow: from the input on that the node says it does not have, so that none goes twice and none is left out.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use hyper::body::Frame;

use crate::error::Error;
use crate::frames::{self, ClientFrame, Payload};
use crate::map::malformed;
use crate::pump::{CHUNK_MAX, Pump, encode_inputs};

/// Bytes of inputs that are held to go again; beyond it none is, and a break of the way to the node ends the job's inputs.
const HELD_BYTES_MAX: usize = 64 << 20;
/// What one of them counts besides its bytes.
const INPUT_BYTES: usize = 64;

/// The inputs of one job as they come, each group ready to go.
pub(crate) type Groups = Pin<Box<dyn Stream<Item = Result<Vec<Payload>, Error>> + Send>>;

/// What has to go, and what may have to go again.
#[derive(Default)]
pub(crate) struct Rest {
    /// Those that did not go yet; none once all have.
    groups: Option<Groups>,
    /// Whether those that went are held. Of a job in memory they are lost with its node.
    holds: bool,
    /// Those that went and may not be kept, from the task of this number on.
    first: u32,
    went: VecDeque<Payload>,
    bytes: usize,
    /// How often they began to go.
    turn: u32,
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rest")
            .field("first", &self.first)
            .field("went", &self.went.len())
            .finish_non_exhaustive()
    }
}

impl Rest {
    pub(crate) fn of(groups: Groups, holds: bool) -> Self {
        Self { groups: Some(groups), holds, ..Self::default() }
    }

    /// Whether inputs can go again.
    pub(crate) fn holds(&self) -> bool {
        self.holds
    }

    /// A group goes.
    fn goes(&mut self, group: &[Payload]) {
        if !self.holds {
            return;
        }
        self.bytes += group.iter().map(cost).sum::<usize>();
        self.went.extend(group.iter().cloned());
        if self.bytes > HELD_BYTES_MAX {
            (self.holds, self.bytes, self.went) = (false, 0, VecDeque::new());
        }
    }

    /// The first `tasks` of the job's inputs are kept, whatever becomes of its node.
    pub(crate) fn kept(&mut self, tasks: u32) {
        while self.first < tasks
            && let Some(input) = self.went.pop_front()
        {
            self.bytes -= cost(&input);
            self.first += 1;
        }
    }

    /// Those that go again where the node has the first `tasks`; `None` if it can't have as many, or as few.
    fn behind(&self, tasks: u32) -> Option<VecDeque<Payload>> {
        let there = usize::try_from(tasks.checked_sub(self.first)?).ok()?;
        (self.holds && there <= self.went.len()).then(|| self.went.iter().skip(there).cloned().collect())
    }
}

fn cost(input: &Payload) -> usize {
    INPUT_BYTES + input.inline_len()
}

/// The body that brings a job's inputs: what goes first, those that go again, the others, the closing frame. One that another
/// body took over from brings nothing more.
pub(crate) struct Feed {
    pump: Pump,
    turn: u32,
    opening: Option<Bytes>,
    again: VecDeque<Payload>,
    over: bool,
}

impl Feed {
    /// The body of a new job.
    pub(crate) fn new(pump: Pump, opening: Vec<u8>) -> Self {
        Self { pump, turn: 0, opening: Some(opening.into()), again: VecDeque::new(), over: false }
    }

    /// The body for a job that has the first `tasks` inputs; `None` if what it lacks is not here.
    pub(crate) fn again(pump: &Pump, tasks: u32) -> Option<Self> {
        let mut rest = pump.rest();
        let again = rest.behind(tasks)?;
        rest.turn += 1;
        let turn = rest.turn;
        drop(rest);
        pump.set_finished(false);
        Some(Self { pump: pump.clone(), turn, opening: None, again, over: false })
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        if let Some(opening) = self.opening.take() {
            return Poll::Ready(Some(Ok(opening)));
        }
        if !self.again.is_empty() {
            let count = self.again.len().min(CHUNK_MAX);
            return Poll::Ready(Some(encode_inputs(self.again.drain(..count).collect())));
        }
        let mut rest = self.pump.rest();
        while let Some(groups) = &mut rest.groups {
            match std::task::ready!(groups.as_mut().poll_next(cx)) {
                Some(Ok(group)) if group.is_empty() => {}
                Some(Ok(group)) => {
                    rest.goes(&group);
                    return Poll::Ready(Some(encode_inputs(group)));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => rest.groups = None,
            }
        }
        drop(rest);
        if std::mem::replace(&mut self.over, true) {
            return Poll::Ready(None);
        }
        let mut buffer = Vec::new();
        let closed = frames::encode(&ClientFrame::Close, &mut buffer).map_err(malformed);
        self.pump.set_finished(true);
        Poll::Ready(Some(closed.map(|()| buffer.into())))
    }
}

impl Stream for Feed {
    type Item = Result<Frame<Bytes>, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.pump.rest().turn != this.turn {
            let reason = String::from("the inputs go on over another connection");
            return Poll::Ready(Some(Err(Error::Broken { reason })));
        }
        let bytes = std::task::ready!(this.poll_bytes(cx));
        // The connection only learns that the body broke; why is kept for the results' side.
        let told = bytes.map(|bytes| bytes.map(Frame::data).map_err(|error| this.pump.broke(error)));
        Poll::Ready(told)
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt as _, stream};

    use super::*;

    fn input(number: u8) -> Payload {
        Payload::Inline([number].into())
    }

    /// A pump whose inputs are these groups.
    fn pump(groups: &[&[u8]], holds: bool) -> Pump {
        let groups: Vec<Result<Vec<Payload>, Error>> =
            groups.iter().map(|group| Ok(group.iter().copied().map(input).collect())).collect();
        let pump = Pump::default();
        *pump.rest() = Rest::of(Box::pin(stream::iter(groups)), holds);
        pump
    }

    /// What the next part of a body brings: inputs, or none for another frame.
    async fn next(feed: &mut Feed) -> Option<Vec<u8>> {
        let bytes = feed.next().await?.ok()?.into_data().ok()?;
        let mut splitter = frames::Splitter::default();
        splitter.push(&bytes);
        match splitter.next_frame::<ClientFrame>().ok()?? {
            ClientFrame::Inputs(inputs) => Some(
                inputs
                    .iter()
                    .map(|input| match input {
                        Payload::Inline(bytes) => bytes[0],
                        Payload::Blob { .. } => 0,
                    })
                    .collect(),
            ),
            ClientFrame::Close => Some(Vec::new()),
            ClientFrame::Open(_) => None,
        }
    }

    #[tokio::test]
    async fn inputs_go_on_from_what_the_node_has() {
        let pump = pump(&[&[0, 1], &[2, 3], &[4], &[5]], true);
        let mut first = Feed::new(pump.clone(), Vec::new());
        assert!(first.next().await.is_some(), "the opening frame");
        for group in [vec![0, 1], vec![2, 3], vec![4]] {
            assert_eq!(next(&mut first).await, Some(group));
        }
        pump.rest().kept(2);
        assert!(Feed::again(&pump, 1).is_none(), "the node said that it keeps two");
        assert!(Feed::again(&pump, 6).is_none(), "more than went");
        let mut second = Feed::again(&pump, 3).unwrap();
        // The broken connection may ask still.
        assert!(first.next().await.unwrap().is_err());
        assert_eq!(next(&mut second).await, Some(vec![3, 4]));
        assert_eq!(next(&mut second).await, Some(vec![5]));
        assert!(!pump.is_finished());
        assert_eq!(next(&mut second).await, Some(vec![]), "the closing frame");
        assert!(second.next().await.is_none() && pump.is_finished());
        // All went, and the node may have got none of the last ones.
        let mut third = Feed::again(&pump, 5).unwrap();
        assert!(!pump.is_finished());
        assert_eq!(next(&mut third).await, Some(vec![5]));
        assert_eq!(next(&mut third).await, Some(vec![]));
    }

    #[tokio::test]
    async fn what_is_held_is_bounded_and_of_a_job_in_memory_nothing_is() {
        let none = pump(&[&[0, 1]], false);
        let mut feed = Feed::new(none.clone(), Vec::new());
        for _opening_and_group in 0..2 {
            assert!(feed.next().await.is_some());
        }
        assert!(Feed::again(&none, 1).is_none());
        let mut rest = Rest { holds: true, ..Rest::default() };
        let long = Payload::Inline(vec![0; frames::INLINE_BYTES_MAX].into());
        let most = HELD_BYTES_MAX / cost(&long);
        for _ in 0..most {
            rest.goes(std::slice::from_ref(&long));
        }
        assert!(rest.holds() && rest.behind(0).is_some_and(|all| all.len() == most));
        rest.kept(1);
        rest.goes(std::slice::from_ref(&long));
        assert!(rest.holds());
        rest.goes(std::slice::from_ref(&long));
        assert!(!rest.holds() && rest.went.is_empty() && rest.behind(1).is_none());
    }
}
