//! Votes on a verified task: each machine has one, by the way in which it is reached.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

mod wire;

use weft_core::message::Reason;
use weft_core::snapshot::{Note, Response};
use weft_core::*;
use wire::{JOB, Mesh, id};

fn ipv4(last: u8) -> Host {
    Host::At([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, last])
}

fn ipv6(network: u8) -> Host {
    Host::At([0xfd, 0, 0, 0, 0, 0, 0, network, 0, 0, 0, 0, 0, 0, 0, 0])
}

/// Node 0 is the owner and has no slots; each other node has one slot and the given machine.
fn mesh(hosts: &[Host]) -> Mesh {
    let mut mesh = Mesh::of(&[0]);
    hosts.iter().for_each(|host| join(&mut mesh, *host));
    mesh
}

fn join(mesh: &mut Mesh, host: Host) {
    let node = mesh.engines.len();
    mesh.join(1, Vec::new());
    place(mesh, node, host);
}

fn place(mesh: &mut Mesh, node: usize, host: Host) {
    let boot = node as u64 + 1;
    mesh.input(0, Input::PeerUp { peer: id(node), boot, host });
}

fn leave(mesh: &mut Mesh, node: usize) {
    mesh.input(0, Input::PeerDown { peer: id(node), closed: true });
}

fn submit(mesh: &mut Mesh, nodes: u32) {
    mesh.submit_with(0, 1, |what| what.policy.verify = nodes);
    mesh.advance_ms(1100);
}

/// Ends what runs on a node with a long output, which the owner pins.
fn answer(mesh: &mut Mesh, node: usize) {
    let run = *mesh.slots[node].first().expect("something runs");
    let output = Payload::Blob { id: BlobId::of(b"bulk"), bytes: 50_000 };
    let report = Report { output, ..mesh.report() };
    mesh.end(node, run, report);
    mesh.advance_ms(1100);
}

fn agreed(mesh: &Mesh) -> Vec<PeerId> {
    let Event::TaskEnded { verified, .. } = mesh.last_end(0) else { panic!("a task ended") };
    verified.clone().expect("several nodes computed it").agreed
}

fn machines(mesh: &Mesh) -> u32 {
    let notes = mesh.engines[0].why(mesh.now, JOB, 0).unwrap().notes;
    let machines =
        |note: &Note| if let Note::Verifying { machines, .. } = note { Some(*machines) } else { None };
    notes.iter().find_map(machines).expect("it verifies")
}

#[test]
fn where_machines_are_reached_over_ipv4_nothing_over_ipv6_or_by_name_has_a_vote() {
    let mut mesh = mesh(&[ipv4(1), ipv6(1), ipv6(2), Host::Unknown]);
    submit(&mut mesh, 2);
    assert_eq!((mesh.running(), machines(&mesh)), (vec![0, 1, 0, 0, 0], 1));
    answer(&mut mesh, 1);
    assert_eq!((mesh.ended(0), mesh.running()), (0, vec![0; 5]));
    let answers = mesh.engines[0].why(mesh.now, JOB, 0).unwrap().responses;
    for node in 2..5 {
        let said = &answers.iter().find(|answer| answer.peer == id(node)).unwrap().response;
        assert_eq!(*said, Response::NotAsked(Reason::NoVote), "node {node}");
    }
    join(&mut mesh, ipv4(2));
    mesh.advance_ms(1100);
    answer(&mut mesh, 5);
    assert_eq!(agreed(&mesh), [id(1), id(5)]);
    assert!(mesh.pinned(0).is_empty());
}

#[test]
fn over_ipv6_alone_a_network_has_a_vote() {
    let mut mesh = mesh(&[ipv6(1), ipv6(1), ipv6(2)]);
    submit(&mut mesh, 3);
    assert_eq!((mesh.running()[3], machines(&mesh)), (1, 2));
    let first = if mesh.running()[1] == 1 { 1 } else { 2 };
    answer(&mut mesh, first);
    assert_eq!(mesh.running(), [0, 0, 0, 1], "the other one of its network has no vote left");
    answer(&mut mesh, 3);
    assert_eq!(agreed(&mesh), [id(first), id(3)]);
}

#[test]
fn what_was_said_over_ipv6_does_not_count_once_ipv4_has_the_vote() {
    let mut mesh = mesh(&[ipv6(1), ipv6(2)]);
    submit(&mut mesh, 3);
    answer(&mut mesh, 1);
    assert!(mesh.pinned(0).contains(&BlobId::of(b"bulk")));
    join(&mut mesh, ipv4(1));
    assert!(!mesh.pinned(0).contains(&BlobId::of(b"bulk")), "what does not count is not kept");
    answer(&mut mesh, 2);
    answer(&mut mesh, 3);
    assert_eq!(mesh.ended(0), 0, "one vote, and two of three are wanted");
    join(&mut mesh, ipv4(2));
    mesh.advance_ms(1100);
    answer(&mut mesh, 4);
    assert_eq!(agreed(&mesh), [id(3), id(4)]);
}

#[test]
fn what_was_said_over_ipv4_does_not_count_once_ipv6_has_the_vote() {
    let mut mesh = mesh(&[ipv4(1), ipv6(1), ipv6(2)]);
    submit(&mut mesh, 3);
    answer(&mut mesh, 1);
    leave(&mut mesh, 1);
    mesh.advance_ms(1100);
    answer(&mut mesh, 2);
    assert_eq!(mesh.ended(0), 0, "node 2 may be the machine of node 1");
    answer(&mut mesh, 3);
    assert_eq!(agreed(&mesh), [id(2), id(3)]);
}

#[test]
fn nodes_of_this_machine_have_one_vote_as_soon_as_another_is_connected() {
    let mut mesh = mesh(&[Host::Here, Host::Here]);
    submit(&mut mesh, 3);
    assert_eq!((mesh.running(), machines(&mesh)), (vec![0, 1, 1], 2), "nothing else tells nodes apart");
    answer(&mut mesh, 1);
    join(&mut mesh, ipv4(1));
    answer(&mut mesh, 2);
    assert_eq!((mesh.ended(0), machines(&mesh)), (0, 2));
    answer(&mut mesh, 3);
    assert_eq!(agreed(&mesh), [id(1), id(3)]);
}

#[test]
fn a_cable_that_is_pulled_changes_no_votes() {
    let mut mesh = mesh(&[ipv4(1), ipv4(2)]);
    submit(&mut mesh, 2);
    answer(&mut mesh, 1);
    [1, 2].iter().for_each(|node| mesh.input(0, Input::PeerDown { peer: id(*node), closed: false }));
    [1, 2].iter().for_each(|node| place(&mut mesh, *node, ipv4(u8::try_from(*node).unwrap())));
    answer(&mut mesh, 2);
    assert_eq!(agreed(&mesh), [id(1), id(2)]);
}
