//! The jobs of simulated users. A task's input says how long the task runs and how it ends, so that every execution on
//! any host brings the same result.

use std::collections::BTreeMap;
use std::sync::Arc;

use weft_core::message::{Class, Needs};
use weft_core::{
    BlobId, Entry, Failure, JobId, Join, Level, Limits, Outcome, Payload, Policy, Profile, Program, Report,
    Submission, Terms, Usage,
};

use crate::chance::Chance;
use crate::host::MEMORY_BYTES;

/// How often the memory limit of a task is halved, by module. Of some modules several tasks fit one slot's memory, so
/// that one can be paused while another runs; of others only one fits.
const SHIFTS: [u32; 4] = [2, 0, 1, 0];
/// The length that blobs claim, in bytes: too long to be sent inline.
const BULK_BYTES: u64 = 20_000;

/// How a task ends if no fault interferes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Fate {
    /// Done, with a short output.
    Done,
    /// Done, with an output and files that are sent as blobs.
    Bulky,
    /// Fails, always.
    Fails,
    /// Fails by chance, in half of the attempts.
    Flaky,
}

/// The content of a task's input.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) struct TaskSpec {
    pub(crate) job: u64,
    pub(crate) index: u32,
    pub(crate) service_us: u32,
    pub(crate) fate: Fate,
}

impl TaskSpec {
    /// That of a task whose input is not known yet.
    pub(crate) const UNKNOWN: Self = Self { job: 0, index: 0, service_us: 0, fate: Fate::Done };

    fn bytes(&self) -> Vec<u8> {
        bincode::encode_to_vec(self, bincode::config::standard()).expect("plain data always encodes")
    }

    /// The report of an attempt that runs to its end.
    pub(crate) fn answer(&self, chance: &mut Chance) -> Report {
        let usage = Usage { wall_us: u64::from(self.service_us), ..Usage::default() };
        match self.fate {
            Fate::Done | Fate::Bulky => Report { usage, ..self.success() },
            Fate::Flaky if chance.permille(500) => Report { usage, ..self.success() },
            Fate::Flaky | Fate::Fails => Report { usage, ..Report::bare(Outcome::Failed(Failure::Exit(3))) },
        }
    }

    /// The false report of a liar; liars with the same number report the same.
    pub(crate) fn lie(&self, liar: u64) -> Report {
        let bytes = [self.bytes().as_slice(), b" lied ", liar.to_le_bytes().as_slice()].concat();
        let usage = Usage { wall_us: u64::from(self.service_us), ..Usage::default() };
        Report { usage, output: Payload::inline(&bytes), ..Report::bare(Outcome::Done) }
    }

    /// The report of a task that succeeds.
    pub(crate) fn success(&self) -> Report {
        let bytes = [self.bytes().as_slice(), b" answered"].concat();
        let output = match self.fate {
            Fate::Bulky => Payload::Blob { id: BlobId::of(&bytes), bytes: BULK_BYTES },
            Fate::Done | Fate::Flaky | Fate::Fails => Payload::inline(&bytes),
        };
        let left = [bytes.as_slice(), b" and left this"].concat();
        let files = match self.fate {
            Fate::Bulky => Payload::Blob { id: BlobId::of(&left), bytes: BULK_BYTES },
            Fate::Done | Fate::Flaky | Fate::Fails => Payload::empty(),
        };
        Report { output, files, ..Report::bare(Outcome::Done) }
    }
}

/// A job without an id.
#[derive(Clone, Debug)]
pub struct JobSpec {
    /// The number of tasks.
    pub tasks: u32,
    /// The shortest and the longest running time of a task, in microseconds.
    pub service_us: (u32, u32),
    /// How the tasks end.
    pub fate: Fate,
    /// Whether inputs are sent as blobs.
    pub bulky_inputs: bool,
    /// Labels that a worker must carry.
    pub labels: Vec<(String, String)>,
    /// Slots of one host that each task holds.
    pub slots: u32,
    /// The priority class.
    pub class: Class,
    /// Retries of a failed task.
    pub retries: u32,
    /// The rest of its policy.
    pub policy: Policy,
    /// The jobs that it depends on.
    pub after: Vec<JobId>,
    /// How those must have ended.
    pub join: Join,
    /// Whether it accepts remembered results and wants receipts or streamed output.
    pub terms: Terms,
    /// Whether its tasks have input files under `/in`.
    pub files: bool,
    /// Jobs with the same number here have identical tasks, index by index.
    pub same: Option<u64>,
    /// What it survives.
    pub level: Level,
}

impl JobSpec {
    /// This many tasks of `service_ms` milliseconds each; all succeed.
    #[must_use]
    pub fn new(tasks: u32, service_ms: u32) -> Self {
        Self {
            tasks,
            service_us: (service_ms * 1000, service_ms * 1000),
            fate: Fate::Done,
            bulky_inputs: false,
            labels: Vec::new(),
            slots: 1,
            class: Class::Batch,
            retries: 0,
            policy: Policy::DEFAULT,
            after: Vec::new(),
            join: Join::AllSucceeded,
            terms: Terms::default(),
            files: false,
            same: None,
            level: Level::Memory,
        }
    }
}

/// All inputs that are sent as blobs, so that a fake execution can read them.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    bulky: BTreeMap<BlobId, TaskSpec>,
}

impl Catalog {
    /// A closed submission of this job.
    pub(crate) fn submission(&mut self, job: JobId, spec: &JobSpec, chance: &mut Chance) -> Submission {
        Submission {
            job,
            program: Arc::new(program(spec.same.unwrap_or(job.0), spec.files)),
            needs: Needs { labels: spec.labels.clone(), slots: spec.slots },
            class: spec.class,
            terms: spec.terms,
            policy: Policy { retries: spec.retries, ..spec.policy },
            inputs: self.inputs(job, spec, 0, chance),
            closed: true,
            after: spec.after.clone(),
            join: spec.join,
            level: spec.level,
            about: weft_core::About::default(),
        }
    }

    /// Inputs of a job's tasks from index `first` on.
    pub(crate) fn inputs(
        &mut self,
        job: JobId,
        spec: &JobSpec,
        first: u32,
        chance: &mut Chance,
    ) -> Vec<Payload> {
        let (least, most) = spec.service_us;
        let tasks = (first..first + spec.tasks).map(|index| TaskSpec {
            job: spec.same.unwrap_or(job.0),
            index,
            service_us: if spec.same.is_some() { most } else { chance.small(least, most) },
            fate: spec.fate,
        });
        tasks.map(|task| self.input(task, spec.bulky_inputs)).collect()
    }

    /// The content of an input.
    pub(crate) fn read(&self, input: &Payload) -> Option<TaskSpec> {
        match input {
            Payload::Inline(bytes) => {
                let read = bincode::decode_from_slice(bytes, bincode::config::standard()).ok();
                read.map(|(task, _)| task)
            }
            Payload::Blob { id, .. } => self.bulky.get(id).cloned(),
        }
    }

    /// An input made of these bytes, and what a task with it does; some are blobs.
    pub(crate) fn made_of(bytes: &[u8]) -> (Payload, TaskSpec) {
        let digest = BlobId::of(bytes).0;
        let number = u64::from_le_bytes([
            digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7],
        ]);
        let service_us = 1000 + u32::from(digest[8]) * 100;
        let spec = TaskSpec { job: number, index: 0, service_us, fate: Fate::Done };
        let bytes = spec.bytes();
        let is_blob = digest[9].is_multiple_of(2);
        let id = BlobId::of(&bytes);
        let input = if is_blob { Payload::Blob { id, bytes: BULK_BYTES } } else { Payload::inline(&bytes) };
        (input, spec)
    }

    /// An input of this content may be read from now on.
    pub(crate) fn know(&mut self, input: &Payload, task: TaskSpec) {
        if let Payload::Blob { id, .. } = input {
            self.bulky.insert(*id, task);
        }
    }

    fn input(&mut self, task: TaskSpec, bulky: bool) -> Payload {
        // What it puts out may be an input of another job.
        if let Payload::Blob { id, .. } = task.success().output {
            self.bulky.insert(id, task.clone());
        }
        let bytes = task.bytes();
        if !bulky {
            return Payload::inline(&bytes);
        }
        let id = BlobId::of(&bytes);
        self.bulky.insert(id, task);
        Payload::Blob { id, bytes: BULK_BYTES }
    }
}

/// The program of a job; all jobs share four modules, so that some modules are warm.
fn program(job: u64, files: bool) -> Program {
    let number = u8::try_from(job % 4).expect("a remainder of 4 is small");
    let archive = Payload::Blob { id: BlobId::of(&[b'f', number]), bytes: BULK_BYTES };
    Program {
        module: BlobId::of(&[b'm', number]),
        module_bytes: 100_000,
        entry: Entry::Command,
        args: Vec::new(),
        env: Vec::new(),
        files: if files { archive } else { Payload::empty() },
        profile: Profile::Pure,
        limits: Limits { memory_bytes: MEMORY_BYTES >> SHIFTS[usize::from(number)], ..Limits::DEFAULT },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_says_what_its_task_does() {
        let (mut catalog, mut chance) = (Catalog::default(), Chance::new(1, "work"));
        for bulky_inputs in [false, true] {
            let spec = JobSpec { bulky_inputs, ..JobSpec::new(3, 7) };
            let inputs = catalog.inputs(JobId(9), &spec, 2, &mut chance);
            let task = catalog.read(&inputs[1]).unwrap();
            assert_eq!((task.index, task.service_us), (3, 7000));
            assert_eq!(task.answer(&mut chance).output, task.success().output);
        }
    }
}
