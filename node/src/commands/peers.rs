//! `weft peers`: the nodes that the local one knows.

use weft_client::{Mesh, api};
use weft_node::counts::counted;
use weft_node::terminal::visible;

use super::Problem;
use crate::cli::PeersArgs;
use crate::render::{Side, Table, bytes, micros, print_json, say, short};

/// Nodes that have been gone for longer than this are counted and not listed, in milliseconds.
const GONE_MS: u64 = 3_600_000;

/// Prints the peers, or forgets one.
pub(crate) async fn peers(mesh: &Mesh, args: &PeersArgs) -> Result<u8, Problem> {
    let peers = mesh.peers().await?;
    if let Some(name) = &args.forget {
        let peer = find(&peers, name)?;
        mesh.forget_peer(&peer.peer).await?;
        say(&format!("forgot {} ({})", peer.name, short(&peer.peer)));
        return Ok(0);
    }
    if args.json {
        return print_json(&peers).map(|()| 0);
    }
    // A node that was refused is not in the list, and the reason may be there.
    mesh.status().await?.troubles.iter().for_each(|text| say(&visible(text)));
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
    let (listed, hidden): (Vec<_>, Vec<_>) = peers.iter().partition(|peer| args.all || !is_long_gone(peer));
    for peer in listed {
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
    table.print()?;
    if !hidden.is_empty() {
        say(&format!(
            "not listed: {} that went more than an hour ago; --all lists them, --forget ID forgets one",
            counted(u64::try_from(hidden.len()).unwrap_or(u64::MAX), "node")
        ));
    }
    Ok(0)
}

fn is_long_gone(peer: &api::Peer) -> bool {
    peer.gone_ms.is_some_and(|gone_ms| gone_ms > GONE_MS)
}

/// The peer of that id or name, or the only one whose id begins so.
fn find<'a>(peers: &'a [api::Peer], name: &str) -> Result<&'a api::Peer, Problem> {
    let fits = |peer: &&api::Peer| peer.name == name || (!name.is_empty() && peer.peer.starts_with(name));
    let fitting: Vec<&api::Peer> = peers.iter().filter(fits).collect();
    match fitting.as_slice() {
        [one] => Ok(one),
        [] => Err(Problem::Failed(format!("no node {name} is known: `weft peers --all` lists them"))),
        several => Err(Problem::Failed(format!(
            "{} nodes are called so: {}; give more digits of the id",
            several.len(),
            several.iter().map(|peer| short(&peer.peer)).collect::<Vec<_>>().join(", ")
        ))),
    }
}

fn state(peer: &api::Peer) -> &'static str {
    match (peer.connected, peer.draining) {
        (false, _) => "gone",
        (true, true) => "draining",
        (true, false) => match peer.trust {
            api::Trust::Closed => "here",
            api::Trust::Deprioritised => "asked last",
            api::Trust::HalfOpen => "on probation",
            api::Trust::Open => "shut out",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(id: &str, name: &str, gone_ms: Option<u64>) -> api::Peer {
        let text = serde_json::json!({
            "peer": id, "name": name, "connected": gone_ms.is_none(), "gone_ms": gone_ms, "rtt_us": 0, "slots": 1,
            "free": 1, "memory_bytes": 0, "labels": {}, "backlog": 0, "draining": false, "leased": 0, "done": 0,
            "lost": 0, "trust": "closed", "open_ms": 0, "lies": 0
        });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn only_what_went_long_ago_is_hidden() {
        assert!(!is_long_gone(&peer("a1", "anna", None)));
        assert!(!is_long_gone(&peer("a1", "anna", Some(GONE_MS))));
        assert!(is_long_gone(&peer("a1", "anna", Some(GONE_MS + 1))));
    }

    #[test]
    fn a_node_is_found_by_its_id_or_name_if_only_one_fits() {
        let peers =
            [peer("a1b2", "anna", None), peer("a1c3", "bert", Some(1)), peer("dd00", "bert", Some(1))];
        assert_eq!(find(&peers, "a1b").unwrap().name, "anna");
        assert_eq!(find(&peers, "anna").unwrap().peer, "a1b2");
        assert!(find(&peers, "bert").unwrap_err().to_string().contains("a1c3, dd00"));
        assert!(find(&peers, "zoe").is_err());
        assert!(find(&peers, "").is_err());
    }
}
