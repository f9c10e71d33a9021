//! How a job's tasks find their workers: the strategy, and what is known of the way there. [`choose`] is the one place
//! where the strategy is decided.
//!
//! The open call is shared by all strategies and outlives a change between them, so it is a field and no strategy's
//! own.

use core::cmp::Reverse;

use super::open_call::OpenCall;
use super::responses::Responses;
use crate::id::{JobId, PeerId};
use crate::membership::Membership;
use crate::message::{Class, Reason};
use crate::owner::job::Job;
use crate::owner::replicas::Replicas;
use crate::reputation::Reputations;
use crate::snapshot::{Regime, Response};
use crate::time::Time;

/// The place of a short job among those that wait for credit: most urgent class first, then oldest.
pub(in crate::owner) type Rank = (Reverse<Class>, u64, JobId);

/// How tasks find their workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::owner) enum Strategy {
    /// A call, bids, and awards to the bids that promise the earliest start: the rule for long tasks.
    Bidding,
    /// Tasks are sent on credit that workers granted: short ones.
    Credit(Overflow),
    /// Matchmakers are asked for bids: the mesh is too large to be called.
    Matchmaking,
}

/// What a job calls for whose tasks go on credit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::owner) enum Overflow {
    /// It does not call: there is credit.
    #[default]
    None,
    /// It asks workers that granted no credit for some.
    AskForCredit,
    /// It found no credit for a while and calls for bids like a long one.
    CallForBids,
}

/// Which strategy suits a job now; a short one's overflow is decided later, when it finds no credit.
pub(in crate::owner) fn choose(job: &Job, members: &Membership) -> Strategy {
    if members.cells().on() {
        Strategy::Matchmaking
    } else if job.is_short() {
        Strategy::Credit(Overflow::None)
    } else {
        Strategy::Bidding
    }
}

/// What is known of a job's way to its workers.
#[derive(Debug)]
pub(in crate::owner) struct Dispatch {
    /// The job whose way it is.
    pub(in crate::owner) job: JobId,
    pub(in crate::owner) strategy: Strategy,
    pub(in crate::owner) call: Option<OpenCall>,
    /// The last response of each peer to its calls.
    pub(in crate::owner) responses: Responses,
    /// Workers that gave tasks of this job up: what one lacks for them it may not lack for another job's.
    pub(in crate::owner) reputation: Reputations,
    /// When the job came, or a task of it was sent on credit last.
    pub(in crate::owner) prefilled_at: Time,
}

impl Dispatch {
    pub(in crate::owner) fn new(job: JobId, now: Time) -> Self {
        Self {
            job,
            strategy: Strategy::Credit(Overflow::None),
            call: None,
            responses: Responses::default(),
            reputation: Reputations::default(),
            prefilled_at: now,
        }
    }

    /// What a job on credit calls for; nothing if it is not on credit.
    pub(in crate::owner) fn overflow(&self) -> Overflow {
        match self.strategy {
            Strategy::Credit(overflow) => overflow,
            Strategy::Bidding | Strategy::Matchmaking => Overflow::None,
        }
    }

    /// Its open call; only asked where there is one.
    pub(in crate::owner) fn open_call(&mut self) -> &mut OpenCall {
        self.call.as_mut().expect("the call was opened before")
    }

    /// Those that were asked are to be asked again.
    pub(in crate::owner) fn ask_anew(&mut self) {
        if let Some(call) = &mut self.call {
            call.asked.clear();
        }
    }

    pub(in crate::owner) fn respond(&mut self, peer: PeerId, now: Time, response: Response) {
        self.responses.set(peer, now, response);
    }

    /// A peer was not asked, for that reason.
    pub(in crate::owner) fn not_asked(&mut self, peer: PeerId, now: Time, reason: Reason) {
        self.respond(peer, now, Response::NotAsked(reason));
    }

    /// Whether tasks are requested by calls and bids, this node's own worker among those called: what is short is sent
    /// on credit without a call, but for what found none and for replicas.
    pub(in crate::owner) fn wants_bids(&self, job: &Job, replicas: &Replicas) -> bool {
        match self.strategy {
            Strategy::Bidding | Strategy::Matchmaking | Strategy::Credit(Overflow::CallForBids) => true,
            Strategy::Credit(Overflow::None | Overflow::AskForCredit) => {
                !job.is_short() || replicas.any_wanted()
            }
        }
    }

    /// The strategy in a word for people.
    pub(in crate::owner) fn regime(&self, job: &Job) -> Regime {
        if job.is_short() && self.strategy != Strategy::Matchmaking {
            Regime::OnCredit
        } else {
            Regime::LateBinding
        }
    }

    /// The job has ended.
    pub(in crate::owner) fn forget(&mut self) {
        self.responses = Responses::default();
        self.reputation = Reputations::default();
    }
}

pub(in crate::owner) fn rank(job: &Job) -> Rank {
    (Reverse(job.spec.class), job.number, job.spec.job)
}
