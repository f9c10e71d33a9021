//! The records of one job's log, and their bytes. A record begins with the version that brought its form; one of a version
//! that is newer than this program, or too old, is refused and never guessed at.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::given::{GivenTasks, TaskRange};
use super::kept::{KEPT_BYTES, Kept};
use super::packed::{Packed, Packing};
use super::unsound::{LOG_VERSION, LOG_VERSION_OLDEST, Unsound};
use crate::codec::{decode_versioned, encode_versioned};
use crate::custody::trio::{Keepers, Seat};
use crate::id::{BlobId, JobId, PeerId};
use crate::submission::{Join, Submission};
use crate::task::{Outcome, Payload, Report};
use crate::time::Time;

/// Longest record, in bytes. What is longer is told in several.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
/// Most tasks that one record names.
pub const RECORD_TASKS_MAX: usize = 65_536;
/// Longest reason in a record, in bytes; a longer one makes the record malformed.
pub const REASON_BYTES_MAX: usize = 1024;
/// The version from which on outcomes are packed; no other kind has it.
const OUTCOMES_VERSION: u8 = 5;
/// The version from which on jobs take results of others.
const RESULTS_VERSION: u8 = 6;
/// The version that brought jobs which gather the results of others.
const GATHER_VERSION: u8 = 8;
/// The version from which on the end of a job says when it was.
const ENDED_VERSION: u8 = 7;
/// The end of a job as programs before that wrote it: its version and the kind's number.
const ENDED_BEFORE: &[u8] = &[2, 9];
/// Memory that decoding one record may claim, in bytes: a record of the shortest inputs claims much more than it is long.
const CLAIM_MAX: usize = 16 << 20;
/// The same for an input.
const INPUT_BYTES: usize = 48;
/// A record is ended when its parts count this much; with one part more it is within [`RECORD_BYTES_MAX`].
pub(crate) const RECORD_BYTES_SOFT: usize = 512 << 10;

/// One record of a job's log.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum LogRecord {
    /// The job as it was submitted: the first record of its log.
    Accepted(Box<Accepted>),
    /// More inputs: of the submission, where they are too many for one record, or of tasks that came later.
    Extended {
        /// The inputs, in order. Those of a job that takes results of others are empty, and say only that there are more tasks.
        inputs: Vec<Payload>,
    },
    /// It gets no more tasks.
    Closed,
    /// Tasks that ended for good, each with all that is told of it.
    Outcomes(Vec<Kept>),
    /// Tasks that ended with their job.
    Rest(Rest),
    /// A job that it comes after has ended.
    ParentEnded(ParentEnd),
    /// Its user cancelled it: whatever of it has not ended will not be tried again.
    Cancelled,
    /// More of its tasks failed than it allows: the same.
    GivenUp {
        /// Tasks that had ended otherwise than done.
        failed: u32,
    },
    /// Its owner restarted. Attempts begin under this epoch from here on.
    Restarted {
        /// One more than the one before.
        epoch: u32,
        /// When.
        at: Time,
    },
    /// All of it ended; only `Retried` may follow.
    Ended {
        /// When, by the clock of the node that led it; [`Time::ZERO`] in a log of an older program, which did not note it.
        at: Time,
    },
    /// Its user wants its tasks that ended otherwise than done tried again. Its times count from here.
    Retried {
        /// One more than the one before.
        epoch: u32,
        /// When.
        at: Time,
    },
    /// A member of its trio leads it from here on: the first record of each epoch of a job at level `mesh` but the first.
    /// Attempts begin under this epoch from here on.
    Led {
        /// Higher than all before; its remainder by three is the seat that leads.
        epoch: u32,
        /// When, by that node's clock.
        at: Time,
    },
    /// Another node, or another disk of the same one, sits on a seat of its trio.
    Replaced {
        /// The seat, 0 to 2.
        seat: u8,
        /// Who sits there from here on.
        by: Seat,
    },
    /// Tasks that came later were not taken, and the job goes on without them; before the record that closes it.
    NotTaken(NotTaken),
    /// Workers that were given tasks of it; which tasks is not said. Older programs wrote it: in a later epoch these workers are
    /// asked what they hold, and are believed about none of it.
    Given {
        /// The workers.
        workers: Vec<PeerId>,
    },
    /// Workers that were given tasks of it, and which: in a later epoch they are asked what they hold, and believed about these
    /// tasks alone.
    Leased {
        /// What each was given since the record before.
        all: Vec<GivenTasks>,
    },
    /// Of a job that takes results of others: inputs of tasks that had none, by their places in the job.
    Resolved {
        /// The inputs.
        inputs: Vec<(u32, Payload)>,
    },
}

/// A job as it was accepted.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Accepted {
    /// The submission, with as many of its inputs as this record holds.
    pub spec: Submission,
    /// Tasks of the submission. The job was accepted if the log has inputs for all of them.
    pub tasks: u32,
    /// When it was submitted; its times count from here.
    pub at: Time,
    /// Those of the jobs that it comes after which had ended by then.
    pub parents: Vec<ParentEnd>,
    /// The nodes that keep it.
    pub keepers: Keepers,
}

/// How a job ended that another comes after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct ParentEnd {
    /// The job.
    pub parent: JobId,
    /// Whether all of its tasks were done.
    pub succeeded: bool,
}

/// That a job has fewer tasks than it was to have.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct NotTaken {
    /// Tasks that were not taken.
    pub tasks: u32,
    /// Why, for people; at most [`REASON_BYTES_MAX`] long.
    pub why: String,
}

/// Tasks that ended alike, with their job.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Rest {
    /// How all of them ended.
    pub outcome: Outcome,
    /// The tasks, in rising order.
    pub tasks: Vec<RestTask>,
}

/// A task of a [`Rest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct RestTask {
    /// The task's place in the job.
    pub index: u32,
    /// Number of attempts in the life in which it ended.
    pub attempts: u32,
}

impl LogRecord {
    /// The version that brought this form of it, with which its bytes begin: a program that is older says that the record is newer, and
    /// reads all others. That of a job with a copy is a kind of its own.
    fn since(&self) -> u8 {
        match self {
            Self::Ended { .. } => ENDED_VERSION,
            Self::Resolved { .. } => RESULTS_VERSION,
            Self::Accepted(accepted) if accepted.spec.join == Join::Gather => GATHER_VERSION,
            Self::Accepted(accepted) if accepted.spec.join.takes_results() => RESULTS_VERSION,
            Self::Outcomes(_) => OUTCOMES_VERSION,
            Self::Leased { .. } => 4,
            Self::Accepted(accepted) if accepted.keepers.pair().is_some() => 4,
            Self::Given { .. } => 3,
            Self::Accepted(_)
            | Self::Extended { .. }
            | Self::Closed
            | Self::Rest(_)
            | Self::ParentEnded(_)
            | Self::Cancelled
            | Self::GivenUp { .. }
            | Self::Restarted { .. }
            | Self::Retried { .. }
            | Self::Led { .. }
            | Self::Replaced { .. }
            | Self::NotTaken(_) => 2,
        }
    }

    /// What its parts take in memory beyond their own bytes, about: many short ones take much more than they are long.
    pub(crate) fn parts_bytes(&self) -> usize {
        let ends = match self.ends() {
            Ends::Outcomes(all) => all.len().saturating_mul(KEPT_BYTES),
            Ends::Rest(rest) => rest.tasks.len().saturating_mul(size_of::<RestTask>()),
            Ends::None => 0,
        };
        let given = if let Self::Leased { all } = self { all.as_slice() } else { &[] };
        let ranges: usize = given.iter().map(|of| of.ranges.len()).sum();
        let resolved = if let Self::Resolved { inputs } = self { inputs.len() } else { 0 };
        let inputs = self.inputs().len().saturating_add(resolved).saturating_add(given.len());
        let inputs = inputs.saturating_mul(INPUT_BYTES);
        inputs.saturating_add(ends).saturating_add(ranges.saturating_mul(size_of::<TaskRange>()))
    }

    /// The record as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        if let Self::Outcomes(all) = self {
            return encode_versioned(self.since(), &Packing(all));
        }
        encode_versioned(self.since(), self)
    }

    /// The record of bytes from a disk, or of a peer.
    ///
    /// # Errors
    /// When it is of another version, or malformed, or has a tail.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unsound> {
        let version = bytes.first().copied().ok_or(Unsound::Malformed)?;
        let record = match version {
            OUTCOMES_VERSION => {
                decode_versioned::<Packed, CLAIM_MAX>(version, bytes).map(|all| Self::Outcomes(all.0))
            }
            _ if bytes == ENDED_BEFORE => Some(Self::Ended { at: Time::ZERO }),
            LOG_VERSION_OLDEST..=LOG_VERSION => decode_versioned::<Self, CLAIM_MAX>(version, bytes),
            found => return Err(Unsound::Version { found }),
        };
        record.ok_or(Unsound::Malformed)
    }

    /// The blobs that it names, some perhaps more than once: module, files and inputs, or outputs. A driver keeps them for as
    /// long as the log.
    pub fn blobs(&self) -> impl Iterator<Item = BlobId> + '_ {
        let accepted = if let Self::Accepted(accepted) = self { Some(accepted) } else { None };
        let program = accepted.map(|accepted| &accepted.spec.program);
        let program = program.into_iter().flat_map(|program| [Some(program.module), program.files.blob()]);
        let resolved = if let Self::Resolved { inputs } = self { inputs.as_slice() } else { &[] };
        let resolved = resolved.iter().map(|(_, input)| input.blob());
        let inputs = self.inputs().iter().map(Payload::blob).chain(resolved);
        let outcomes = if let Ends::Outcomes(all) = self.ends() { all } else { &[] };
        let outputs = outcomes.iter().flat_map(|kept| kept.report.blobs());
        program.chain(inputs).flatten().chain(outputs)
    }

    /// The inputs that it adds to its job, in order.
    #[must_use]
    pub fn inputs(&self) -> &[Payload] {
        match self {
            Self::Accepted(accepted) => &accepted.spec.inputs,
            Self::Extended { inputs } => inputs,
            Self::Closed
            | Self::Outcomes(_)
            | Self::Rest(_)
            | Self::ParentEnded(_)
            | Self::Cancelled
            | Self::GivenUp { .. }
            | Self::Restarted { .. }
            | Self::Ended { .. }
            | Self::Retried { .. }
            | Self::Led { .. }
            | Self::Replaced { .. }
            | Self::NotTaken(_)
            | Self::Given { .. }
            | Self::Leased { .. }
            | Self::Resolved { .. } => &[],
        }
    }

    /// The ends of tasks that it tells.
    #[must_use]
    pub fn ends(&self) -> Ends<'_> {
        match self {
            Self::Outcomes(all) => Ends::Outcomes(all),
            Self::Rest(rest) => Ends::Rest(rest),
            Self::Accepted(_)
            | Self::Extended { .. }
            | Self::Closed
            | Self::ParentEnded(_)
            | Self::Cancelled
            | Self::GivenUp { .. }
            | Self::Restarted { .. }
            | Self::Ended { .. }
            | Self::Retried { .. }
            | Self::Led { .. }
            | Self::Replaced { .. }
            | Self::NotTaken(_)
            | Self::Given { .. }
            | Self::Leased { .. }
            | Self::Resolved { .. } => Ends::None,
        }
    }
}

/// The ends of tasks that one record tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends<'a> {
    /// It tells none.
    None,
    /// Tasks with outcomes of their own.
    Outcomes(&'a [Kept]),
    /// Tasks that ended alike.
    Rest(&'a Rest),
}

impl<'a> Ends<'a> {
    /// How many.
    #[must_use]
    pub fn count(self) -> usize {
        match self {
            Self::None => 0,
            Self::Outcomes(all) => all.len(),
            Self::Rest(rest) => rest.tasks.len(),
        }
    }

    /// Each end with all that is told of it, in the record's order.
    pub fn kept(self) -> impl Iterator<Item = Kept> + 'a {
        let (outcomes, rest) = match self {
            Self::None => (None, None),
            Self::Outcomes(all) => (Some(all), None),
            Self::Rest(rest) => (None, Some(rest)),
        };
        let outcomes = outcomes.into_iter().flatten().cloned();
        outcomes.chain(rest.into_iter().flat_map(Rest::kept))
    }
}

impl Rest {
    fn kept(&self) -> impl Iterator<Item = Kept> + '_ {
        self.tasks.iter().map(|task| Kept {
            index: task.index,
            report: Arc::new(Report::bare(self.outcome.clone())),
            worker: None,
            attempts: task.attempts,
            memo: None,
            proof: None,
            verified: None,
        })
    }
}

/// What an input counts in a record, in bytes.
pub(crate) fn input_cost(input: &Payload) -> usize {
    usize::try_from(input.inline_len()).unwrap_or(usize::MAX).saturating_add(INPUT_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Failure;

    fn failed(index: u32) -> Kept {
        let outcome = Outcome::Failed(Failure::Error("no".into()));
        let report = Report { output: Payload::inline(&[9]), ..Report::bare(outcome) };
        let worker = Some(PeerId([7; 32]));
        Kept { index, report: report.into(), worker, attempts: 3, memo: None, proof: None, verified: None }
    }

    #[test]
    fn outcomes_are_told_as_they_were_recorded() {
        let record = LogRecord::Outcomes(alloc::vec![failed(4), failed(2)]);
        assert_eq!(record.ends().count(), 2);
        assert_eq!(record.ends().kept().collect::<Vec<_>>(), [failed(4), failed(2)]);
    }

    #[test]
    fn tasks_that_ended_with_their_job_are_told_one_by_one() {
        let tasks = [(1, 0), (6, 2)].map(|(index, attempts)| RestTask { index, attempts });
        let record = LogRecord::Rest(Rest { outcome: Outcome::Cancelled, tasks: tasks.to_vec() });
        let cancelled = |index, attempts| Kept {
            report: Report::bare(Outcome::Cancelled).into(),
            worker: None,
            attempts,
            ..failed(index)
        };
        assert_eq!(record.ends().count(), 2);
        assert_eq!(record.ends().kept().collect::<Vec<_>>(), [cancelled(1, 0), cancelled(6, 2)]);
    }

    #[test]
    fn other_records_tell_no_end_and_only_extensions_add_inputs() {
        let inputs = alloc::vec![Payload::inline(&[1]), Payload::inline(&[2])];
        let extended = LogRecord::Extended { inputs: inputs.clone() };
        assert_eq!((extended.ends().count(), extended.inputs()), (0, inputs.as_slice()));
        for record in [LogRecord::Closed, LogRecord::Cancelled, LogRecord::Ended { at: Time(9) }] {
            assert_eq!((record.ends(), record.inputs()), (Ends::None, [].as_slice()));
        }
    }
}
