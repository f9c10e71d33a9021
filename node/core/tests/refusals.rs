//! Tasks that no node can ever take are refused at their submission, with the bound: they would wait for ever.

mod wire;

use std::sync::Arc;

use weft_core::message::{LABEL_BYTES_MAX, LABELS_MAX, Needs};
use weft_core::*;
use wire::{JOB, Mesh};

fn with(what: &mut Submission, change: impl FnOnce(&mut Program)) {
    let mut program = Program::clone(&what.program);
    change(&mut program);
    what.program = Arc::new(program);
}

fn labels(what: &mut Submission, count: usize, bytes: usize) {
    let label = (String::from("n"), "v".repeat(bytes));
    what.needs = Needs { labels: vec![label; count], ..Needs::default() };
}

fn limits(what: &mut Submission, change: impl FnOnce(&mut Limits)) {
    with(what, |program| change(&mut program.limits));
}

/// A submission, and the expected refusal; `None` if a node may take it.
type Row = (fn(&mut Submission), Option<&'static str>);

const TABLE: [Row; 15] = [
    (
        |what| with(what, |program| program.args = vec!["a".repeat(70_000)]),
        Some("70032 bytes, at most 65536"),
    ),
    (
        |what| with(what, |program| program.args = vec![String::new(); 3000]),
        Some("96000 bytes, at most 65536"),
    ),
    (|what| with(what, |program| program.args = vec![String::new(); 2048]), None),
    (
        |what| with(what, |program| program.env = vec![("A".into(), "b".repeat(70_000))]),
        Some("at most 65536"),
    ),
    (|what| with(what, |program| program.entry = Entry::Function("f".repeat(70_000))), Some("at most 65536")),
    (
        |what| with(what, |program| program.files = Payload::Inline(vec![0; 16_385].into())),
        Some("16385 bytes, at most 16384"),
    ),
    (|what| labels(what, LABELS_MAX + 1, 1), Some("limit labels: 33 wanted, at most 32")),
    (|what| labels(what, 1, LABEL_BYTES_MAX + 1), Some("limit label_bytes: 65 wanted, at most 64")),
    (
        |what| limits(what, |limits| limits.wall_ms = 604_800_001),
        Some("wall_ms: 604800001 wanted, at most 604800000"),
    ),
    (|what| limits(what, |limits| limits.output_bytes = 1 << 40), Some("limit output_bytes")),
    (|what| limits(what, |limits| limits.errors_bytes = 1 << 40), Some("limit errors_bytes")),
    (|what| limits(what, |limits| limits.files_bytes = 1 << 40), Some("limit files_bytes")),
    (|what| limits(what, |limits| limits.files = 100_001), Some("limit files")),
    (
        |what| what.inputs.push(Payload::Inline(vec![0; 16_385].into())),
        Some("an inline input has 16385 bytes, expected at most 16384"),
    ),
    (|what| what.needs.slots = 1025, Some("1024 slots at most")),
];

#[test]
fn what_no_node_can_take_is_refused_at_submission_with_the_bound() {
    for (place, (change, said)) in TABLE.into_iter().enumerate() {
        let mut mesh = Mesh::of(&[0, 1]);
        mesh.submit_with(0, 1, change);
        let refused = mesh.events[0].iter().find_map(|event| {
            let Event::Refused { job: JOB, reason } = event else { return None };
            Some(reason.to_string())
        });
        match said {
            None => assert_eq!((refused, mesh.running()), (None, vec![0, 1]), "row {place}"),
            Some(said) => {
                let text = refused.unwrap_or_default();
                assert!(text.contains(said), "row {place}: {said:?} is missing in {text:?}");
                assert!(mesh.log.is_empty(), "row {place}: no node is called");
            }
        }
    }
}
