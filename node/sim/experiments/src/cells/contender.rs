//! The engines as one policy next to the models of `weft-experiments run sparrow`: they run the same trace and are
//! measured by the same meter.

use super::study::{REST_US, START_US, Study};
use crate::sparrow::meter::Meter;
use crate::trace::{Shape, Trace};

impl Study {
    /// Runs a trace with engines, on the shape's machines and slots and otherwise as in [`Study::sparrow`]. The result is
    /// that of a study of the same seed and shape, which draws that trace.
    ///
    /// # Panics
    /// When a job has more tasks or the mesh more nodes than 32 bits can count.
    #[must_use]
    pub fn contend(shape: &Shape, trace: &Trace, seed: u64) -> Meter {
        let count = |number: usize| u32::try_from(number).expect("counted in 32 bits");
        let sparrow = Self::sparrow(seed, count(shape.workers), 0, count(shape.jobs));
        let study = Self { slots: count(shape.slots), tasks: count(shape.tasks), ..sparrow };
        let mut lean = study.engines();
        for job in study.assign(trace) {
            lean.plan(job);
        }
        lean.run_until(START_US - 1, false);
        let said = |lean: &super::lean::Lean| -> u64 {
            let kinds = lean.tally.kinds.iter().filter(|(kind, _)| !kind.is_end());
            kinds.map(|(_, count)| count).sum()
        };
        let before = said(&lean);
        let last_us = trace.arrivals.last().copied().unwrap_or(0);
        lean.run_until(START_US + last_us + REST_US, true);
        let mut meter = Meter::new(shape, trace);
        for (number, job) in (0u32..).zip(&lean.jobs) {
            for _ in job.left..study.tasks {
                meter.task_ends(trace, number, job.ended_us - START_US);
            }
        }
        meter.messages = said(&lean) - before;
        meter
    }
}
