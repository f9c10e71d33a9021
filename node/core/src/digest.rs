//! A digest of a report, for comparing what two nodes computed for one task: outcome, output and files as one value.
//! Standard error and a runtime's error text are left out, because they may differ between nodes. Plain data; the owner
//! compares digests.

use alloc::vec::Vec;

use crate::id::BlobId;
use crate::outcome::{Failure, Outcome, Trap};
use crate::task::Report;

/// A digest of a report. Equal digests are the same answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Digest {
    kind: Kind,
    hash: BlobId,
}

/// The kind of outcome, and so what the hash covers: digests of two kinds are never equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Done without files; the hash is the output's. This is the usual case, and needs no further hash.
    Plain,
    /// Done with files; the hash of this kind and all further ones covers outcome, output and files.
    Done,
    Failed,
    Trapped,
    LimitExceeded,
    Invalid,
    Cancelled,
    Lost,
    Expired,
    ParentFailed,
    NoRoom,
}

impl Digest {
    /// The digest in eight bytes, which is what an ended task keeps. Only a counter, and whether a late answer is
    /// examined again, depend on it. Even, and never 0: the table of ended tasks uses these values otherwise.
    pub(crate) fn short(self) -> u64 {
        let Self { kind, hash } = self;
        let (first, _) = hash.0.split_first_chunk::<8>().expect("an id has 32 bytes");
        ((u64::from_le_bytes(*first) ^ u64::from(kind as u8) << 1) & !1).max(2)
    }
}

impl Report {
    /// Its digest, for comparing it with another report of the same task.
    pub(crate) fn digest(&self) -> Digest {
        let kind = kind_of(&self.outcome);
        if kind == Kind::Done && self.files.bytes_len() == 0 {
            return Digest { kind: Kind::Plain, hash: self.output.id() };
        }
        let (text, code) = words_of(&self.outcome);
        let mut bytes = Vec::with_capacity(128);
        bytes.extend(code.to_le_bytes());
        bytes.extend(self.output.id().0);
        bytes.extend(self.files.id().0);
        bytes.extend(text.as_bytes());
        Digest { kind, hash: BlobId::of(&bytes) }
    }
}

fn kind_of(outcome: &Outcome) -> Kind {
    match outcome {
        Outcome::Done => Kind::Done,
        Outcome::Failed(_) => Kind::Failed,
        Outcome::Trapped(_) => Kind::Trapped,
        Outcome::LimitExceeded(_) => Kind::LimitExceeded,
        Outcome::Invalid(_) => Kind::Invalid,
        Outcome::Cancelled => Kind::Cancelled,
        Outcome::Lost(_) => Kind::Lost,
        Outcome::Expired(_) => Kind::Expired,
        Outcome::ParentFailed { job: _ } => Kind::ParentFailed,
        Outcome::NoRoom(_) => Kind::NoRoom,
    }
}

/// The part of an outcome's text and number that depends on the task and not on the node.
fn words_of(outcome: &Outcome) -> (&str, i32) {
    match outcome {
        Outcome::Failed(Failure::Exit(code)) => ("", *code),
        Outcome::Failed(Failure::Error(text)) => (text, 0),
        Outcome::Trapped(trap) => ("", trap_kind(trap)),
        Outcome::Done
        | Outcome::LimitExceeded(_)
        | Outcome::Invalid(_)
        | Outcome::Cancelled
        | Outcome::Lost(_)
        | Outcome::NoRoom(_)
        | Outcome::Expired(_)
        | Outcome::ParentFailed { job: _ } => ("", 0),
    }
}

fn trap_kind(trap: &Trap) -> i32 {
    match trap {
        Trap::Unreachable => 0,
        Trap::MemoryOutOfBounds => 1,
        Trap::BadTable => 2,
        Trap::StackOverflow => 3,
        Trap::Arithmetic => 4,
        Trap::Abi(_) => 5,
        Trap::Other(_) => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Payload;

    #[test]
    fn an_answer_is_its_outcome_output_and_files() {
        let done = || Report { output: Payload::inline(b"x"), ..Report::bare(Outcome::Done) };
        let named = Report { output: Payload::Blob { id: BlobId::of(b"x"), bytes: 1 }, ..done() };
        let noisy = Report { errors: Payload::inline(b"warning"), ..done() };
        let left = Report { files: Payload::inline(b"tar"), ..done() };
        let failed = |code| Report { outcome: Outcome::Failed(Failure::Exit(code)), ..done() };
        assert_eq!(done().digest(), named.digest());
        assert_eq!(done().digest(), noisy.digest());
        assert_ne!(done().digest(), left.digest());
        assert_ne!(done().digest(), failed(1).digest());
        assert_ne!(failed(2).digest(), failed(1).digest());
        assert_ne!(failed(2).digest().short(), done().digest().short());
    }

    #[test]
    fn an_output_that_spells_another_answer_is_not_that_answer() {
        let failed = Report::bare(Outcome::Failed(Failure::Exit(1)));
        let mut spelt = Vec::new();
        spelt.extend(1i32.to_le_bytes());
        spelt.extend(failed.output.id().0);
        spelt.extend(failed.files.id().0);
        let liar = Report { output: Payload::inline(&spelt), ..Report::bare(Outcome::Done) };
        assert_eq!(liar.digest().hash, failed.digest().hash, "the hash is the same, the kind is not");
        assert_ne!(liar.digest(), failed.digest());
    }
}
