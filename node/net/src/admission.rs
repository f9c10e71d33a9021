//! Admission of a connection: a step between authentication and multiplexing. It runs inside of the encrypted channel,
//! knows both authenticated ids, and ends with an acceptance or one reason. No other protocol runs on the connection
//! before that.
//!
//! ```text
//!   both: HELLO  magic 8 | version 2 | mesh id 32 | boot 8 | nonce 32
//!   both: PROOF  code 1  | keyed hash over (role, both nonces, both ids) 32; a code other than 0 is a refusal
//!   both: VERDICT code 1
//! ```

use std::fmt;
use std::io;
use std::sync::Arc;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use weft_core::PeerId;

use crate::census::{Admitted, Census};
use crate::config::Admission;
use crate::versions::{Spoken, Versions};

const MAGIC: &[u8; 8] = b"weftmesh";
const HELLO_BYTES: usize = 8 + 2 + 32 + 8 + 32;
const PROOF_BYTES: usize = 1 + 32;
const ACCEPT: u8 = 0;
/// Sent in a verdict only, so that it comes from a peer that proved the key.
const TWIN: u8 = 7;

/// What a node needs for admissions.
#[derive(Clone)]
pub(crate) struct Doorkeeper {
    /// This node.
    pub(crate) me: PeerId,
    /// Its boot nonce.
    pub(crate) boot: u64,
    /// Identifies the mesh without revealing its key; zeros for a mesh without one.
    pub(crate) mesh_id: [u8; 32],
    /// Proves the mesh key.
    proof_key: [u8; 32],
    /// The versions of the protocol that it speaks.
    pub(crate) versions: Versions,
    /// Peers whose identity is used by two processes.
    pub(crate) census: Arc<Census>,
}

/// Two nodes that have no version of the protocol in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Apart {
    pub(crate) ours: Versions,
    pub(crate) theirs: Versions,
    /// Whether the other one says that it is of this mesh, too.
    pub(crate) is_of_mesh: bool,
}

/// Why a connection was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The other side does not speak this protocol.
    NotWeft,
    /// The other side speaks no version of the protocol that this node speaks.
    Version(Apart),
    /// The other side belongs to another mesh.
    OtherMesh {
        /// Whether this node holds a key.
        ours: bool,
        /// Whether the other side holds one; unknown if the other side refused.
        theirs: Option<bool>,
        /// A part of its mesh id, if known: distinguishes foreign meshes.
        mesh: Option<u32>,
    },
    /// It claims this mesh and can't prove its key.
    Proof,
    /// Its boot nonce is 0, which means one that is not known.
    NoBoot,
    /// It is this node itself, reached at one of its own addresses.
    Myself,
    /// It has this node's identity and is another process.
    SameIdentity,
    /// It has the same identity as another process that this node is connected to.
    Twin,
    /// The other side is connected to another process that has this node's identity.
    TwinOfMine,
    /// The other side refused with a code that this version does not know.
    Unknown(u8),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotWeft => f.write_str("it does not speak weft"),
            Self::Version(Apart { ours, theirs, .. }) => write!(
                f,
                "it speaks {theirs} of the protocol, this node {ours}: only versions next to each other work in one mesh; {}",
                ours.advice(*theirs)
            ),
            Self::OtherMesh { ours: true, theirs: Some(false), .. } => {
                f.write_str("it holds no mesh key, this node does; join with a ticket of this mesh")
            }
            Self::OtherMesh { ours: false, theirs: Some(true), .. } => {
                f.write_str("it holds a mesh key, this node does not; join with a ticket of its mesh")
            }
            Self::OtherMesh { .. } => f.write_str("it belongs to another mesh (another mesh key)"),
            Self::Proof => f.write_str("the mesh key was not proven"),
            Self::NoBoot => f.write_str("its boot nonce is 0; expected one drawn at its start"),
            Self::Myself => f.write_str("it is this node itself"),
            Self::SameIdentity => f.write_str("another process runs with this node's identity"),
            Self::Twin => f.write_str("its identity is connected already, and that is another process"),
            Self::TwinOfMine => f.write_str(
                "it is connected with another node that has this node's identity: a data directory was copied; delete \
                 identity.key in one of them and start that node again",
            ),
            Self::Unknown(code) => write!(f, "refused with code {code}, which this version does not know"),
        }
    }
}

impl Refusal {
    /// One word for its kind.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::NotWeft => "not weft",
            Self::Version(_) => "version",
            Self::OtherMesh { .. } => "other mesh",
            Self::Proof => "proof",
            Self::NoBoot => "no boot nonce",
            Self::Myself => "myself",
            Self::SameIdentity => "same identity",
            Self::Twin => "twin",
            Self::TwinOfMine => "twin of mine",
            Self::Unknown(_) => "unknown",
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::NotWeft => 1,
            Self::Version(_) => 2,
            Self::OtherMesh { .. } => 3,
            Self::Proof => 4,
            Self::Myself => 5,
            Self::SameIdentity => 6,
            Self::Twin | Self::TwinOfMine => TWIN,
            Self::NoBoot => 8,
            Self::Unknown(code) => code,
        }
    }

    fn from_code(code: u8, ours: bool, apart: Apart) -> Self {
        match code {
            1 => Self::NotWeft,
            2 => Self::Version(apart),
            3 => Self::OtherMesh { ours, theirs: None, mesh: None },
            4 => Self::Proof,
            // 5 and 6 are never sent: `judge` compares the authenticated id itself. 8 is not sent to a node that keeps to
            // the protocol.
            other => Self::Unknown(other),
        }
    }
}

/// How an admission failed.
#[derive(Debug)]
pub(crate) enum AdmitError {
    /// One side refused.
    Refused(Refusal),
    /// The connection broke.
    Broken(io::Error),
}

impl From<io::Error> for AdmitError {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

/// Which side of the connection one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The side that dialled.
    Dialer,
    /// The side that was dialled.
    Listener,
}

impl Role {
    fn other(self) -> Self {
        match self {
            Self::Dialer => Self::Listener,
            Self::Listener => Self::Dialer,
        }
    }
}

struct Hello {
    magic: [u8; 8],
    versions: Versions,
    mesh_id: [u8; 32],
    boot: u64,
    nonce: [u8; 32],
}

impl Hello {
    fn encode(&self) -> Vec<u8> {
        let Self { magic, versions, mesh_id, boot, nonce } = self;
        [&magic[..], &versions.encode().to_be_bytes(), mesh_id, &boot.to_be_bytes(), nonce].concat()
    }

    /// Any bytes decode; [`Doorkeeper`] checks the content.
    fn decode(bytes: &[u8; HELLO_BYTES]) -> Self {
        let mut rest = &bytes[..];
        Self {
            magic: take(&mut rest),
            versions: Versions::decode(u16::from_be_bytes(take(&mut rest))),
            mesh_id: take(&mut rest),
            boot: u64::from_be_bytes(take(&mut rest)),
            nonce: take(&mut rest),
        }
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let (head, tail) = rest.split_first_chunk::<N>().expect("the hello's length is fixed");
    *rest = tail;
    *head
}

impl Doorkeeper {
    pub(crate) fn new(me: PeerId, boot: u64, admission: Admission) -> Self {
        let (mesh_id, proof_key) = match admission {
            Admission::Loopback | Admission::Open => ([0; 32], [0; 32]),
            Admission::Key(key) => (
                blake3::derive_key("weft 2026 mesh id v1", &key),
                blake3::derive_key("weft 2026 admission proof v1", &key),
            ),
        };
        Self { me, boot, mesh_id, proof_key, versions: Versions::OURS, census: Arc::default() }
    }

    fn has_key(&self) -> bool {
        self.mesh_id != [0; 32]
    }

    /// Runs the admission of both sides; returns what the other side said of itself. The caller must set a deadline: it may
    /// block for ever.
    pub(crate) async fn admit<S>(
        &self,
        stream: &mut S,
        peer: PeerId,
        role: Role,
    ) -> Result<Admitted, AdmitError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let ours = self.hello()?;
        stream.write_all(&ours.encode()).await?;
        stream.flush().await?;
        let mut bytes = [0; HELLO_BYTES];
        stream.read_exact(&mut bytes).await?;
        let theirs = Hello::decode(&bytes);

        let judged = self.judge(&theirs, peer);
        let proof = match judged {
            Ok(_) => *self.proof(role, role, self.me, peer, &ours.nonce, &theirs.nonce).as_bytes(),
            Err(_) => [0; 32],
        };
        say(stream, judged.map(|_| ()), &proof).await?;
        let mut bytes = [0; PROOF_BYTES];
        let heard = stream.read_exact(&mut bytes).await;
        let spoken = judged.map_err(AdmitError::Refused)?; // a refusal outweighs a connection that broke after it
        heard?;
        let (&code, claimed) = bytes.split_first().expect("the proof's length is fixed");
        self.heed(code, &theirs)?;

        let expected = self.proof(role.other(), role, self.me, peer, &ours.nonce, &theirs.nonce);
        // `Hash` compares in constant time.
        let proven = blake3::Hash::from_slice(claimed).is_ok_and(|claimed| claimed == expected);
        let verdict = match proven {
            false => Err(Refusal::Proof),
            true if self.census.is_twin(peer, theirs.boot) => Err(Refusal::Twin),
            true => Ok(()),
        };
        say(stream, verdict, &[]).await?;
        let mut code = [0; 1];
        let heard = stream.read_exact(&mut code).await;
        verdict.map_err(AdmitError::Refused)?;
        heard?;
        match code {
            [TWIN] => Err(AdmitError::Refused(Refusal::TwinOfMine)),
            [code] => self.heed(code, &theirs).map(|()| Admitted { boot: theirs.boot, spoken }),
        }
    }

    fn hello(&self) -> io::Result<Hello> {
        let mut nonce = [0; 32];
        getrandom::fill(&mut nonce).map_err(io::Error::other)?;
        Ok(Hello { magic: *MAGIC, versions: self.versions, mesh_id: self.mesh_id, boot: self.boot, nonce })
    }

    fn judge(&self, theirs: &Hello, peer: PeerId) -> Result<Spoken, Refusal> {
        if theirs.magic != *MAGIC {
            return Err(Refusal::NotWeft);
        }
        let spoken = self.versions.with(theirs.versions).ok_or(Refusal::Version(self.apart(theirs)))?;
        if peer == self.me {
            return Err(if theirs.boot == self.boot { Refusal::Myself } else { Refusal::SameIdentity });
        }
        if theirs.mesh_id != self.mesh_id {
            let mesh = theirs.mesh_id.first_chunk().map(|part| u32::from_be_bytes(*part));
            let theirs = Some(theirs.mesh_id != [0; 32]);
            return Err(Refusal::OtherMesh { ours: self.has_key(), theirs, mesh });
        }
        if theirs.boot == 0 {
            return Err(Refusal::NoBoot);
        }
        Ok(spoken)
    }

    fn apart(&self, theirs: &Hello) -> Apart {
        Apart { ours: self.versions, theirs: theirs.versions, is_of_mesh: theirs.mesh_id == self.mesh_id }
    }

    fn heed(&self, code: u8, theirs: &Hello) -> Result<(), AdmitError> {
        if code == ACCEPT {
            return Ok(());
        }
        Err(AdmitError::Refused(Refusal::from_code(code, self.has_key(), self.apart(theirs))))
    }

    /// The proof of the side `prover`. It covers its role, both nonces and both ids, so that it can't be relayed or
    /// reflected.
    fn proof(
        &self,
        prover: Role,
        mine: Role,
        me: PeerId,
        peer: PeerId,
        my_nonce: &[u8; 32],
        peer_nonce: &[u8; 32],
    ) -> blake3::Hash {
        let (dialer, listener) = match mine {
            Role::Dialer => ((me, my_nonce), (peer, peer_nonce)),
            Role::Listener => ((peer, peer_nonce), (me, my_nonce)),
        };
        let mut hasher = blake3::Hasher::new_keyed(&self.proof_key);
        hasher.update(match prover {
            Role::Dialer => b"dialer\0\0",
            Role::Listener => b"listener",
        });
        hasher.update(dialer.1).update(listener.1).update(&dialer.0.0).update(&listener.0.0);
        hasher.finalize()
    }
}

async fn say<S>(stream: &mut S, judged: Result<(), Refusal>, proof: &[u8]) -> io::Result<()>
where
    S: AsyncWrite + Unpin,
{
    let code = match judged {
        Ok(()) => ACCEPT,
        Err(refusal) => refusal.code(),
    };
    let mut bytes = vec![code];
    bytes.extend_from_slice(proof);
    stream.write_all(&bytes).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests;
