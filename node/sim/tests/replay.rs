//! Logs of simulated processes replay to the same effects, and a log that was tampered with does not.

use std::time::Duration;

use weft_core::log::{LogError, Reader, Record};
use weft_sim::{Fault, HostId, HostLog, JobSpec, LogEnd, ReplayError, World, replay};

/// The logs of a world of three hosts with a job, in which a worker is killed and restarted.
fn logs() -> Vec<HostLog> {
    let mut world = World::builder(50).hosts(3, 2).record().build();
    world.connect();
    let job = world.submit(HostId(0), &JobSpec::new(60, 50));
    world.run_for(Duration::from_millis(200));
    world.fault(Fault::Kill { host: HostId(1), told: true });
    world.run_for(Duration::from_millis(300));
    world.fault(Fault::Restart(HostId(1)));
    world.run_until("all tasks end", Duration::from_secs(5), |world| world.reference().done(job) == 60);
    world.run_for(Duration::from_secs(3));
    world.logs()
}

#[test]
fn every_process_of_a_world_replays_to_the_same_effects() {
    let logs = logs();
    let lives: Vec<(usize, u32)> = logs.iter().map(|log| (log.host.0, log.life)).collect();
    assert_eq!(lives, [(0, 1), (1, 1), (1, 2), (2, 1)]);
    for log in logs {
        let replayed = replay(&log.bytes, None, |_, _| {}).unwrap();
        assert_eq!(replayed.end, LogEnd::Killed);
        let told = (log.host, log.life, replayed.steps, replayed.effects);
        assert!(replayed.steps > 5 && replayed.effects > 1, "{told:?}: too short");
        assert_eq!(replayed.kinds.values().sum::<u64>(), replayed.steps);
        let torn = log.bytes.get(..log.bytes.len() - 1).unwrap();
        let shorter = replay(torn, None, |_, _| {}).unwrap();
        assert_eq!(shorter.steps, replayed.steps - 1);
        assert!(matches!(shorter.end, LogEnd::Torn(_)));
    }
}

#[test]
fn a_replay_stops_where_it_is_wanted_and_tells_each_step() {
    let logs = logs();
    let mut told = Vec::new();
    let replayed = replay(&logs[0].bytes, Some(25), |number, step| told.push((number, step.at))).unwrap();
    assert_eq!((replayed.steps, replayed.end), (25, LogEnd::Wanted));
    assert_eq!(told.last(), Some(&(25, replayed.last)));
    assert_eq!(replayed.engine.snapshot().me, replayed.header.me);
}

#[test]
fn a_log_of_another_seed_differs_where_chance_first_matters() {
    let logs = logs();
    let (mut header, mut reader) = Reader::open(&logs[0].bytes).unwrap();
    header.seed = [0; 32];
    let mut forged = weft_core::log::encode_header(&header);
    while let Ok(Some(Record::Step(step))) = reader.read() {
        forged.extend(weft_core::log::StepDraft::new(step.at, &step.input).finish(&step.effects).unwrap());
    }
    let Err(ReplayError::Differs(difference)) = replay(&forged, None, |_, _| {}) else {
        panic!("another seed gives other names to calls")
    };
    assert!(difference.number > 1 && difference.again != difference.step.effects);
    let said = ReplayError::Differs(difference).to_string();
    assert!(said.contains("recorded:") && said.contains("replayed:"), "{said}");
    assert_eq!(replay(b"", None, |_, _| {}).err(), Some(ReplayError::Log(LogError::NotALog)));
}
