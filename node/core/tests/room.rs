//! A full disk: the tasks of its node wait, no other node is blamed, and everything continues when there is room.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod wire;

use weft_core::message::Reason;
use weft_core::snapshot::{Note, Response, TaskView};
use weft_core::*;
use wire::*;

fn output(n: u8) -> Payload {
    Payload::Blob { id: BlobId([n; 32]), bytes: 100_000 }
}

/// The only task of the job ran on node 1, and its output is a blob. Returns the owner's fetches.
fn ran(mesh: &mut Mesh) -> Vec<(usize, BlobId, Vec<PeerId>)> {
    mesh.submit(0, 1);
    mesh.held_fetches = Some(Vec::new());
    let report = Report { output: output(7), ..Report::bare(Outcome::Done) };
    let run = mesh.slots[1].pop().unwrap();
    mesh.input(1, Input::Ran(vec![(run, report)]));
    mesh.held_fetches.replace(Vec::new()).unwrap()
}

fn no_room(mesh: &mut Mesh, asked: Vec<(usize, BlobId, Vec<PeerId>)>) {
    for (node, blob, _) in asked {
        mesh.input(node, Input::Fetched { blob, fetched: Fetched::NoRoom });
    }
}

#[test]
fn an_owner_without_room_waits_blames_nobody_and_goes_on_when_there_is_room() {
    let mut mesh = Mesh::of(&[0, 1]);
    let mut asked = ran(&mut mesh);
    let mut fetches = 0;
    // Far longer than a lease, and than a worker keeps an outcome.
    for _ in 0..1000 {
        fetches += asked.len();
        no_room(&mut mesh, std::mem::take(&mut asked));
        mesh.advance_ms(1000);
        asked = mesh.held_fetches.replace(Vec::new()).unwrap();
    }
    let owner = mesh.engines[0].snapshot();
    assert_eq!((owner.counters.lost, owner.counters.awards), (0, 1), "nothing is computed again");
    assert_eq!((owner.peers[0].lost, owner.starved), (0, 1));
    assert!((100..=250).contains(&fetches), "one look in five seconds, not {fetches}");
    let why = mesh.engines[0].why(mesh.now, JOB, 0).unwrap();
    assert_eq!(why.state, TaskView::Fetching { worker: id(1) });
    assert_eq!(why.notes, [Note::NoRoom]);
    mesh.advance_ms(6000);
    let mut all = mesh.held_fetches.replace(Vec::new()).unwrap();
    all.extend(asked);
    let (node, blob, _) = all.remove(0);
    mesh.input(node, Input::Fetched { blob, fetched: Fetched::Here });
    assert_eq!(mesh.ended(0), 1);
    assert_eq!(mesh.engines[0].snapshot().starved, 0);
}

#[test]
fn what_came_before_there_was_no_room_is_asked_for_again_before_an_outcome_counts() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 1);
    mesh.held_fetches = Some(Vec::new());
    let report = Report { output: output(7), files: output(8), ..Report::bare(Outcome::Done) };
    let run = mesh.slots[1].pop().unwrap();
    mesh.input(1, Input::Ran(vec![(run, report)]));
    let fetched = |mesh: &mut Mesh, answers: &[(u8, Fetched)]| {
        let mut asked: Vec<u8> =
            mesh.held_fetches.replace(Vec::new()).unwrap().iter().map(|(_, blob, _)| blob.0[0]).collect();
        asked.sort_unstable();
        assert_eq!(asked, answers.iter().map(|(blob, _)| *blob).collect::<Vec<_>>());
        for (blob, fetched) in answers {
            mesh.input(0, Input::Fetched { blob: BlobId([*blob; 32]), fetched: *fetched });
        }
    };
    fetched(&mut mesh, &[(7, Fetched::Here), (8, Fetched::NoRoom)]);
    mesh.advance_ms(6000);
    fetched(&mut mesh, &[(8, Fetched::Here)]);
    assert_eq!(mesh.ended(0), 0, "the first one may have made room for it");
    fetched(&mut mesh, &[(7, Fetched::NoRoom), (8, Fetched::Here)]);
    assert_eq!(mesh.ended(0), 0, "it has");
    mesh.advance_ms(6000);
    fetched(&mut mesh, &[(7, Fetched::Here)]);
    fetched(&mut mesh, &[(7, Fetched::Here), (8, Fetched::Here)]);
    assert_eq!(mesh.ended(0), 1);
    assert_eq!(mesh.engines[0].snapshot().counters.lost, 0);
}

#[test]
fn an_outcome_that_went_while_its_owner_had_no_room_is_computed_again_without_blame() {
    let mut mesh = Mesh::of(&[0, 1]);
    let asked = ran(&mut mesh);
    no_room(&mut mesh, asked);
    mesh.advance_ms(6000);
    for (node, blob, _) in mesh.held_fetches.replace(Vec::new()).unwrap() {
        mesh.input(node, Input::Fetched { blob, fetched: Fetched::Missing });
    }
    mesh.advance_ms(2000);
    let owner = mesh.engines[0].snapshot();
    assert_eq!((owner.counters.lost, owner.peers[0].lost), (0, 0));
    assert_eq!(owner.counters.awards, 2, "it runs again");
}

#[test]
fn a_job_that_is_cancelled_while_it_waits_for_room_leaves_nothing_behind() {
    let mut mesh = Mesh::of(&[0, 1]);
    let asked = ran(&mut mesh);
    no_room(&mut mesh, asked);
    mesh.input(0, Input::Command(Command::Cancel { job: JOB }));
    mesh.advance_ms(6000);
    assert_eq!(mesh.held_fetches.replace(Vec::new()).unwrap(), []);
    assert_eq!(mesh.engines[0].snapshot().starved, 0);
}

#[test]
fn a_worker_without_room_gives_the_task_back_says_why_and_takes_work_again_later() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.held_fetches = Some(Vec::new());
    mesh.submit(0, 1);
    let asked = mesh.held_fetches.replace(Vec::new()).unwrap();
    no_room(&mut mesh, asked);
    mesh.advance_ms(1500);
    let why = mesh.engines[0].why(mesh.now, JOB, 0).unwrap();
    assert_eq!(why.state, TaskView::Queued { before: 0 });
    assert!(
        why.responses.iter().any(|a| a.response == Response::NotAsked(Reason::NoRoom)),
        "{:?}",
        why.responses
    );
    let owner = mesh.engines[0].snapshot();
    assert_eq!((owner.counters.lost, owner.peers[0].lost), (0, 0), "a full disk is no lost task");
    // There is room again: the fetch succeeds.
    mesh.held_fetches = None;
    for _ in 0..10 {
        mesh.advance_ms(1000);
    }
    mesh.run_all();
    assert_eq!(mesh.ended(0), 1);
}

/// One full disk is one message, however many tasks wait for the same blob.
#[test]
fn a_worker_without_room_for_many_tasks_gives_them_back_in_one_word() {
    let mut mesh = Mesh::of(&[0, 6]);
    mesh.held_fetches = Some(Vec::new());
    mesh.submit(0, 6);
    let asked = mesh.held_fetches.replace(Vec::new()).unwrap();
    let before = mesh.log.len();
    no_room(&mut mesh, asked);
    let said = mesh.log[before..].iter().filter(|(from, _, _)| *from == 1);
    let given_back: Vec<usize> = said.filter_map(|(_, _, word)| without_room(word)).collect();
    assert_eq!(given_back, [6]);
    assert!(!is_mistrusted(&mesh));
}

/// Tasks that a worker refuses in that message because it has no room.
fn without_room(word: &Message) -> Option<usize> {
    let (Message::Outcome(all) | Message::Ended { all, .. }) = word else { return None };
    Some(all.iter().filter(|one| matches!(one.report.outcome, Outcome::NoRoom(_))).count())
}

/// Whether the owner blames any node.
fn is_mistrusted(mesh: &Mesh) -> bool {
    let owner = mesh.engines[0].snapshot();
    let answers = mesh.engines[0].why(mesh.now, JOB, 0).unwrap().responses;
    answers.iter().any(|answer| matches!(answer.response, Response::NotAsked(Reason::Mistrusted { .. })))
        || owner.peers.iter().any(|peer| (peer.lost, peer.reputation.blame) != (0, 0))
        || owner.counters.lost > 0
}

/// Tasks that lack different blobs are refused one by one, repeatedly: four such refusals were blamed once.
#[test]
fn a_worker_without_room_for_different_blobs_is_not_blamed() {
    let mut mesh = Mesh::of(&[0, 6]);
    mesh.held_fetches = Some(Vec::new());
    let inputs = (1..=6).map(|n| Payload::Blob { id: BlobId([n; 32]), bytes: 100_000 }).collect();
    mesh.submit_with(0, 0, |what| what.inputs = inputs);
    let mut rounds = 0;
    for _ in 0..120 {
        let asked = mesh.held_fetches.replace(Vec::new()).unwrap();
        rounds += u32::from(!asked.is_empty());
        for (node, blob, _) in asked {
            // The module is in the store.
            let fetched =
                if blob.0[0] <= 6 && blob.0[0] == blob.0[31] { Fetched::NoRoom } else { Fetched::Here };
            mesh.input(node, Input::Fetched { blob, fetched });
        }
        mesh.advance_ms(1000);
        assert!(!is_mistrusted(&mesh), "round {rounds}");
    }
    assert!((3..=8).contains(&rounds), "asked again, and less often each time: {rounds}");
    mesh.held_fetches = None;
    (0..90).for_each(|_| mesh.advance_ms(1000));
    mesh.run_all();
    assert_eq!(mesh.ended(0), 6);
}

#[test]
fn a_worker_whose_disk_takes_no_output_is_not_blamed_and_why_says_that_it_is_full() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 1);
    for _ in 0..4 {
        let run = *mesh.slots[1].first().expect("it is asked again");
        mesh.end(1, run, Report::bare(Outcome::NoRoom("the output can't be stored".into())));
        mesh.advance_ms(1500);
        let why = mesh.engines[0].why(mesh.now, JOB, 0).unwrap();
        let full = |said: &Response| *said == Response::NotAsked(Reason::NoRoom);
        assert!(why.responses.iter().any(|answer| full(&answer.response)), "{:?}", why.responses);
        assert!(!is_mistrusted(&mesh));
        (0..60).for_each(|_| mesh.advance_ms(1000));
    }
    mesh.run_all();
    assert_eq!(mesh.ended(0), 1);
}

/// The lease of an outcome that waits for room is suspended: neither its time nor the end of the connection ends it.
#[test]
fn an_outcome_for_which_its_owner_has_no_room_keeps_its_lease() {
    let mut mesh = Mesh::of(&[0, 1, 1]);
    mesh.submit(0, 1);
    let node = (1..3).find(|node| mesh.running()[*node] == 1).unwrap();
    mesh.held_fetches = Some(Vec::new());
    let run = mesh.slots[node].pop().unwrap();
    let report = Report { output: output(7), ..Report::bare(Outcome::Done) };
    mesh.input(node, Input::Ran(vec![(run, report)]));
    let lease = mesh.engines[0].audit().issued;
    assert_eq!(lease.len(), 1);
    for round in 0..60 {
        let asked = mesh.held_fetches.replace(Vec::new()).unwrap();
        no_room(&mut mesh, asked);
        // Once it sends nothing more.
        if round == 20 {
            mesh.input(0, Input::PeerDown { peer: id(node), closed: true });
        }
        if round == 40 {
            mesh.input(0, Input::PeerUp { peer: id(node), boot: node as u64 + 1, host: host(node) });
        }
        mesh.advance_ms(1000);
        assert_eq!(mesh.engines[0].audit().issued, lease, "second {round}");
    }
    let owner = mesh.engines[0].snapshot();
    assert_eq!((owner.counters.awards, owner.counters.lost, owner.starved), (1, 0, 1));
    mesh.advance_ms(6000);
    let (to, blob, _) = mesh.held_fetches.replace(Vec::new()).unwrap().remove(0);
    mesh.input(to, Input::Fetched { blob, fetched: Fetched::Here });
    assert_eq!((mesh.ended(0), mesh.engines[0].audit().issued.len()), (1, 0));
}

/// Node 1 has two slots and a store of a thousand bytes; nodes 0 and 2 have users.
fn with_a_small_store() -> Mesh {
    let mut mesh = Mesh::of(&[0]);
    mesh.store_bytes = 1000;
    mesh.join(2, Vec::new());
    mesh.join(0, Vec::new());
    mesh.held_fetches = Some(Vec::new());
    mesh
}

#[test]
fn a_task_that_needs_more_than_the_whole_store_is_refused_alone() {
    let mut mesh = with_a_small_store();
    let long = Payload::Blob { id: BlobId([9; 32]), bytes: 995 };
    mesh.submit_with(0, 0, |what| what.inputs = vec![long]);
    assert_eq!(mesh.running(), [0, 0, 0], "995 bytes and a module of 6 are too many");
    assert_eq!(mesh.held_fetches, Some(Vec::new()), "that is known without a fetch");
    assert!(mesh.pinned(1).is_empty());
    let why = mesh.engines[0].why(mesh.now, JOB, 0).unwrap();
    assert!(
        why.responses.iter().any(|a| a.response == Response::NotAsked(Reason::NoRoom)),
        "{:?}",
        why.responses
    );
    assert!(!is_mistrusted(&mesh));
    mesh.held_fetches = None;
    let fits = Payload::Blob { id: BlobId([8; 32]), bytes: 994 };
    mesh.submit_with(2, 1, |what| {
        what.job = JobId(7);
        what.inputs.push(fits);
    });
    assert_eq!(mesh.running(), [0, 2, 0], "other owners are served at once");
}

#[test]
fn a_program_that_is_longer_than_the_whole_store_is_declined_for_good() {
    let mut mesh = with_a_small_store();
    mesh.submit_with(0, 1, |what| {
        let files = Payload::Blob { id: BlobId([9; 32]), bytes: 995 };
        what.program = std::sync::Arc::new(Program { files, ..Program::clone(&what.program) });
    });
    let why = mesh.engines[0].why(mesh.now, JOB, 0).unwrap();
    let said = Response::Declined(Reason::Limit { name: "store_bytes".into(), wanted: 1001, most: 1000 });
    assert!(why.responses.iter().any(|answer| answer.response == said), "{:?}", why.responses);
}

/// What was returned before it ran is as if it had never been awarded.
#[test]
fn a_task_is_not_given_up_for_the_time_in_which_a_disk_was_full() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.held_fetches = Some(Vec::new());
    mesh.submit_with(0, 1, |what| what.policy = Policy { give_up_ms: Some(2000), ..Policy::DEFAULT });
    let asked = mesh.held_fetches.replace(Vec::new()).unwrap();
    no_room(&mut mesh, asked);
    mesh.held_fetches = None;
    mesh.advance_ms(8000);
    assert_eq!((mesh.ended(0), mesh.running()), (0, vec![0, 1]), "it runs when there is room");
    mesh.run_all();
    let Event::TaskEnded { report, .. } = mesh.last_end(0) else { panic!("a task ended") };
    assert_eq!(report.outcome, Outcome::Done);
}
