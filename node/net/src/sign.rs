//! Signatures with a node's identity. It does not know what is signed.

use libp2p::identity::ed25519;
use weft_core::PeerId;

/// Signs as one node.
#[derive(Clone)]
pub struct Signer(ed25519::Keypair);

/// The secret is left out.
impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    /// The signer with this ed25519 secret.
    #[must_use]
    pub fn new(identity: &[u8; 32]) -> Self {
        let mut copy = *identity;
        let secret =
            ed25519::SecretKey::try_from_bytes(&mut copy).expect("any 32 bytes are an ed25519 secret");
        Self(ed25519::Keypair::from(secret))
    }

    /// The ed25519 signature over these bytes.
    #[must_use]
    pub fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.0.sign(bytes).try_into().expect("an ed25519 signature has 64 bytes")
    }
}

/// Whether that node signed these bytes: a peer's id is its ed25519 public key.
#[must_use]
pub fn is_signed_by(peer: PeerId, bytes: &[u8], signature: &[u8; 64]) -> bool {
    ed25519::PublicKey::try_from_bytes(&peer.0).is_ok_and(|key| key.verify(bytes, signature))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_belongs_to_one_node_and_one_text() {
        let signature = Signer::new(&[7; 32]).sign(b"text");
        let (me, other) = (crate::peer_id_of(&[7; 32]), crate::peer_id_of(&[8; 32]));
        assert!(is_signed_by(me, b"text", &signature));
        assert!(!is_signed_by(other, b"text", &signature));
        assert!(!is_signed_by(me, b"test", &signature));
        let mut wrong = signature;
        wrong[63] ^= 1;
        assert!(!is_signed_by(me, b"text", &wrong));
        assert!(!is_signed_by(PeerId([255; 32]), b"text", &signature));
    }
}
