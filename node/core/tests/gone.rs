//! Owners that end: workers stop their tasks, soon if the owner said so or its connection was closed, late if it only
//! fell silent.
#![expect(clippy::indexing_slicing, reason = "a test may panic")]

mod wire;

use weft_core::*;
use wire::{Mesh, host, id};

fn gone(mesh: &Mesh, node: usize) -> Vec<&Event> {
    mesh.events[node].iter().filter(|event| matches!(event, Event::OwnerGone { .. })).collect()
}

#[test]
fn a_worker_stops_what_an_owner_awarded_whose_process_ended() {
    let mut mesh = Mesh::of(&[0, 2]);
    mesh.submit(0, 2);
    assert_eq!(mesh.running()[1], 2);
    mesh.kill(0);
    mesh.advance_ms(11_900);
    assert_eq!((mesh.running()[1], mesh.aborted), (2, 0), "it may be heard another way");
    mesh.advance_ms(200);
    assert_eq!((mesh.aborted, mesh.engines[1].audit().held.len()), (2, 0));
    let said = gone(&mesh, 1);
    let once = matches!(said[..], [Event::OwnerGone { tasks: 2, closed: true, unheard_ms: 12_000.., .. }]);
    assert!(once, "{said:?}");
    assert_eq!(mesh.engines[1].snapshot().counters.abandoned, 2);
}

#[test]
fn a_worker_goes_on_while_anything_is_heard_of_its_owner() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 1);
    mesh.input(1, Input::PeerDown { peer: id(0), closed: true });
    for seq in 100..120 {
        mesh.advance_ms(5000);
        let capacity = message::Capacity { boot: 1, seq, ..message::Capacity::default() };
        mesh.input(1, Input::Heard { origin: id(0), gossip: Gossip::Capacity(capacity) });
    }
    assert_eq!((mesh.running()[1], gone(&mesh, 1).len()), (1, 0));
    mesh.input(1, Input::PeerUp { peer: id(0), boot: 1, host: host(0) });
    mesh.advance_ms(60_000);
    assert_eq!((mesh.aborted, gone(&mesh, 1).len()), (0, 0), "it is back");
}

#[test]
fn a_worker_waits_for_a_silent_owner_as_long_as_for_its_word_on_an_outcome() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 1);
    mesh.input(1, Input::PeerDown { peer: id(0), closed: false });
    mesh.input(0, Input::PeerDown { peer: id(1), closed: false });
    mesh.links.insert((0, 1), false);
    mesh.links.insert((1, 0), false);
    mesh.advance_ms(599_000);
    assert_eq!((mesh.aborted, gone(&mesh, 1).len()), (0, 0));
    mesh.advance_ms(2000);
    assert_eq!((mesh.aborted, gone(&mesh, 1).len()), (1, 1));
}

#[test]
fn an_owner_that_is_stopped_tells_its_workers_and_says_nothing_more() {
    let mut mesh = Mesh::of(&[1, 2]);
    mesh.submit(0, 9);
    assert_eq!(mesh.running(), [1, 2]);
    mesh.input(0, Input::Command(Command::Stop));
    assert_eq!((mesh.aborted, mesh.engines[1].audit().held.len()), (2, 0));
    assert_eq!(mesh.engines[1].audit().calls_heard, 0, "nor does it wait for more");
    assert_eq!(mesh.ended(0), 0, "its user knows");
    assert_eq!(mesh.engines[0].next_wakeup(), None);
    assert_eq!(mesh.engines[0].handle(Time(u64::MAX / 2), Input::Wake).count(), 0);
}
