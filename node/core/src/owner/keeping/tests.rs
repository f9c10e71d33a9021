//! What is written and told of a job at level mesh that its node turns out not to lead any more.

use alloc::vec::Vec;

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng as _;

use super::*;
use crate::config::MeshConfig;
use crate::ctx::{Outlet, Surroundings};
use crate::custody::trio::{Seat, Trio};
use crate::memo::Memo;
use crate::programs::Programs;
use crate::snapshot::Counters;

const JOB: JobId = JobId(7);
const OTHER: JobId = JobId(8);
const TRIO: Trio = Trio([Seat { peer: PeerId([1; 32]), disk: 1 }; 3]);

/// A log that takes this many records.
struct Short(u32);

impl MeshLog for Short {
    fn append(&mut self, _: &mut Ctx<'_>, _: JobId, _: LogRecord) -> Option<u32> {
        self.0 = self.0.checked_sub(1)?;
        Some(1)
    }

    fn on_written(&mut self, _: JobId, _: &LogRecord) {}
}

#[test]
fn of_a_job_whose_log_takes_no_record_none_is_written_past_it_and_nothing_is_told() {
    for taken in [0, 1] {
        let (mut counters, mut memo) = (Counters::default(), Memo::default());
        let (mut programs, mut out) = (Programs::default(), Outlet::new(ChaCha8Rng::from_seed([1; 32])));
        let of =
            Surroundings { counters: &mut counters, memo: &mut memo, programs: &mut programs, out: &mut out };
        let mut ctx = Ctx::new(Time::ZERO, PeerId([1; 32]), &MeshConfig::DEFAULT, of);
        let mut keeping = Keeping::default();
        keeping.lines.open(JOB, TRIO, 0);
        keeping.record(JOB, LogRecord::Cancelled);
        keeping.record(JOB, LogRecord::Closed);
        keeping.event(JOB, Event::Confirmed { job: JOB });
        keeping.end(JOB, true);
        keeping.end(OTHER, true);
        keeping.seal(&mut ctx, &mut Short(taken));
        keeping.on_committed(&mut ctx, JOB, u32::MAX);
        keeping.on_persisted(&mut ctx, u64::MAX);
        let done: Vec<Effect> = out.drain().collect();
        let expected = [
            Effect::Persist { ticket: 1, job: OTHER, record: LogRecord::Ended },
            Effect::Notify(Event::JobEnded { job: OTHER }),
        ];
        assert_eq!(done, expected, "{taken}");
        assert_eq!((keeping.held(), keeping.done.len()), ((0, 0), 0));
    }
}
