//! Remembered results: jobs that accept them, which node's word an owner may accept, and liars that publish false ones.

use std::time::Duration;

use weft_core::{
    Command, Gossip, JobId, Join, Known, Outcome, Payload, PeerId, Policy, Recall, Recalled, Report,
    Submission, TaskId, Terms, Usage,
};

use crate::chance::Chance;
use crate::host::HostId;
use crate::invariants::{Scene, ends, ensure};
use crate::queue::Event;
use crate::reference::End;
use crate::world::World;

/// False memories in one gossip.
const TOLD_MAX: usize = 16;

impl World {
    /// Notes all tasks that users will ask for; liars publish false results of them beforehand.
    pub(crate) fn expect<'a>(&mut self, commands: impl Iterator<Item = &'a Command>) {
        for command in commands {
            let Command::Submit(what) = command else { continue };
            let key = what.program.task_key();
            self.coming.extend(what.inputs.iter().map(|input| key.task_id(input)));
        }
    }

    /// A liar publishes now and then results of tasks that it never ran, too.
    pub(crate) fn boast(&mut self, liar: HostId) {
        let seed = self.seed.wrapping_add(self.events);
        if Chance::new(seed, "boasts").permille(300) {
            let others: Vec<HostId> =
                self.hosts.iter().map(|host| host.id).filter(|other| *other != liar).collect();
            others.into_iter().for_each(|other| self.tell_false_memories(liar, other, seed));
        }
    }

    /// A member, or a peer that no host ever met, publishes results of tasks that it was never given.
    pub(crate) fn tell_false_memories(&mut self, from: HostId, to: HostId, seed: u64) {
        let chance = &mut Chance::new(seed, "what nobody computed");
        let coming = &self.coming;
        if coming.is_empty() {
            return;
        }
        let tasks: Vec<TaskId> = (0..TOLD_MAX).map(|_| coming[chance.index(coming.len())]).collect();
        let origin = if chance.permille(300) { PeerId(chance.seed()) } else { self.peer(from) };
        let output = Payload::inline(&[b"false memory ".as_slice(), &origin.0].concat());
        self.reference.false_memories.insert(output.id());
        self.reference.forgers.insert(origin);
        let usage = Usage { wall_us: 60_000, ..Usage::default() };
        let report = Report { output, usage, ..Report::bare(Outcome::Done) };
        let known = |task: TaskId| Known { task, report: report.clone().into(), worker: origin };
        let gossip = Gossip::Known(tasks.into_iter().map(known).collect());
        self.queue.after(Duration::from_millis(1), Event::Heard { host: to, origin, gossip });
    }
}

/// In some swarms users submit the tasks of earlier jobs again and accept remembered results.
pub(crate) fn ask_again(chance: &mut Chance, all: &mut Vec<(Duration, HostId, Command)>) {
    if !chance.permille(300) {
        return;
    }
    for (at, owner, command) in all.clone() {
        let Command::Submit(before) = command else { continue };
        if chance.permille(500) {
            let policy = Policy { verify: 1, ..before.policy };
            let (job, after, join) = (JobId(chance.any()), Vec::new(), Join::AllSucceeded);
            let what =
                Submission { job, policy, terms: Terms::default(), closed: true, after, join, ..before };
            let later = Duration::from_millis(chance.between(500, 9000));
            all.push((at + later, owner, Command::Submit(what)));
        }
    }
}

/// Some jobs that accept their owner's remembered results accept any member's, too: more of them where a member lies.
pub(crate) fn ask_the_mesh(chance: &mut Chance, any_liar: bool, all: &mut [(Duration, HostId, Command)]) {
    let permille = if any_liar { 600 } else { 300 };
    for (_, _, command) in all {
        if let Command::Submit(what) = command
            && what.terms.memo == Recall::Own
            && chance.permille(permille)
        {
            what.terms.memo = Recall::Mesh;
        }
    }
}

/// A remembered result comes from this node, from a worker that it awarded that task to, or, if the job accepts it, from
/// a member that it met, does not refuse, and has not named a liar.
pub(crate) fn a_known_result_is_the_word_of_who_is_believed(scene: &Scene<'_>) -> Result<(), String> {
    let (host, reference) = (scene.host, scene.reference);
    for End { job, index, worker, memo, verified, .. } in ends(scene) {
        let (Some(word), Some(worker)) = (memo, worker) else { continue };
        let asked = reference.jobs.get(job).map_or(Recall::Off, |owed| owed.terms.memo);
        let awarded = || {
            let task = reference.task_id(*job, *index);
            let is_own = task.is_some_and(|task| reference.awarded.contains(&(host.id, task, *worker)));
            // Another leader of the job may have.
            let mut given = reference.leases_given(*job, *worker).filter(|_| reference.mesh.has(*job));
            is_own || given.any(|lease| lease.index == *index)
        };
        let believed = match word {
            Recalled::Here => *worker == host.peer,
            Recalled::Home => awarded() && !host.credit_model.has_named(*worker),
            // A verified result is the one that most workers agreed on.
            Recalled::Worker => awarded() && (verified.is_some() || !host.credit_model.has_named(*worker)),
            Recalled::Told => {
                let met = host.boots.contains_key(worker);
                asked == Recall::Mesh
                    && met
                    && !host.credit_model.has_named(*worker)
                    && !host.refuses(*worker)
            }
        };
        ensure(believed, || {
            format!(
                "{job:?} task {index} of a job that accepts {asked:?} ended with a result of {worker:?}: {word:?}"
            )
        })?;
    }
    Ok(())
}

/// A result is recalled only for jobs that accept remembered results, and only if the task succeeded.
pub(crate) fn what_is_recalled_was_asked_for(scene: &Scene<'_>) -> Result<(), String> {
    for End { job, index, report, memo, proof, .. } in ends(scene).filter(|end| end.memo.is_some()) {
        let wanted = scene.reference.jobs.get(job).is_some_and(|job| job.terms.memo != Recall::Off);
        let sound = report.outcome == Outcome::Done && proof.is_none();
        ensure(memo.is_some() && wanted && sound, || {
            format!("{job:?} task {index} was recalled: {report:?}")
        })?;
    }
    Ok(())
}

/// Whether a result is one of the published false ones: a job that accepts every member's results may get it.
pub(crate) fn was_told(scene: &Scene<'_>, memo: Option<Recalled>, report: &Report) -> bool {
    memo == Some(Recalled::Told) && scene.reference.false_memories.contains(&report.output.id())
}

#[cfg(test)]
mod tests {
    use weft_core::Level;

    use super::*;
    use crate::fault::Fault;
    use crate::host::HostSpec;
    use crate::workload::JobSpec;
    use crate::world::World;

    #[test]
    fn what_an_owner_awarded_before_it_was_started_again_is_its_own_award() {
        const OWNER: HostId = HostId(0);
        let owner = HostSpec { journal: true, ..HostSpec::slots(0) };
        let mut world = World::builder(5).host(owner).host(HostSpec::slots(1)).build();
        world.connect();
        let terms = Terms { memo: Recall::Own, ..Terms::default() };
        let spec = JobSpec { same: Some(7), level: Level::Disk, terms, ..JobSpec::new(1, 3000) };
        let ends = |world: &mut World, within_s| {
            let job = world.submit(OWNER, &spec);
            world.run_for(Duration::from_secs(1));
            (job, Duration::from_secs(within_s))
        };
        let (before, within) = ends(&mut world, 20);
        world.fault(Fault::Kill { host: OWNER, told: true });
        world.fault(Fault::Restart(OWNER));
        world.run_until("the worker brings it", within, |world| world.reference().done(before) == 1);
        let adopted = world.hosts[0].engine.as_ref().expect("it runs").snapshot().counters.adopted;
        assert_eq!(adopted, 1, "it was awarded in the life before");
        let (again, _) = ends(&mut world, 0);
        assert_eq!(world.reference().done(again), 1, "it is known, and the invariant takes it");
    }
}
