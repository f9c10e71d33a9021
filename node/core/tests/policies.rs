//! What owner and worker do about a job's policy: order, deadlines, retries, backup copies, events.

mod wire;

use weft_core::message::{Class, Delivery, Message, Needs, Reason};
use weft_core::snapshot::{Response, TaskView};
use weft_core::*;
use wire::{JOB, Mesh, id, worker_of};

fn blob(name: u8) -> Payload {
    Payload::Blob { id: BlobId([name; 32]), bytes: 1_000_000 }
}

#[test]
fn a_task_goes_to_whoever_brought_its_input_home() {
    for producer in [1, 2, 3] {
        let mut mesh = Mesh::of(&[0, 1, 1, 1]);
        mesh.submit_with(0, 1, |what| {
            what.needs = Needs { labels: vec![("node".into(), id(producer).to_string())], slots: 1 };
        });
        let run = mesh.slots[producer][0];
        let report = Report { output: blob(7), ..mesh.report() };
        mesh.end(producer, run, report);
        mesh.submit_with(0, 1, |what| (what.job, what.inputs) = (JobId(2), vec![blob(7)]));
        mesh.run_all();
        assert_eq!(worker_of(mesh.last_end(0)), Some(id(producer)));
    }
}

#[test]
fn a_worker_cant_say_that_a_task_has_expired() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 1);
    let lease = LeaseId { job: JOB, epoch: 0, index: 0, attempt: 1 };
    let report = Report::bare(Outcome::Expired(Expiry::Unfinished { after_ms: 1 }));
    mesh.say(
        1,
        0,
        Message::Outcome(vec![Delivery { lease, report: report.into(), memo: None, proof: None }]),
    );
    assert_eq!((mesh.ended(0), mesh.engines[0].snapshot().counters.lost), (0, 1), "a loss like any other");
}

#[test]
fn an_outcome_that_comes_after_its_task_expired_changes_nothing_and_accuses_nobody() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit_with(0, 1, |what| what.policy = Policy { expires_ms: Some(500), ..Policy::DEFAULT });
    mesh.deaf = Some((0, 1)); // the cancellation is lost
    mesh.advance_ms(500);
    assert_eq!(mesh.ended(0), 1);
    mesh.run_some(1);
    let counters = mesh.engines[0].snapshot().counters;
    assert_eq!((mesh.ended(0), counters.late, counters.differing, counters.committed), (1, 1, 0, 0));
    assert_eq!(mesh.engines[0].snapshot().jobs[0].failed, 1);
}

#[test]
fn a_late_outcome_ends_a_task_that_waits_for_its_next_attempt() {
    let mut mesh = Mesh::of(&[0, 1, 1]);
    let backoff = Backoff { first_ms: 60_000, most_ms: 60_000, jitter_percent: 0 };
    mesh.submit_with(0, 1, |what| what.policy = Policy { retries: 3, backoff, ..Policy::DEFAULT });
    let first = if mesh.running()[1] == 1 { 1 } else { 2 };
    mesh.links.insert((first, 3 - first), false);
    mesh.cut(0, first, true);
    mesh.advance_ms(2000);
    let run = mesh.slots[3 - first][0];
    mesh.end(3 - first, run, Report::bare(Outcome::Failed(Failure::Exit(1))));
    let state = mesh.engines[0].why(mesh.now, JOB, 0).map(|why| why.state);
    assert_eq!(state, Some(TaskView::Delayed { failures: 1, in_ms: 60_000 }));
    let lease = LeaseId { job: JOB, epoch: 0, index: 0, attempt: 1 };
    let delivery = Delivery { lease, report: mesh.report().into(), memo: None, proof: None };
    mesh.feed(0, Input::Heard { origin: id(first), gossip: Gossip::Outcome { owner: id(0), delivery } });
    assert_eq!(worker_of(mesh.last_end(0)), Some(id(first)));
    assert_eq!(mesh.engines[0].audit().jobs.len(), 0);
}

#[test]
fn a_refused_award_is_no_attempt_that_a_task_could_be_given_up_for() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit_with(0, 1, |what| what.policy = Policy { give_up_ms: Some(0), ..Policy::DEFAULT });
    let lease = LeaseId { job: JOB, epoch: 0, index: 0, attempt: 1 };
    mesh.say(1, 0, Message::Refuse { leases: vec![lease] });
    assert_eq!(mesh.ended(0), 0);
    mesh.advance_ms(3000);
    mesh.run_all();
    assert!(matches!(mesh.last_end(0), Event::TaskEnded { report, .. } if report.outcome == Outcome::Done));
}

#[test]
fn a_task_that_ran_and_is_given_back_is_given_up_in_time() {
    for progress in [message::Progress::Waiting, message::Progress::Running] {
        let mut mesh = Mesh::of(&[0, 1]);
        mesh.submit_with(0, 1, |what| what.policy = Policy { give_up_ms: Some(1000), ..Policy::DEFAULT });
        let first = LeaseId { job: JOB, epoch: 0, index: 0, attempt: 1 };
        mesh.cut(0, 1, true);
        let range = message::LeaseRange { first, count: 1, paused: false, progress };
        for message in [Message::Renew(vec![range]), Message::Refuse { leases: vec![first] }] {
            mesh.feed(0, Input::Received { from: id(1), message });
        }
        mesh.advance_ms(3000);
        let given_up = usize::from(progress == message::Progress::Running);
        assert_eq!(mesh.ended(0), given_up, "{progress:?}");
    }
}

#[test]
fn an_open_job_that_failed_too_often_takes_no_more() {
    let mut mesh = Mesh::of(&[0, 2]);
    mesh.submit_with(0, 3, |what| {
        what.closed = false;
        what.policy = Policy { failures_max: Some(0), ..Policy::DEFAULT };
    });
    mesh.outcome = Outcome::Trapped(Trap::Unreachable);
    let run = mesh.slots[1][0];
    let report = mesh.report();
    mesh.end(1, run, report);
    let told = |event: &Event| matches!(event, Event::JobGivenUp { job: JOB, failed: 1 });
    assert_eq!(mesh.events[0].iter().filter(|event| told(event)).count(), 1);
    assert_eq!(mesh.ended(0), 3);
    assert!(mesh.events[0].contains(&Event::JobEnded { job: JOB }));
    let inputs = mesh.fresh_inputs(2);
    mesh.input(0, Input::Command(Command::Extend { job: JOB, inputs }));
    assert_eq!(mesh.ended(0), 3);
    mesh.run_all();
    mesh.assert_quiet();
}

#[test]
fn a_claim_of_endless_waiting_is_worth_no_more_than_the_highest_class() {
    let mut mesh = Mesh::of(&[1, 0]);
    mesh.submit_with(0, 2, |what| what.class = Class::Realtime);
    let program = mesh.works.values().next().map(|work| work.program.clone());
    let Some(program) = program else { return assert!(program.is_some()) };
    let call = message::Call {
        call: CallId(9),
        job: JobId(9),
        program,
        needs: Needs::default(),
        class: Class::Scavenger,
        terms: Terms::default(),
        count: u32::MAX,
        service_us: 0,
        deadline_ms: Some(0),
        waited_ms: u32::MAX,
        keepers: Vec::new(),
    };
    mesh.say(1, 0, Message::Call(call.clone()));
    mesh.say(1, 0, Message::Call(message::Call { deadline_ms: Some(u32::MAX), ..call }));
    assert_eq!(mesh.engines[0].audit().paused, 0, "it pauses no task");
    assert_eq!(mesh.engines[0].snapshot().counters.preempted, 0);
    let declined = mesh.log.iter().any(|(_, _, message)| {
        matches!(message, Message::Decline(decline) if matches!(decline.reason, Reason::Late { left_ms: 0, .. } | Reason::Busy { .. }))
    });
    assert!(declined);
    mesh.run_some(0);
    mesh.advance_ms(2500);
    mesh.run_all();
    assert_eq!(mesh.ended(0), 2, "what it is offered and leaves, others have");
}

#[test]
fn why_names_who_takes_no_task_of_a_class() {
    let mut mesh = Mesh::of(&[0]);
    let node = NodeConfig {
        name: "picky".into(),
        slots: 1,
        memory_bytes: 1 << 30,
        module_bytes: u64::MAX,
        store_bytes: u64::MAX,
        labels: Vec::new(),
        class_min: Class::Realtime,
        disk: 0,
        boot: 9,
        owners: Owners::All,
    };
    let mut picky = Engine::new(id(0), MeshConfig::DEFAULT, node, [0; 32]);
    let program = Program {
        module: BlobId([1; 32]),
        module_bytes: 6,
        entry: Entry::Command,
        args: Vec::new(),
        env: Vec::new(),
        files: Payload::empty(),
        profile: Profile::Pure,
        limits: Limits::DEFAULT,
    };
    let what = Submission {
        class: Class::Interactive,
        ..Submission::new(JOB, program.into(), mesh.fresh_inputs(1))
    };
    drop(picky.handle(Time::ZERO, Input::Command(Command::Submit(what))));
    let answers = picky.why(Time::ZERO, JOB, 0).map(|why| why.responses).unwrap_or_default();
    let refused = Response::Declined(Reason::Class { least: Class::Realtime });
    assert!(answers.iter().any(|answer| answer.response == refused), "its own tasks, too: {answers:?}");
}
