//! Names here and names there: the only file that converts between libp2p's ids and the core's. It decides nothing.

use libp2p::identity::{Keypair, PublicKey, ed25519};
use weft_core::PeerId;

/// The core's name for the node that holds this ed25519 secret.
#[must_use]
pub fn peer_id_of(identity: &[u8; 32]) -> PeerId {
    let mut copy = *identity;
    let secret = ed25519::SecretKey::try_from_bytes(&mut copy).expect("any 32 bytes are an ed25519 secret");
    PeerId(ed25519::Keypair::from(secret).public().to_bytes())
}

/// The key pair behind this secret.
pub(crate) fn keypair_of(identity: &[u8; 32]) -> Keypair {
    let mut copy = *identity;
    Keypair::ed25519_from_bytes(&mut copy).expect("any 32 bytes are an ed25519 secret")
}

/// libp2p's name of a peer. `None` when the bytes are no public key.
pub(crate) fn to_libp2p(peer: PeerId) -> Option<libp2p::PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(&peer.0).ok()?;
    Some(PublicKey::from(key).to_peer_id())
}

/// The core's name of a peer. `None` when it has no ed25519 key inside its name.
pub(crate) fn to_core(peer: &libp2p::PeerId) -> Option<PeerId> {
    // An ed25519 peer id is an identity multihash: code 0 and the protobuf of the key itself.
    let hash = peer.as_ref();
    if hash.code() != 0 {
        return None;
    }
    let key = PublicKey::try_decode_protobuf(hash.digest()).ok()?.try_into_ed25519().ok()?;
    Some(PeerId(key.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_survives_both_ways() {
        let core = peer_id_of(&[7; 32]);
        let there = to_libp2p(core).unwrap();
        assert_eq!(there, keypair_of(&[7; 32]).public().to_peer_id());
        assert_eq!(to_core(&there), Some(core));
    }

    #[test]
    fn a_name_without_a_key_inside_is_none() {
        let hashed = libp2p::PeerId::random();
        assert_eq!(to_core(&hashed), None);
    }
}
