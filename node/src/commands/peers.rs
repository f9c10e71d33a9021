//! `weft peers`: the nodes that the local one knows.

use weft_client::{Mesh, api};

use super::Problem;
use crate::cli::ShowArgs;
use crate::render::{Side, Table, bytes, micros, print_json, say, short};

/// Prints the peers.
pub(crate) async fn peers(mesh: &Mesh, args: &ShowArgs) -> Result<u8, Problem> {
    let peers = mesh.peers().await?;
    if args.json {
        return print_json(&peers).map(|()| 0);
    }
    if peers.is_empty() {
        say("no peers yet: start `weft node` on machines of the same mesh, or name one with --peer");
        return Ok(0);
    }
    let mut table = Table::new(&[
        ("PEER", Side::Left),
        ("NAME", Side::Left),
        ("STATE", Side::Left),
        ("RTT", Side::Right),
        ("FREE", Side::Right),
        ("SLOTS", Side::Right),
        ("MEMORY", Side::Right),
        ("OURS", Side::Right),
        ("DONE", Side::Right),
        ("LOST", Side::Right),
        ("LABELS", Side::Left),
    ])
    .fitted(&["LOST", "OURS", "DONE", "LABELS", "MEMORY", "RTT"]);
    for peer in &peers {
        table.row([
            short(&peer.peer),
            peer.name.clone(),
            state(peer).into(),
            if peer.rtt_us == 0 { "-".into() } else { micros(peer.rtt_us.into()) },
            peer.free.to_string(),
            peer.slots.to_string(),
            bytes(peer.memory_bytes),
            peer.leased.to_string(),
            peer.done.to_string(),
            peer.lost.to_string(),
            super::labels(&peer.labels),
        ]);
    }
    table.print().map(|()| 0)
}

fn state(peer: &api::Peer) -> &'static str {
    match (peer.connected, peer.draining) {
        (false, _) => "gone",
        (true, true) => "draining",
        (true, false) => match peer.trust {
            api::Trust::Full => "here",
            api::Trust::Last => "asked last",
            api::Trust::Probe => "on probation",
            api::Trust::Shut => "shut out",
        },
    }
}
