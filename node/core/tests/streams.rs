//! Output that is streamed while its task runs: only if the job asked for it, only from the worker that holds the task,
//! and within a bound.
#![expect(clippy::indexing_slicing, reason = "a test may panic")]

mod wire;

use weft_core::*;
use wire::{JOB, Mesh};

const STREAM: Stream = Stream::Output;

fn streaming(what: &mut Submission) {
    what.terms.stream = true;
}

fn print(mesh: &mut Mesh, node: usize, offset: u64, bytes: &[u8]) {
    let run = mesh.works.keys().find(|(of, _)| *of == node).map_or(RunId(0), |(_, run)| *run);
    mesh.input(node, Input::Printed { run, stream: STREAM, offset, bytes: bytes.into() });
}

fn printed(mesh: &Mesh) -> Vec<(u64, usize)> {
    let pieces = mesh.events[0].iter().filter_map(|event| match event {
        Event::Printed { job: JOB, index: 0, attempt: 1, stream: STREAM, offset, bytes } => {
            Some((*offset, bytes.len()))
        }
        Event::Printed { .. }
        | Event::TaskEnded { .. }
        | Event::JobEnded { .. }
        | Event::JobGivenUp { .. }
        | Event::Lost { .. }
        | Event::Differed { .. }
        | Event::Refused { .. }
        | Event::OwnerGone { .. }
        | Event::DependenciesSatisfied { .. }
        | Event::Accepted { .. }
        | Event::ExtensionRefused { .. }
        | Event::Grown { .. }
        | Event::RetryRefused { .. }
        | Event::Confirmed { .. }
        | Event::Forgotten { .. }
        | Event::Leads { .. }
        | Event::Follows { .. }
        | Event::Keepers { .. }
        | Event::Leased { .. } => None,
    });
    pieces.collect()
}

#[test]
fn what_a_task_prints_is_told_to_its_owners_user_here_and_there() {
    for slots in [&[1][..], &[0, 1]] {
        let mut mesh = Mesh::of(slots);
        mesh.submit_with(0, 1, streaming);
        let node = slots.len() - 1;
        assert!(mesh.works[&(node, RunId(0))].stream);
        print(&mut mesh, node, 0, b"one ");
        print(&mut mesh, node, 4, b"two");
        assert_eq!(printed(&mesh), [(0, 4), (4, 3)]);
        mesh.run_all();
        print(&mut mesh, node, 7, b"after its end");
        assert_eq!((mesh.ended(0), printed(&mesh).len()), (1, 2));
    }
}

#[test]
fn nothing_is_passed_on_unasked() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 1);
    assert!(!mesh.works[&(1, RunId(0))].stream);
    print(&mut mesh, 1, 0, b"unasked");
    let lease = LeaseId { job: JOB, epoch: 0, index: 0, attempt: 1 };
    mesh.say(1, 0, Message::Printed { lease, stream: STREAM, offset: 0, bytes: (*b"unasked").into() });
    assert_eq!(printed(&mesh), []);
}

#[test]
fn a_stranger_prints_nothing_and_nobody_prints_too_much() {
    let mut mesh = Mesh::of(&[0, 1, 0]);
    mesh.submit_with(0, 1, streaming);
    let lease = LeaseId { job: JOB, epoch: 0, index: 0, attempt: 1 };
    let say = |len: usize| Message::Printed { lease, stream: STREAM, offset: 0, bytes: vec![0; len].into() };
    mesh.say(2, 0, say(10));
    mesh.say(1, 0, say(20_000));
    assert_eq!(printed(&mesh), []);
    for _ in 0..1000 {
        mesh.steps = 0;
        mesh.say(1, 0, say(16_000));
    }
    let all: usize = printed(&mesh).iter().map(|(_, len)| *len).sum();
    assert!(all <= 4 << 20 && all > 3 << 20, "{all} bytes of a worker that never stops");
}

#[test]
fn a_worker_stops_passing_on_at_the_bound_and_the_task_still_ends() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit_with(0, 1, streaming);
    for place in 0..1000 {
        mesh.steps = 0;
        print(&mut mesh, 1, place * 16_000, &[0; 16_000]);
    }
    let sent = mesh.log.iter().filter(|(_, _, message)| matches!(message, Message::Printed { .. })).count();
    assert_eq!(sent, (4 << 20) / 16_000);
    mesh.run_all();
    assert_eq!(mesh.ended(0), 1);
}
