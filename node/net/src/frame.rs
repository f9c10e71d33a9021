//! The frames between two nodes: a length, a tag, a body. Pure: bytes in, frames out; the link reads and writes.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use weft_core::PeerId;
use weft_core::message::MESSAGE_BYTES_MAX;

/// Longest frame without its length field, in bytes.
pub(crate) const FRAME_BYTES_MAX: usize = MESSAGE_BYTES_MAX + 16;
/// Length of an encoded hello, length field and tag included.
pub(crate) const HELLO_FRAME_BYTES: usize = LENGTH_BYTES + 1 + 8;
/// Most peers in one address list.
pub(crate) const TOLD_PEERS_MAX: usize = 64;
/// Most addresses of one peer.
pub(crate) const TOLD_ADDRESSES_MAX: usize = 8;

/// Longest padding: more than one packet of any network that has frames of 9,000 bytes.
pub(crate) const PADDING_BYTES_MAX: usize = 16 << 10;

const LENGTH_BYTES: usize = 4;
/// Longest address, in bytes.
const ADDRESS_BYTES_MAX: usize = 128;
/// Longest body of an address list, in bytes; decoding it may allocate four times that.
const ADDRESSES_BYTES_MAX: usize = 128 << 10;
const ADDRESSES_CLAIM_MAX: usize = 4 * ADDRESSES_BYTES_MAX;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NetFrame {
    /// The first frame in either direction: the sender's boot nonce.
    Hello(u64),
    /// Answer with a pong of the same number.
    Ping(u64),
    /// The answer.
    Pong(u64),
    /// Addresses of peers; the sender's own entry is authoritative.
    Addresses(Vec<Told>),
    /// The sender has no gossip subscription of the receiver, which must send it again.
    Resubscribe,
    /// A message of the core, encoded by its codec.
    Message(Vec<u8>),
    /// This many bytes of padding, at most [`PADDING_BYTES_MAX`]: they show whether large packets pass.
    Padding(usize),
}

/// Addresses of one peer, as another peer tells them.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) struct Told {
    /// The peer.
    pub(crate) peer: PeerId,
    /// Multiaddrs, at most [`TOLD_ADDRESSES_MAX`].
    pub(crate) addresses: Vec<String>,
}

/// A malformed frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// The length exceeds the bound.
    #[error("a frame of {bytes} bytes, the limit is {FRAME_BYTES_MAX}")]
    TooLong {
        /// The length.
        bytes: usize,
    },
    /// An empty frame.
    #[error("a frame without a tag")]
    Empty,
    /// No kind has this tag.
    #[error("a frame of unknown kind {0}")]
    UnknownTag(u8),
    /// The body does not fit its kind.
    #[error("a malformed frame of kind {0}")]
    Malformed(u8),
}

impl FrameError {
    /// Whether only the kind of the frame is not known: a node of a newer version may have more kinds. The next frame is read.
    pub(crate) fn is_of_kind(self) -> bool {
        matches!(self, Self::UnknownTag(_))
    }
}

const HELLO: u8 = 0;
const PING: u8 = 1;
const PONG: u8 = 2;
const ADDRESSES: u8 = 3;
const RESUBSCRIBE: u8 = 4;
const MESSAGE: u8 = 5;
const PADDING: u8 = 6;

impl NetFrame {
    /// The encoded frame, length field included.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Hello(boot) => framed(HELLO, &boot.to_be_bytes()),
            Self::Ping(number) => framed(PING, &number.to_be_bytes()),
            Self::Pong(number) => framed(PONG, &number.to_be_bytes()),
            Self::Addresses(told) => {
                let config = bincode::config::standard();
                framed(ADDRESSES, &bincode::encode_to_vec(told, config).expect("plain data always encodes"))
            }
            Self::Resubscribe => framed(RESUBSCRIBE, &[]),
            Self::Message(bytes) => framed(MESSAGE, bytes),
            Self::Padding(bytes) => framed(PADDING, &vec![0; *bytes]),
        }
    }

    fn parse(frame: &[u8]) -> Result<Self, FrameError> {
        let (&tag, body) = frame.split_first().ok_or(FrameError::Empty)?;
        let number = || body.try_into().map(u64::from_be_bytes).ok().ok_or(FrameError::Malformed(tag));
        match tag {
            HELLO => Ok(Self::Hello(number()?)),
            PING => Ok(Self::Ping(number()?)),
            PONG => Ok(Self::Pong(number()?)),
            ADDRESSES => parse_addresses(body).map(Self::Addresses).ok_or(FrameError::Malformed(tag)),
            RESUBSCRIBE if body.is_empty() => Ok(Self::Resubscribe),
            RESUBSCRIBE => Err(FrameError::Malformed(tag)),
            MESSAGE => Ok(Self::Message(body.to_vec())),
            PADDING if body.len() <= PADDING_BYTES_MAX => Ok(Self::Padding(body.len())),
            PADDING => Err(FrameError::Malformed(tag)),
            other => Err(FrameError::UnknownTag(other)),
        }
    }
}

fn framed(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 1).expect("every body is bounded far below 4 GiB");
    let mut frame = Vec::with_capacity(LENGTH_BYTES + 1 + body.len());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.push(tag);
    frame.extend_from_slice(body);
    frame
}

fn parse_addresses(body: &[u8]) -> Option<Vec<Told>> {
    if body.len() > ADDRESSES_BYTES_MAX {
        return None;
    }
    let config: Configuration<LittleEndian, Varint, Limit<ADDRESSES_CLAIM_MAX>> =
        bincode::config::standard().with_limit::<ADDRESSES_CLAIM_MAX>();
    let (told, used): (Vec<Told>, usize) = bincode::decode_from_slice(body, config).ok()?;
    let bounded = told.len() <= TOLD_PEERS_MAX
        && told.iter().all(|t| {
            t.addresses.len() <= TOLD_ADDRESSES_MAX
                && t.addresses.iter().all(|address| address.len() <= ADDRESS_BYTES_MAX)
        });
    (used == body.len() && bounded).then_some(told)
}

/// Parses the boot nonce of a hello frame.
pub(crate) fn parse_hello(bytes: &[u8; HELLO_FRAME_BYTES]) -> Option<u64> {
    let mut frames = Frames::default();
    frames.feed(bytes);
    match frames.next() {
        Ok(Some(NetFrame::Hello(boot))) => Some(boot),
        Ok(_) | Err(_) => None,
    }
}

/// Bytes of the buffer that are kept.
const KEPT_BYTES: usize = 64 << 10;

/// A decoder: bytes in, frames out. Holds at most one incomplete frame and the bytes of one read.
#[derive(Default)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
    taken: usize,
}

impl Frames {
    /// Adds what was read.
    pub(crate) fn feed(&mut self, read: &[u8]) {
        if self.taken > 0 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
            // Frees the memory of a long frame.
            self.bytes.shrink_to(2 * KEPT_BYTES);
        }
        self.bytes.extend_from_slice(read);
    }

    /// The next complete frame; `None` if more bytes are needed. After an error the stream can't be decoded any more, unless
    /// that is about the frame alone (see [`FrameError::is_of_kind`]).
    pub(crate) fn next(&mut self) -> Result<Option<NetFrame>, FrameError> {
        let rest = self.bytes.get(self.taken..).unwrap_or_default();
        let Some((length, rest)) = rest.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(FrameError::TooLong { bytes: length });
        }
        let Some(frame) = rest.get(..length) else {
            return Ok(None);
        };
        let parsed = NetFrame::parse(frame);
        self.taken += LENGTH_BYTES + length;
        parsed.map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(bytes: &[u8], step: usize) -> Result<Vec<NetFrame>, FrameError> {
        let mut frames = Frames::default();
        let mut out = Vec::new();
        for chunk in bytes.chunks(step.max(1)) {
            frames.feed(chunk);
            while let Some(frame) = frames.next()? {
                out.push(frame);
            }
        }
        Ok(out)
    }

    fn frame() -> impl Strategy<Value = NetFrame> {
        let told = (any::<[u8; 32]>(), prop::collection::vec("[ -~]{0,100}", 0..TOLD_ADDRESSES_MAX))
            .prop_map(|(peer, addresses)| Told { peer: PeerId(peer), addresses });
        prop_oneof![
            any::<u64>().prop_map(NetFrame::Hello),
            any::<u64>().prop_map(NetFrame::Ping),
            any::<u64>().prop_map(NetFrame::Pong),
            Just(NetFrame::Resubscribe),
            prop::collection::vec(told, 0..10).prop_map(NetFrame::Addresses),
            prop::collection::vec(any::<u8>(), 0..2000).prop_map(NetFrame::Message),
            (0..PADDING_BYTES_MAX).prop_map(NetFrame::Padding),
        ]
    }

    proptest! {
        #[test]
        fn frames_survive_any_cutting(sent in prop::collection::vec(frame(), 0..20), step in 1usize..700) {
            let bytes: Vec<u8> = sent.iter().flat_map(NetFrame::encode).collect();
            prop_assert_eq!(all(&bytes, step), Ok(sent));
        }

        #[test]
        fn any_bytes_are_frames_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..3000), step in 1usize..99) {
            drop(all(&bytes, step));
        }

        #[test]
        fn any_address_list_is_bounded_or_refused(body in prop::collection::vec(any::<u8>(), 0..3000)) {
            if let Some(told) = parse_addresses(&body) {
                prop_assert!(told.len() <= TOLD_PEERS_MAX);
            }
        }
    }

    #[test]
    fn a_forged_length_is_refused_before_its_bytes_come() {
        assert_eq!(all(&[0xff; 4], 1), Err(FrameError::TooLong { bytes: 0xffff_ffff }));
        let longest = u32::try_from(FRAME_BYTES_MAX).unwrap().to_be_bytes();
        assert_eq!(all(&longest, 4), Ok(vec![]));
        assert_eq!(all(&[0, 0, 0, 0], 4), Err(FrameError::Empty));
        assert_eq!(all(&[0, 0, 0, 1, 77], 4), Err(FrameError::UnknownTag(77)));
    }

    #[test]
    fn a_long_frame_keeps_no_room() {
        let mut frames = Frames::default();
        for _ in 0..3 {
            NetFrame::Message(vec![0; MESSAGE_BYTES_MAX])
                .encode()
                .chunks(KEPT_BYTES)
                .for_each(|read| frames.feed(read));
            assert!(matches!(frames.next(), Ok(Some(NetFrame::Message(_)))));
            frames.feed(&[]);
            assert!(frames.bytes.capacity() <= 2 * KEPT_BYTES, "{}", frames.bytes.capacity());
        }
    }

    #[test]
    fn a_forged_count_of_addresses_is_refused() {
        assert_eq!(parse_addresses(&[253, 0, 0, 0, 0, 0, 0, 0, 64]), None);
        let told = Told { peer: PeerId([1; 32]), addresses: Vec::new() };
        let many = NetFrame::Addresses(vec![told; TOLD_PEERS_MAX + 1]).encode();
        assert_eq!(all(&many, 1 << 20), Err(FrameError::Malformed(ADDRESSES)));
    }
}
