//! Conversion between libp2p's ids and the core's: the only file that does it.

use libp2p::identity::{Keypair, PublicKey, ed25519};
use weft_core::PeerId;

/// Encoding of a libp2p `PublicKey` before its bytes: field 1, the type, is 1 for ed25519; field 2 has 32 bytes.
const KEY_PROTOBUF: [u8; 4] = [0x08, 0x01, 0x12, 0x20];

/// The core's id of the node with this ed25519 secret.
#[must_use]
pub fn peer_id_of(identity: &[u8; 32]) -> PeerId {
    let mut copy = *identity;
    let secret = ed25519::SecretKey::try_from_bytes(&mut copy).expect("any 32 bytes are an ed25519 secret");
    PeerId(ed25519::Keypair::from(secret).public().to_bytes())
}

/// The key pair of this secret.
pub(crate) fn keypair_of(identity: &[u8; 32]) -> Keypair {
    let mut copy = *identity;
    Keypair::ed25519_from_bytes(&mut copy).expect("any 32 bytes are an ed25519 secret")
}

/// libp2p's id of a peer; `None` if the bytes are not a public key.
pub(crate) fn to_libp2p(peer: PeerId) -> Option<libp2p::PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(&peer.0).ok()?;
    Some(PublicKey::from(key).to_peer_id())
}

/// The core's id of a peer; `None` if its id contains no ed25519 key. Whether the point is on the curve is not checked:
/// that costs a square root, this is called for every peer four times a second, and a connected peer has proved its
/// key.
pub(crate) fn to_core(peer: &libp2p::PeerId) -> Option<PeerId> {
    // An ed25519 peer id is an identity multihash: code 0 and the protobuf of the key itself.
    let hash = peer.as_ref();
    if hash.code() != 0 {
        return None;
    }
    let key = hash.digest().strip_prefix(&KEY_PROTOBUF)?;
    Some(PeerId(key.try_into().ok()?))
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
