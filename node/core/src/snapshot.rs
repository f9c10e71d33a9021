//! A read-only view of an engine, for the API and for tests. Plain old data, made on request.

mod counters;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::id::{JobId, PeerId};
use crate::message::{Capacity, Class, Progress, Reason};
pub use crate::standing::{StandingView, Trust};
pub use crate::suspicion::{Cause, SuspicionView};
pub use counters::{Counter, Counters};

/// An engine as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// This node.
    pub me: PeerId,
    /// What it tells about itself.
    pub capacity: Capacity,
    /// Tasks handed to the slots and not paused.
    pub running: u32,
    /// Tasks paused for others of a higher class.
    pub paused: u32,
    /// Tasks held that wait for a slot or a blob.
    pub waiting: u32,
    /// Slots promised to owners by bids that still stand.
    pub reserved: u32,
    /// Outcomes that no owner acknowledged yet.
    pub undelivered: u32,
    /// Outcomes of own tasks that wait with their workers, because this node has no room for their blobs.
    pub starved: u32,
    /// Results of pure tasks that are remembered.
    pub known: u32,
    /// Why leases that ran out are held for a while, if they are.
    pub suspicion: Option<SuspicionView>,
    /// Known peers.
    pub peers: Vec<PeerView>,
    /// Own jobs, oldest first.
    pub jobs: Vec<JobView>,
    /// Counters since start.
    pub counters: Counters,
}

/// One peer as seen from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerView {
    /// Who.
    pub peer: PeerId,
    /// Whether it can be spoken to.
    pub connected: bool,
    /// For how long it has not been connected, in milliseconds, as of the last input; `None` while it is.
    pub gone_ms: Option<u64>,
    /// Round trip in microseconds; 0 while unknown.
    pub rtt_us: u32,
    /// What it told about itself.
    pub capacity: Capacity,
    /// Own tasks that it holds.
    pub leased: u32,
    /// Own tasks that it brought home.
    pub done: u64,
    /// Own tasks that were lost with it.
    pub lost: u64,
    /// Its window: how many of our short tasks it may have at once, those that it has included; 0 while it bids
    /// for each call alone.
    pub window: u32,
    /// Of these, how many more it takes now.
    pub room: u32,
    /// How far it is trusted with more.
    pub standing: StandingView,
}

/// One own job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobView {
    /// Its name.
    pub job: JobId,
    /// How urgent.
    pub class: Class,
    /// Whether more tasks may come.
    pub open: bool,
    /// Tasks in all so far.
    pub tasks: u32,
    /// Tasks that wait for a lease.
    pub queued: u32,
    /// Tasks that failed and wait for the time of their next attempt.
    pub delayed: u32,
    /// Tasks that are leased.
    pub leased: u32,
    /// Tasks that ended as done.
    pub done: u32,
    /// Tasks that ended otherwise.
    pub failed: u32,
    /// Tasks that were cancelled.
    pub cancelled: u32,
    /// Attempts beyond the first, of all tasks.
    pub retried: u32,
    /// Tasks for which nothing ran, because their result was known.
    pub recalled: u32,
    /// What one of its tasks takes by what was measured, in microseconds; 0 while unknown.
    pub service_us: u32,
    /// How its tasks find their workers.
    pub regime: Regime,
    /// More of its tasks ended otherwise than done than it allows, and those left were cancelled.
    pub given_up: bool,
    /// Tasks that wait for the job's parents to end.
    pub held: u32,
}

/// How tasks find their workers: it follows from what one takes, and from the round trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Regime {
    /// A task binds to whoever is free: the rule for long ones.
    LateBinding,
    /// Tasks are bound before a slot is free, to room that workers keep for them: short ones.
    BiddingAhead,
}

impl fmt::Display for Regime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LateBinding => "late binding",
            Self::BiddingAhead => "bidding ahead",
        })
    }
}

/// State of one task, and why it does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// Where the task is.
    pub state: TaskView,
    /// What is left of its job's deadline, if it has one and has not ended.
    pub deadline: Option<Deadline>,
    /// Per known peer (this node included), its last answer to the job's call.
    pub answers: Vec<Answer>,
    /// What else there is to say about it.
    pub notes: Vec<Note>,
}

/// Something that holds a task up, or that is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// It must be computed on several distinct nodes.
    Verifying {
        /// On how many.
        nodes: u32,
        /// How many answered.
        answered: u32,
        /// How many hold it now.
        held: u32,
        /// How many more nodes it waits for, none of which may be on a machine that has computed it already.
        wanted: u32,
        /// Machines with slots, by their addresses, that can be spoken to, this one included: each has one vote.
        machines: u32,
    },
    /// It was stopped where it ran, for tasks of a higher class beside which it could not be held, and began anew.
    Stopped {
        /// How often.
        times: u32,
    },
    /// It takes long, and somebody else is sought for a copy of it.
    CopySought,
    /// So many nodes beside the first run a copy of it.
    Copied {
        /// How many.
        copies: u32,
    },
    /// It needs several slots of one node together.
    Wide {
        /// How many.
        slots: u32,
        /// How many the largest known node has.
        largest: u32,
    },
    /// Leases that run out are held for a while, because this node suspects itself.
    Suspects(SuspicionView),
    /// It ended, and this node has no room for what it brought.
    NoRoom,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verifying { nodes, answered, held, wanted, machines } => {
                write!(f, "computed on {nodes} nodes: {answered} answered, {held} hold it")?;
                if *wanted > 0 {
                    write!(f, ", waits for {wanted} more on machines that did not compute it yet")?;
                }
                if machines < nodes {
                    let plural = if *machines == 1 { "" } else { "es" };
                    write!(
                        f,
                        "; nodes of one host address have one vote, and {machines} address{plural} can be asked"
                    )?;
                }
                Ok(())
            }
            Self::Wide { slots, largest } if largest < slots => {
                write!(f, "needs {slots} slots of one node, the largest known has {largest}")
            }
            Self::Wide { slots, .. } => write!(f, "needs {slots} slots of one node, free together"),
            Self::Stopped { times } => {
                let often = if *times == 1 { String::from("once") } else { alloc::format!("{times} times") };
                write!(
                    f,
                    "stopped {often} for tasks of a higher class: the node that ran it had no memory to hold it \
                     meanwhile (--memory, once for each slot)"
                )
            }
            Self::CopySought => f.write_str("takes long: a second node is sought for it"),
            Self::Copied { copies } => write!(f, "takes long: {copies} more run a copy of it"),
            Self::Suspects(view) => view.fmt(f),
            Self::NoRoom => f.write_str(
                "this node has no room for its output: its disk or its store is full; the worker keeps the output \
                 meanwhile, and `weft status` says what failed",
            ),
        }
    }
}

/// What is left of a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// It can be made, as far as anybody knows.
    Left {
        /// What is left, in milliseconds.
        ms: u32,
    },
    /// It is over, or nobody can make it: the task counts as one without.
    Missed,
}

/// Where a task is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskView {
    /// It waits for a lease; so many of its job wait before it.
    Queued {
        /// Tasks before it.
        before: u32,
    },
    /// Somebody holds it.
    Leased {
        /// Who.
        worker: PeerId,
        /// Which attempt.
        attempt: u32,
        /// Since when, in milliseconds ago.
        since_ms: u64,
        /// Whether it is paused for a task of a higher class, by the worker's last word.
        paused: bool,
        /// What the worker is at with it, by its last word.
        progress: Progress,
    },
    /// It ended somewhere and its output is on its way here.
    Fetching {
        /// From where.
        worker: PeerId,
    },
    /// It ended.
    Ended,
    /// It was cancelled.
    Cancelled,
    /// Its job may not start yet.
    NotBefore {
        /// It may in so many milliseconds.
        in_ms: u64,
    },
    /// It failed and waits for the time of its next attempt.
    Delayed {
        /// How often it failed.
        failures: u32,
        /// It is tried again in so many milliseconds.
        in_ms: u64,
    },
    /// Its time was over before it ended.
    Expired,
    /// Its job comes after others that have not all ended.
    After {
        /// The first eight of these at most, as the job names them.
        parents: Vec<ParentView>,
        /// How many there are in all.
        left: u32,
    },
}

/// A job that another one waits for, and how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParentView {
    /// Its name.
    pub job: JobId,
    /// Its tasks that have ended.
    pub ended: u32,
    /// Its tasks so far.
    pub tasks: u32,
    /// Whether more tasks may come, so that it can't end.
    pub open: bool,
    /// Whether it waits for parents itself.
    pub waits: bool,
}

impl fmt::Display for ParentView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { job, ended, tasks, open, waits } = self;
        write!(f, "job {job}: {ended} of {tasks} tasks have ended")?;
        if *open {
            f.write_str(", more may come")?;
        }
        if *waits {
            f.write_str(", it waits for others itself")?;
        }
        Ok(())
    }
}

/// A peer's last answer to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Who.
    pub peer: PeerId,
    /// What it said.
    pub said: Said,
    /// How long ago, in milliseconds.
    pub ago_ms: u64,
}

/// What a peer said to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It was asked and has not answered yet.
    Nothing,
    /// It offered this many slots.
    Bid(u32),
    /// It declined.
    Declined(Reason),
    /// It was not asked, because of what it tells about itself.
    NotAsked(Reason),
    /// It can't be spoken to now.
    Unreachable,
}
