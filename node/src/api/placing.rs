//! Nodes that a client names: by their names or by the digits of their ids that are shown. The engine and other nodes know them by
//! their whole ids.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use weft_core::PeerId;
use weft_core::message::{NODE_LABEL, Needs};

use super::Api;
use super::error::ApiError;

/// Digits of an id that mean a node: as many as `weft peers` shows. Fewer are as good as a name.
const DIGITS_MIN: usize = 8;
/// Nodes that are named where several are meant.
const SEVERAL_SHOWN: usize = 4;

/// A node that may be meant.
#[derive(Clone, Debug)]
struct Known {
    peer: PeerId,
    name: String,
    is_here: bool,
}

/// What a job needs, with the whole ids of nodes. Only what is no whole id already asks the loop who is there; a node of which
/// the whole id is given may come later.
pub(super) async fn with_whole_ids(api: &Api, needs: Needs) -> Result<Needs, ApiError> {
    let Needs { mut labels, slots } = needs;
    let is_whole = |(name, value): &(String, String)| name != NODE_LABEL || value.parse::<PeerId>().is_ok();
    let all = if labels.iter().all(is_whole) { Vec::new() } else { known(api).await? };
    for (_, value) in labels.iter_mut().filter(|(name, _)| name == NODE_LABEL) {
        let peer = value.parse().or_else(|_| meant(&all, value))?;
        *value = PeerId::to_string(&peer);
    }
    Ok(Needs { labels, slots })
}

/// The node that is called so, among those that this node knows and these; none if none is.
pub(super) async fn peer_of(
    api: &Api,
    called: &str,
    others: impl IntoIterator<Item = PeerId>,
) -> Result<Option<PeerId>, ApiError> {
    if let Ok(peer) = called.parse() {
        return Ok(Some(peer));
    }
    let mut all = known(api).await?;
    let met: BTreeSet<PeerId> = all.iter().map(|node| node.peer).collect();
    let others: BTreeSet<PeerId> = others.into_iter().filter(|peer| !met.contains(peer)).collect();
    all.extend(others.into_iter().map(|peer| Known { peer, name: String::new(), is_here: false }));
    the_one(&all, called)
}

async fn known(api: &Api) -> Result<Vec<Known>, ApiError> {
    let info = api.handle.info();
    let me = Known { peer: info.peer, name: info.name.clone(), is_here: true };
    let peers = api.handle.snapshot().await?.peers.into_iter();
    let peers =
        peers.map(|view| Known { peer: view.peer, name: view.capacity.name, is_here: view.connected });
    Ok([me].into_iter().chain(peers).collect())
}

/// The node that is called so, which must be there.
fn meant(all: &[Known], called: &str) -> Result<PeerId, ApiError> {
    the_one(all, called)?.ok_or_else(|| {
        ApiError::bad(format!("no node is called {called:?}"))
            .expected("a node's name, or its id as `weft peers` shows it")
            .help("a node that was not met yet is named by its whole id")
    })
}

/// The node that is called so, if one is: of that name, connected rather than gone, or whose id begins so. A node chooses its name,
/// so one that has the digits of another as its name is not taken for it.
fn the_one(all: &[Known], called: &str) -> Result<Option<PeerId>, ApiError> {
    let is_here = all.iter().any(|node| node.is_here && node.name == called);
    let of_name = |node: &Known| !called.is_empty() && node.name == called && node.is_here == is_here;
    let digits = called.to_ascii_lowercase();
    let of_id = |node: &Known| digits.len() >= DIGITS_MIN && node.peer.to_string().starts_with(&digits);
    let found: Vec<&Known> = all.iter().filter(|node| of_name(node) || of_id(node)).collect();
    match found.as_slice() {
        [node] => Ok(Some(node.peer)),
        [] => Ok(None),
        several => {
            let ids: Vec<String> =
                several.iter().take(SEVERAL_SHOWN).map(|node| node.peer.to_string()).collect();
            let (count, ids) = (several.len(), ids.join(", "));
            Err(ApiError::new(StatusCode::CONFLICT, format!("{count} nodes are called {called:?}"))
                .expected(format!("the whole id of one of them, such as {ids}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(first: u8) -> PeerId {
        PeerId([first, 2, 3, 4].repeat(8).try_into().expect("they are 32"))
    }

    /// Some that are here, and one that is gone.
    fn all() -> Vec<Known> {
        let here =
            [(1, "anna"), (0xab, "berta"), (0xac, "ab"), (0xad, "twin"), (0xdd, "twin"), (2, "ab020304")];
        let here =
            here.map(|(first, name)| Known { peer: peer(first), name: name.to_owned(), is_here: true });
        let gone = Known { peer: peer(3), name: "anna".to_owned(), is_here: false };
        here.into_iter().chain([gone]).collect()
    }

    #[test]
    fn a_node_is_called_by_its_name_or_by_the_digits_of_its_id_that_are_shown() {
        for (called, first) in [("anna", 1), ("berta", 0xab), ("ab", 0xac), ("AC020304", 0xac), ("dd0203", 0)]
        {
            assert_eq!(meant(&all(), called).ok(), (first != 0).then(|| peer(first)), "{called}");
        }
        let gone = all().split_off(6);
        assert_eq!(meant(&gone, "anna").ok(), Some(peer(3)), "it may come back");
    }

    #[test]
    fn who_calls_none_or_several_is_told_what_there_is() {
        for called in ["", "Berta", "carla", "a", "ac", "ac02030", "ff020304"] {
            let body = meant(&all(), called).unwrap_err().into_body();
            assert_eq!(body.error, format!("no node is called {called:?}"));
        }
        // A name, and the id of another node.
        for (called, first) in [("twin", 0xad), ("ab020304", 0xab)] {
            let body = meant(&all(), called).unwrap_err().into_body();
            assert_eq!(body.error, format!("2 nodes are called {called:?}"));
            assert!(body.expected.is_some_and(|expected| expected.contains(&peer(first).to_string())));
        }
    }
}
