//! Ends of tasks as bytes: what most tasks of a job have in common takes no byte for each of them. A no-op task is 20 bytes and not
//! 60, on each disk that keeps it and on the way there. Plain encoding; `record.rs` says which version has it.
//!
//! ```text
//!   workers, each once | number of ends | end | end | ..
//!   end: flags 1, index (its distance from the one behind the end before), then what the flags don't say:
//!        outcome | output | errors | files | wall, cpu, queue, in, out | compile, memory, fuel | worker | attempts | the rest
//! ```

use alloc::sync::Arc;
use alloc::vec::Vec;

use bincode::de::{Decode, Decoder};
use bincode::enc::{Encode, Encoder};
use bincode::error::{DecodeError, EncodeError};

use super::kept::Kept;
use crate::claim::claim_shared;
use crate::id::PeerId;
use crate::outcome::Outcome;
use crate::payload::Payload;
use crate::task::{Report, Usage};

/// It was done.
const DONE: u8 = 1;
/// It has no standard error and no files.
const ONLY_OUTPUT: u8 = 1 << 1;
/// Time to compile, memory and fuel are those of the end before; at first none.
const SAME_USAGE: u8 = 1 << 2;
/// A node ran it.
const HAS_WORKER: u8 = 1 << 3;
/// It took one attempt.
const ONE_ATTEMPT: u8 = 1 << 4;
/// It was computed for this task alone, by one node, without a receipt.
const PLAIN: u8 = 1 << 5;
const ALL: u8 = DONE | ONLY_OUTPUT | SAME_USAGE | HAS_WORKER | ONE_ATTEMPT | PLAIN;

/// What one end has in common with the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Before {
    /// One more than its index.
    index: u32,
    compile_us: u64,
    memory_bytes: u64,
    fuel: Option<u64>,
}

impl Before {
    fn of(index: u32, usage: &Usage) -> Self {
        let Usage { compile_us, memory_bytes, fuel, .. } = *usage;
        Self { index: index.wrapping_add(1), compile_us, memory_bytes, fuel }
    }

    fn has_usage_of(&self, usage: &Usage) -> bool {
        (self.compile_us, self.memory_bytes, self.fuel) == (usage.compile_us, usage.memory_bytes, usage.fuel)
    }
}

/// Ends that are written.
#[derive(Debug)]
pub(super) struct Packing<'a>(pub(super) &'a [Kept]);

impl Encode for Packing<'_> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        let workers = workers_of(self.0);
        workers.encode(encoder)?;
        self.0.len().encode(encoder)?;
        let mut before = Before::default();
        for kept in self.0 {
            encode_end(encoder, &workers, before, kept)?;
            before = Before::of(kept.index, &kept.report.usage);
        }
        Ok(())
    }
}

/// Each worker once, in the order in which they come first. A record is of one input mostly, so there are few.
fn workers_of(all: &[Kept]) -> Vec<PeerId> {
    let mut workers: Vec<PeerId> = Vec::new();
    let mut last = None;
    for worker in all.iter().filter_map(|kept| kept.worker) {
        if last != Some(worker) && !workers.contains(&worker) {
            workers.push(worker);
        }
        last = Some(worker);
    }
    workers
}

fn encode_end<E: Encoder>(
    encoder: &mut E,
    workers: &[PeerId],
    before: Before,
    kept: &Kept,
) -> Result<(), EncodeError> {
    let Kept { index, report, worker, attempts, memo, proof, verified } = kept;
    let Report { outcome, output, errors, files, usage } = &**report;
    let flags = flags_of(kept, before);
    let has = |flag| flags & flag != 0;
    flags.encode(encoder)?;
    index.wrapping_sub(before.index).encode(encoder)?;
    if !has(DONE) {
        outcome.encode(encoder)?;
    }
    output.encode(encoder)?;
    if !has(ONLY_OUTPUT) {
        (errors, files).encode(encoder)?;
    }
    (usage.wall_us, usage.cpu_us, usage.queue_us, usage.in_bytes, usage.out_bytes).encode(encoder)?;
    if !has(SAME_USAGE) {
        (usage.compile_us, usage.memory_bytes, usage.fuel).encode(encoder)?;
    }
    if let Some(worker) = worker {
        let number = workers.iter().position(|known| known == worker);
        number.ok_or(EncodeError::Other("a worker is missing in the list"))?.encode(encoder)?;
    }
    if !has(ONE_ATTEMPT) {
        attempts.encode(encoder)?;
    }
    if !has(PLAIN) {
        (memo, proof, verified).encode(encoder)?;
    }
    Ok(())
}

fn flags_of(kept: &Kept, before: Before) -> u8 {
    let Report { outcome, errors, files, usage, .. } = &*kept.report;
    let is_empty = |payload: &Payload| matches!(payload, Payload::Inline(bytes) if bytes.is_empty());
    [
        (DONE, matches!(outcome, Outcome::Done)),
        (ONLY_OUTPUT, is_empty(errors) && is_empty(files)),
        (SAME_USAGE, before.has_usage_of(usage)),
        (HAS_WORKER, kept.worker.is_some()),
        (ONE_ATTEMPT, kept.attempts == 1),
        (PLAIN, kept.memo.is_none() && kept.proof.is_none() && kept.verified.is_none()),
    ]
    .into_iter()
    .fold(0, |flags, (flag, is_set)| if is_set { flags | flag } else { flags })
}

/// Ends that were read.
#[derive(Debug)]
pub(super) struct Packed(pub(super) Vec<Kept>);

impl<C> Decode<C> for Packed {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let workers: Vec<PeerId> = Decode::decode(decoder)?;
        let count: usize = Decode::decode(decoder)?;
        decoder.claim_container_read::<Kept>(count)?;
        let mut all = Vec::with_capacity(count);
        let mut before = Before::default();
        for _ in 0..count {
            let kept = decode_end(decoder, &workers, before)?;
            before = Before::of(kept.index, &kept.report.usage);
            all.push(kept);
        }
        Ok(Self(all))
    }
}

fn decode_end<C, D: Decoder<Context = C>>(
    decoder: &mut D,
    workers: &[PeerId],
    before: Before,
) -> Result<Kept, DecodeError> {
    let flags = u8::decode(decoder)?;
    let has = |flag| flags & flag != 0;
    if flags & !ALL != 0 {
        return Err(DecodeError::Other("an end has a flag that is not known"));
    }
    let index = before.index.wrapping_add(Decode::decode(decoder)?);
    let report = decode_report(decoder, has, before)?;
    let worker = if has(HAS_WORKER) { Some(worker_of(decoder, workers)?) } else { None };
    let attempts = if has(ONE_ATTEMPT) { 1 } else { Decode::decode(decoder)? };
    let (memo, proof, verified) = if has(PLAIN) { Default::default() } else { Decode::decode(decoder)? };
    Ok(Kept { index, report: Arc::new(report), worker, attempts, memo, proof, verified })
}

fn decode_report<C, D: Decoder<Context = C>>(
    decoder: &mut D,
    has: impl Fn(u8) -> bool,
    before: Before,
) -> Result<Report, DecodeError> {
    claim_shared::<Report, D>(decoder)?;
    let outcome = if has(DONE) { Outcome::Done } else { Decode::decode(decoder)? };
    let output = Decode::decode(decoder)?;
    let (errors, files) =
        if has(ONLY_OUTPUT) { (Payload::empty(), Payload::empty()) } else { Decode::decode(decoder)? };
    let (wall_us, cpu_us, queue_us, in_bytes, out_bytes) = Decode::decode(decoder)?;
    let (compile_us, memory_bytes, fuel) = if has(SAME_USAGE) {
        (before.compile_us, before.memory_bytes, before.fuel)
    } else {
        Decode::decode(decoder)?
    };
    let usage = Usage { wall_us, cpu_us, compile_us, queue_us, memory_bytes, fuel, in_bytes, out_bytes };
    Ok(Report { outcome, output, errors, files, usage })
}

fn worker_of<C, D: Decoder<Context = C>>(decoder: &mut D, workers: &[PeerId]) -> Result<PeerId, DecodeError> {
    let number = usize::decode(decoder)?;
    workers.get(number).copied().ok_or(DecodeError::Other("an end names a worker that is not in the list"))
}

#[cfg(test)]
mod tests {
    use super::super::record::LogRecord;
    use super::super::unsound::Unsound;
    use super::*;
    use crate::id::BlobId;
    use crate::outcome::{Failure, Verified};
    use crate::receipt::Proof;
    use crate::task::Recalled;
    use alloc::string::String;
    use alloc::vec;

    fn usage(memory_bytes: u64, fuel: Option<u64>) -> Usage {
        Usage {
            wall_us: 9,
            cpu_us: 8,
            compile_us: 0,
            queue_us: 1_000,
            memory_bytes,
            fuel,
            in_bytes: 2,
            out_bytes: 3,
        }
    }

    fn plain(index: u32) -> Kept {
        let output = Payload::inline(&[7; 3]);
        let report = Report { output, usage: usage(65_536, None), ..Report::bare(Outcome::Done) };
        let worker = Some(PeerId([1; 32]));
        Kept { index, report: report.into(), worker, attempts: 1, memo: None, proof: None, verified: None }
    }

    /// Ends that differ from a plain one in all the ways that the flags tell.
    fn ends() -> Vec<Kept> {
        let blob = Payload::Blob { id: BlobId::of(b"x"), bytes: 70_000 };
        let failed = Outcome::Failed(Failure::Error(String::from("no")));
        let with = |index, report: Report| Kept { report: report.into(), ..plain(index) };
        let proof = Proof { index: 1, count: 2, path: vec![[9; 32]], signature: [8; 64] };
        let verified = Verified { agreed: vec![PeerId([1; 32])], differed: vec![PeerId([2; 32])] };
        vec![
            plain(3),
            plain(4),
            with(1, Report { files: blob.clone(), ..Report::bare(Outcome::Done) }),
            with(u32::MAX, Report { errors: blob.clone(), output: blob, ..Report::bare(failed) }),
            with(0, Report { usage: usage(1, Some(2)), ..Report::bare(Outcome::Done) }),
            with(5, Report { usage: usage(1, Some(2)), ..Report::bare(Outcome::Cancelled) }),
            Kept { worker: None, attempts: 0, ..plain(6) },
            Kept { worker: Some(PeerId([2; 32])), attempts: 300, ..plain(7) },
            Kept { memo: Some(Recalled::Told), ..plain(8) },
            Kept { proof: Some(proof.into()), ..plain(9) },
            Kept { verified: Some(verified), ..plain(10) },
        ]
    }

    #[test]
    fn ends_are_read_as_they_were_written_in_any_order() {
        let all = ends();
        for ends in [vec![], all.clone(), all.iter().rev().cloned().collect()] {
            let record = LogRecord::Outcomes(ends);
            assert_eq!(LogRecord::decode(&record.encode()), Ok(record));
        }
        for kept in all {
            let record = LogRecord::Outcomes(vec![kept]);
            assert_eq!(LogRecord::decode(&record.encode()), Ok(record));
        }
    }

    #[test]
    fn a_further_end_like_the_one_before_takes_few_bytes() {
        let len = |count| LogRecord::Outcomes((0..count).map(plain).collect()).encode().len();
        // Flags, index, tag and length of the output, its three bytes, five figures of which one takes three, the worker.
        assert_eq!(len(101) - len(100), 1 + 1 + 2 + 3 + 4 + 3 + 1);
    }

    #[test]
    fn what_is_cut_or_forged_is_refused() {
        let bytes = LogRecord::Outcomes(ends()).encode();
        for len in 0..bytes.len() {
            assert!(LogRecord::decode(bytes.get(..len).unwrap_or_default()).is_err(), "{len} bytes");
        }
        let none = LogRecord::Outcomes(Vec::new()).encode();
        let (version, _) = none.split_at(1);
        let end =
            [PLAIN | HAS_WORKER | DONE | ONLY_OUTPUT | ONE_ATTEMPT | SAME_USAGE, 0, 0, 0, 1, 1, 1, 1, 1, 0];
        let with = |middle: &[u8], end: &[u8]| [version, middle, end].concat();
        assert!(LogRecord::decode(&with(&[&[1], [5; 32].as_slice(), &[1]].concat(), &end)).is_ok());
        let mut unknown = end;
        unknown[0] |= 1 << 7;
        let forged = [
            ("a worker that is not listed", with(&[0, 1], &end)),
            ("an unknown flag", with(&[&[1], [5; 32].as_slice(), &[1]].concat(), &unknown)),
            ("2^62 ends", with(&[0, 253, 0, 0, 0, 0, 0, 0, 0, 64], &[])),
            ("2^62 workers", with(&[253, 0, 0, 0, 0, 0, 0, 0, 64], &[])),
        ];
        for (what, bytes) in forged {
            assert_eq!(LogRecord::decode(&bytes), Err(Unsound::Malformed), "{what}");
        }
    }
}
