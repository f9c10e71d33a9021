//! Ends of tasks as bytes: what most tasks of a job have in common takes no byte for each of them. A no-op task is 12 to 20 bytes, on
//! each disk that keeps it and on the way there; in the form before it was about 60. Plain encoding; `record.rs` says which version
//! has it.
//!
//! ```text
//!   workers, each once, in the order in which ends name them | number of ends | end | end | ..
//!   end: flags 1, index (its distance from the one behind the end before, signed), then what the flags don't say:
//!        outcome | output | errors | files | wall, cpu, queue, in, out | compile, memory, fuel | worker | attempts | the rest
//! ```

use alloc::collections::BTreeMap;
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
        let workers = Workers::of(self.0);
        workers.list.encode(encoder)?;
        self.0.len().encode(encoder)?;
        let mut before = Before::default();
        for kept in self.0 {
            encode_end(encoder, &workers, before, kept)?;
            before = Before::of(kept.index, &kept.report.usage);
        }
        Ok(())
    }
}

/// Each worker once, in the order in which they come first, and its number.
#[derive(Debug, Default)]
struct Workers {
    list: Vec<PeerId>,
    numbers: BTreeMap<PeerId, usize>,
}

impl Workers {
    fn of(all: &[Kept]) -> Self {
        let mut workers = Self::default();
        let mut last = None;
        for worker in all.iter().filter_map(|kept| kept.worker) {
            // Ends of one worker come in rows.
            if last != Some(worker) && !workers.numbers.contains_key(&worker) {
                workers.numbers.insert(worker, workers.list.len());
                workers.list.push(worker);
            }
            last = Some(worker);
        }
        workers
    }

    fn number(&self, worker: PeerId) -> Result<usize, EncodeError> {
        // Most records have ends of one worker.
        if self.list.first() == Some(&worker) {
            return Ok(0);
        }
        self.numbers.get(&worker).copied().ok_or(EncodeError::Other("a worker is missing in the list"))
    }
}

fn encode_end<E: Encoder>(
    encoder: &mut E,
    workers: &Workers,
    before: Before,
    kept: &Kept,
) -> Result<(), EncodeError> {
    let Kept { index, report, worker, attempts, memo, proof, verified } = kept;
    let Report { outcome, output, errors, files, usage } = &**report;
    let flags = flags_of(kept, before);
    let has = |flag| flags & flag != 0;
    flags.encode(encoder)?;
    index.wrapping_sub(before.index).cast_signed().encode(encoder)?;
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
        workers.number(*worker)?.encode(encoder)?;
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
        let mut named = Named { workers: &workers, named: 0 };
        for _ in 0..count {
            let kept = decode_end(decoder, &mut named, before)?;
            before = Before::of(kept.index, &kept.report.usage);
            all.push(kept);
        }
        named.end()?;
        Ok(Self(all))
    }
}

fn decode_end<C, D: Decoder<Context = C>>(
    decoder: &mut D,
    workers: &mut Named<'_>,
    before: Before,
) -> Result<Kept, DecodeError> {
    let flags = u8::decode(decoder)?;
    let has = |flag| flags & flag != 0;
    if flags & !ALL != 0 {
        return Err(DecodeError::Other("an end has a flag that is not known"));
    }
    let index = before.index.wrapping_add(i32::decode(decoder)?.cast_unsigned());
    let report = decode_report(decoder, has, before)?;
    let worker = if has(HAS_WORKER) { Some(workers.next(usize::decode(decoder)?)?) } else { None };
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

/// The list of workers while ends are read. Ends name new ones in its order, and all of them: so what is encoded again is never longer
/// than what was read.
struct Named<'a> {
    workers: &'a [PeerId],
    named: usize,
}

impl Named<'_> {
    fn next(&mut self, number: usize) -> Result<PeerId, DecodeError> {
        if number == self.named {
            self.named += 1;
        }
        let known = self.workers.get(number).filter(|_| number < self.named);
        known.copied().ok_or(DecodeError::Other(
            "an end names a worker that is not in the list, or not the next one of it",
        ))
    }

    fn end(self) -> Result<(), DecodeError> {
        if self.named == self.workers.len() {
            return Ok(());
        }
        Err(DecodeError::Other("no end names a worker that is in the list"))
    }
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
    fn ends_of_workers_in_turn_name_each_once_and_may_go_back() {
        let of = |index: u32| Kept { worker: Some(PeerId([(index % 3) as u8; 32])), ..plain(1000 - index) };
        let record = LogRecord::Outcomes((0..300).map(of).collect());
        let bytes = record.encode();
        assert!(bytes.len() < 3 * 32 + 300 * 20, "{} bytes", bytes.len());
        assert_eq!(LogRecord::decode(&bytes), Ok(record));
    }

    #[test]
    fn a_record_may_claim_what_its_longest_ends_take_and_no_more() {
        // As short as an end can be: its memory is what counts.
        let short = |index| Kept { worker: None, ..plain(index) };
        let many = |count| LogRecord::Outcomes((0..count).map(short).collect());
        let record = many(4096);
        assert_eq!(LogRecord::decode(&record.encode()), Ok(record));
        let bytes = many(70_000).encode();
        assert!(bytes.len() <= super::super::RECORD_BYTES_MAX, "{} bytes", bytes.len());
        assert_eq!(LogRecord::decode(&bytes), Err(Unsound::Malformed));
    }

    #[test]
    fn any_bytes_at_all_are_read_or_refused_and_what_was_read_gets_no_longer() {
        let whole = LogRecord::Outcomes(ends()).encode();
        for at in 1..whole.len() {
            for change in [1, 2, 7, 128, 255] {
                let mut bytes = whole.clone();
                bytes[at] ^= change;
                if let Ok(record) = LogRecord::decode(&bytes) {
                    let again = record.encode();
                    assert!(again.len() <= bytes.len(), "byte {at}: {} of {}", again.len(), bytes.len());
                    assert_eq!(LogRecord::decode(&again), Ok(record));
                }
            }
        }
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
        let mut second = end;
        second[9] = 1;
        let mut other_kind = LogRecord::Closed.encode();
        other_kind[0] = version[0];
        let forged = [
            ("a record of another kind", other_kind),
            ("a worker that is not listed", with(&[0, 1], &end)),
            ("a worker that no end names", with(&[&[2], [5; 64].as_slice(), &[1]].concat(), &end)),
            ("the second worker first", with(&[&[2], [5; 64].as_slice(), &[1]].concat(), &second)),
            ("an unknown flag", with(&[&[1], [5; 32].as_slice(), &[1]].concat(), &unknown)),
            ("2^62 ends", with(&[0, 253, 0, 0, 0, 0, 0, 0, 0, 64], &[])),
            ("2^62 workers", with(&[253, 0, 0, 0, 0, 0, 0, 0, 64], &[])),
        ];
        for (what, bytes) in forged {
            assert_eq!(LogRecord::decode(&bytes), Err(Unsound::Malformed), "{what}");
        }
    }
}
