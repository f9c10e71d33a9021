//! One seed, one swarm: safety under faults, then heal and require progress. Driven by `weft-sim` and by tests.

use std::fmt;
use std::time::Duration;

use weft_core::{JobId, PeerId, Time};

use crate::builder::Builder;
use crate::coverage::Coverage;
use crate::host::SimHost;
use crate::invariants::Violation;
use crate::liveness::Liveness;
use crate::mesh::Mesh;
use crate::options::Options;
use crate::queue::Event;
use crate::record::HostLog;
use crate::results;
use crate::settings::Settings;
use crate::world::World;

/// How long a healed mesh may go without an end of a task that it owes: a node that lost task after task gets none for four
/// minutes. How long all of them take depends on how much there is.
const PROGRESS: Duration = Duration::from_secs(300);
/// Time between two checks of a healed mesh.
const LOOK: Duration = Duration::from_millis(500);
/// How long after its last task a mesh may still hold bids, calls and outcomes.
const QUIET: Duration = Duration::from_secs(30);

/// What a seed's swarm did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The seed.
    pub seed: u64,
    /// The number of machines.
    pub hosts: usize,
    /// The number of planned faults; a fault and its mending count as one.
    pub faults: usize,
    /// The number of accepted tasks.
    pub tasks: usize,
    /// The number of tasks whose end was reported to their user.
    pub ended: usize,
    /// The number of tasks that were lost with their owner's process.
    pub forgotten: usize,
    /// The number of executions that ran to their end.
    pub executions: u32,
    /// The number of inputs that engines handled.
    pub events: u64,
    /// Virtual time at the end.
    pub time: Time,
    /// The hash of all inputs of engines.
    pub trace: u64,
    /// The longest time that a slot was idle next to a task that fits it, after all faults were mended, in
    /// microseconds.
    pub idle_us: u64,
    /// What happened, counted by name.
    pub coverage: Coverage,
}

/// A seed whose swarm broke an invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The broken invariant.
    pub violation: Violation,
    /// What the seed decided, in one line.
    pub options: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, violation, options } = self;
        write!(f, "{violation}\noptions: {options}\nreplay: weft-sim run --seed {seed} --verbose")
    }
}

impl std::error::Error for Failure {}

/// Runs the swarm of a seed; `watch` gets every event as one line.
///
/// # Errors
/// When an invariant is broken, or the healed mesh does not end the tasks that it owes and come to rest.
pub fn simulate(seed: u64, watch: Option<fn(&str)>) -> Result<Summary, Failure> {
    simulate_with(seed, &Settings::default(), watch)
}

/// The same with other settings than the seed's own.
///
/// # Errors
/// As [`simulate`].
pub fn simulate_with(seed: u64, settings: &Settings, watch: Option<fn(&str)>) -> Result<Summary, Failure> {
    let options = settings.apply(Options::draw(seed));
    let mut world = world(seed, &options, watch).build();
    judge(seed, &options, &mut world)
}

/// The same, with the logs of all processes, also after a failure.
pub fn simulate_recorded(
    seed: u64,
    settings: &Settings,
    watch: Option<fn(&str)>,
) -> (Result<Summary, Failure>, Vec<HostLog>) {
    let options = settings.apply(Options::draw(seed));
    let mut world = world(seed, &options, watch).record().build();
    (judge(seed, &options, &mut world), world.logs())
}

fn judge(seed: u64, options: &Options, world: &mut World) -> Result<Summary, Failure> {
    let guard = SeedOnPanic(seed);
    let result =
        run(seed, options, world).map_err(|violation| Failure { seed, violation, options: options.line() });
    drop(guard);
    result
}

fn world(seed: u64, options: &Options, watch: Option<fn(&str)>) -> Builder {
    let mut builder = World::builder(seed).mesh(options.mesh).weather(options.weather).watch(watch);
    for spec in &options.hosts {
        builder = builder.host(spec.clone());
    }
    builder
}

fn run(seed: u64, options: &Options, world: &mut World) -> Result<Summary, Violation> {
    world.unsigned_permille = options.unsigned_permille;
    world.sync_us = options.keeping.sync_us;
    for (at, fault) in &options.faults {
        world.queue.after(*at, Event::Fault(*fault));
    }
    let commands = options.commands(seed, &mut world.catalog);
    world.expect(commands.iter().map(|(_, _, command)| command));
    for (at, host, command) in commands {
        world.queue.after(at, Event::User { host, command });
    }
    // Jobs that are submitted at the last moment are extended and closed within ten seconds.
    world.try_run_for(Duration::from_millis(options.phase_ms))?;
    world.heal()?;
    let mut liveness = Liveness::default();
    for _ in 0..20 {
        world.try_run_for(LOOK)?;
        liveness.check(world)?;
    }
    come_to_rest(world, &mut liveness)?;
    require_rest(world)?;
    require_forgotten(world)?;
    require_results(world)?;
    let idle_us = liveness.longest_us();
    Ok(Summary { idle_us, ..summary(seed, options, world) })
}

/// Runs a healed mesh until it has owed nothing for [`QUIET`]. A user who is told that a job ended may have what failed of it tried
/// again a little later: the mesh owes that like any other job, and its quiet begins after it.
fn come_to_rest(world: &mut World, liveness: &mut Liveness) -> Result<(), Violation> {
    loop {
        require_progress(world, liveness)?;
        let (tried_again, end) = (world.reference().tried_again, world.now() + QUIET);
        while world.now() < end && world.reference().tried_again == tried_again {
            world.try_run_for(LOOK)?;
            liveness.check(world)?;
        }
        if world.reference().tried_again == tried_again {
            return Ok(());
        }
    }
}

fn require_progress(world: &mut World, liveness: &mut Liveness) -> Result<(), Violation> {
    let (mut since, mut before) = (world.now(), usize::MAX);
    loop {
        let owed = world.reference().owed();
        let left = owed.len() + world.reference().mesh.unended().count();
        if left == 0 {
            return Ok(());
        }
        if left < before {
            since = world.now();
        }
        before = left;
        if world.now() - since > PROGRESS {
            let first = owed.first().map(|(job, index)| {
                let owner = world.reference().jobs[job].owner;
                format!("{job:?} task {index} of host {}: {:?}", owner.0, world.why(owner, *job, *index))
            });
            let mesh: Vec<_> = world.reference().mesh.unended().collect();
            let text = format!(
                "none of {} tasks ended for long; {}; jobs at level mesh, and who leads them: {mesh:?}",
                owed.len(),
                first.unwrap_or_default()
            );
            return Err(world.violation("a_healed_mesh_ends_what_it_owes", text));
        }
        world.try_run_for(LOOK)?;
        liveness.check(world)?;
    }
}

fn require_rest(world: &World) -> Result<(), Violation> {
    for host in &world.hosts {
        if let Some(text) = unrest(host, world) {
            let text = format!("host {}: {text}", host.id.0);
            return Err(world.violation("a_quiet_mesh_holds_nothing", text));
        }
    }
    Ok(())
}

fn require_forgotten(world: &World) -> Result<(), Violation> {
    let Some((host, job)) = Mesh::kept_in_vain(&world.hosts) else { return Ok(()) };
    let text = format!("host {} keeps {job:?}, which was forgotten", host.0);
    Err(world.violation("at_quiescence_no_member_holds_what_was_forgotten", text))
}

fn require_results(world: &World) -> Result<(), Violation> {
    let lacking = world.reference().lacking_results().or_else(|| world.reference().needless_gap());
    let Some(text) = lacking else { return Ok(()) };
    Err(world.violation(results::NOT_ALL, text))
}

/// What a host still holds, if anything, but for owners that are lost for ever. Of jobs of which two of the three disks are lost, words
/// and outcomes wait for a person.
fn unrest(host: &SimHost, world: &World) -> Option<String> {
    let engine = host.engine.as_ref()?;
    let audit = engine.audit();
    let gone = |peer| world.hosts.iter().any(|host| host.is_gone && host.peer == peer);
    let lost = |leader: &SimHost| world.reference().mesh.lost_at(&world.hosts, leader);
    let words_in_vain: usize = lost(host).into_iter().map(|job| engine.held_words_about(job)).sum();
    let is_in_vain = |owner: PeerId, job: JobId| {
        let leader = world.hosts.iter().find(|host| host.peer == owner);
        leader.is_some_and(|leader| !leader.is_gone && lost(leader).contains(&job))
    };
    let in_vain = audit.kept.iter().filter(|(owner, lease)| is_in_vain(*owner, lease.job)).count();
    let unwanted = audit.kept.iter().filter(|(owner, _)| gone(*owner)).count();
    // What takes results of such a job waits, too.
    let is_lost = |job: JobId| lost(host).contains(&job);
    let waits_in_vain = |job: JobId| world.reference().all_before(job).into_iter().any(is_lost);
    let jobs = audit.jobs.iter().filter(|audit| !waits_in_vain(audit.job)).count();
    let pins = if unwanted + in_vain > 0 || jobs < audit.jobs.len() { 0 } else { host.pins.len() };
    // A worker advertises its idle slots at its matchmaker for as long as they are idle.
    let cells = audit.cells;
    let counts = [
        ("leases held", audit.held.len()),
        ("executions", host.runs.len()),
        ("paused tasks", audit.paused as usize),
        ("slots reserved", (audit.reserved - cells.advertised) as usize),
        ("bids", audit.reservations_open - cells.advertised_bids),
        ("seeks", cells.waiting),
        ("calls heard", audit.calls_heard),
        ("calls open", audit.calls_open),
        ("leases open", audit.leases_open),
        ("jobs", jobs),
        ("outcomes undelivered", audit.undelivered - unwanted - in_vain),
        ("words about kept jobs", audit.held_words - words_in_vain),
        ("pins", pins),
    ];
    let left = counts.into_iter().find(|(_, count)| *count > 0);
    left.map(|(what, count)| format!("{count} {what} are left: {audit:?}"))
}

fn summary(seed: u64, options: &Options, world: &World) -> Summary {
    let jobs = || world.reference().jobs.values();
    Summary {
        seed,
        hosts: options.hosts.len(),
        faults: options.faults.len() / 2,
        tasks: jobs().map(|job| job.tasks.len()).sum(),
        ended: jobs().flat_map(|job| &job.tasks).filter(|task| task.ends > 0).count(),
        forgotten: jobs().filter(|job| job.forgotten).map(|job| job.unended()).sum(),
        executions: world.reference().executed.values().flat_map(|workers| workers.values()).sum(),
        events: world.events(),
        time: world.now(),
        trace: world.trace().value(),
        idle_us: 0,
        coverage: world.coverage(),
    }
}

/// Prints the seed when an engine panics.
struct SeedOnPanic(u64);

impl Drop for SeedOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay: weft-sim run --seed {} --verbose", self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use weft_core::Level;

    use super::*;
    use crate::fault::Fault;
    use crate::host::{HostId, HostSpec};
    use crate::workload::{Fate, JobSpec};

    #[test]
    fn a_job_that_is_tried_again_while_a_mesh_is_quiet_is_waited_for() {
        let mut tried_again = 0;
        for seed in 0..6 {
            let host = HostSpec { journal: true, ..HostSpec::slots(1) };
            let mut world = World::builder(seed).host(host).build();
            let spec = JobSpec { fate: Fate::Fails, level: Level::Disk, ..JobSpec::new(2, 20_000) };
            world.submit(HostId(0), &spec);
            world.run_for(LOOK);
            come_to_rest(&mut world, &mut Liveness::default()).expect("its tasks end");
            require_rest(&world).expect("they run for longer than the mesh is quiet");
            tried_again += world.reference().tried_again;
        }
        assert!(tried_again > 0, "some users have it tried again");
    }

    #[test]
    fn what_waits_for_a_second_disk_is_left_over_unless_both_others_are_lost() {
        for are_lost in [true, false] {
            let node = || HostSpec::slots(1).keeps();
            let mut world = World::builder(9).host(node()).build();
            let others = [world.add_host(node()), world.add_host(node())];
            world.connect();
            let job = world.submit(HostId(0), &JobSpec { level: Level::Mesh, ..JobSpec::new(2, 3000) });
            world.run_until("it is accepted", LOOK, |world| world.leader(job) == Some(HostId(0)));
            for host in others {
                world.fault(Fault::Kill { host, told: true });
                if are_lost {
                    world.fault(Fault::Wipe(host));
                    world.fault(Fault::Restart(host));
                }
            }
            world.run_for(Duration::from_secs(60));
            let left = require_rest(&world).map_err(|violation| violation.text);
            assert_eq!(left.is_ok(), are_lost, "{left:?}");
            let words = |text: String| text.contains("words about kept jobs are left");
            assert!(left.is_ok() || left.is_err_and(words), "their disks are only away");
        }
    }

    #[test]
    fn a_job_that_one_of_the_two_disks_left_never_had_ends() {
        let mut alone = 0;
        for seed in 0..8 {
            let node = || HostSpec::slots(1).keeps();
            let mut world = World::builder(seed).host(node()).build();
            let others = [world.add_host(node()), world.add_host(node())];
            world.sync_us = 100_000;
            world.connect();
            let job = world.submit(HostId(0), &JobSpec { level: Level::Mesh, ..JobSpec::new(2, 3000) });
            world.run_until("it is accepted", LOOK, |world| world.reference().mesh.is_owed(job));
            let has_it = |world: &World, host: HostId| !world.hosts[host.0].disk.records(job).is_empty();
            let Some(third) = others.into_iter().find(|host| !has_it(&world, *host)) else { continue };
            let second = others.into_iter().find(|host| *host != third).expect("there are three");
            for host in [third, HostId(0)] {
                world.fault(Fault::Kill { host, told: true });
            }
            world.fault(Fault::Lose(second));
            for host in [third, HostId(0)] {
                world.fault(Fault::Restart(host));
            }
            // What it was writing may have got there, or not.
            world.run_for(Duration::from_micros(1));
            let third_has_it = has_it(&world, third);
            world.run_until("it is done", PROGRESS, |world| world.reference().done(job) == 2);
            alone += u32::from(!third_has_it);
        }
        assert!((1..8).contains(&alone), "{alone}");
    }

    #[test]
    fn a_failure_says_how_to_replay_it() {
        let violation =
            Violation { name: "slots_hold", text: "host 1: no".into(), event: 3, at: Time(1_500_000) };
        let failure = Failure { seed: 7, violation, options: "3 hosts".into() };
        assert_eq!(
            failure.to_string(),
            "slots_hold at 1.500000s (event 3): host 1: no\noptions: 3 hosts\nreplay: weft-sim run --seed 7 --verbose"
        );
    }
}
