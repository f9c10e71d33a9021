//! Requests of one member to another, as HTTP has them: the words, and their frames. Pure; `ask` sends them, `answer` takes
//! them, and what they mean is known to the node alone. Each has a substream of its own:
//!
//! ```text
//!   asker     REQUEST
//!   answerer  PULSE* then BUSY, or HEAD (DATA | PULSE)* END
//! ```
//!
//! Each frame is a length of 4 bytes, a tag and a body. PULSE says that the answerer is still at work: a follower of a job's
//! results may hear nothing else for hours.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bytes::Bytes;
use futures::{AsyncRead, AsyncReadExt, Stream};
use libp2p::StreamProtocol;
use tokio::sync::oneshot;
use weft_core::PeerId;

pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/weft/api/1");
/// Longest body of a request, in bytes. None that a node takes has one.
pub const REQUEST_BODY_BYTES_MAX: usize = 16 << 10;
/// Longest head of a request or an answer, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Most headers of an answer.
const HEADERS_MAX: usize = 32;
/// Longest part of an answer's body in one frame, in bytes.
pub(crate) const DATA_BYTES_MAX: usize = 64 << 10;
/// Longest frame without its length field, in bytes.
const FRAME_BYTES_MAX: usize = 1 + REQUEST_BODY_BYTES_MAX + HEAD_BYTES_MAX;
/// What decoding a frame may allocate, in bytes.
const CLAIM_MAX: usize = 2 * FRAME_BYTES_MAX;
/// An answerer that has nothing else to say says so this often.
pub(crate) const PULSE_EVERY: Duration = Duration::from_secs(2);

/// A request of one member to another.
#[derive(Clone, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct ApiRequest {
    /// The method, in capitals.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// What the asker takes (`accept`); empty for anything.
    pub accept: String,
    /// What the body is (`content-type`); empty without one.
    pub content_type: String,
    /// The body, at most [`REQUEST_BODY_BYTES_MAX`].
    pub body: Vec<u8>,
}

/// The head of an answer.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct ApiHead {
    /// The status code of HTTP.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
}

/// The body of an answer as it comes; an error breaks the answer off.
pub type ApiBody = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// An answer on its way out.
pub struct ApiReply {
    /// Its head.
    pub head: ApiHead,
    /// Its body.
    pub body: ApiBody,
}

/// A request of a member, to be answered. Dropped without an answer, it is told that this node is busy.
pub struct Asked {
    /// The member; its key admitted it.
    pub from: PeerId,
    /// What it asks.
    pub request: ApiRequest,
    /// Where the answer goes.
    pub reply: oneshot::Sender<ApiReply>,
}

impl std::fmt::Debug for ApiReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiReply").field("head", &self.head).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (from, target) = (&self.from, &self.request.target);
        f.debug_struct("Asked").field("from", from).field("target", target).finish_non_exhaustive()
    }
}

/// One frame of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ApiFrame {
    Request(ApiRequest),
    /// Nothing yet.
    Pulse,
    Head(ApiHead),
    /// A part of the body.
    Data(Vec<u8>),
    /// The body is whole.
    End,
    /// Too many requests are being answered; nothing was done.
    Busy,
}

const REQUEST: u8 = 0;
const PULSE: u8 = 1;
const HEAD: u8 = 2;
const DATA: u8 = 3;
const END: u8 = 4;
const BUSY: u8 = 5;

impl ApiFrame {
    /// The frame with its length. An error if it is longer than the other side takes.
    pub(crate) fn encode(&self) -> io::Result<Vec<u8>> {
        match self {
            Self::Request(request) => {
                framed(REQUEST, &encoded(request, REQUEST_BODY_BYTES_MAX + HEAD_BYTES_MAX)?)
            }
            Self::Pulse => framed(PULSE, &[]),
            Self::Head(head) if head.headers.len() > HEADERS_MAX => Err(io::ErrorKind::InvalidData.into()),
            Self::Head(head) => framed(HEAD, &encoded(head, HEAD_BYTES_MAX)?),
            Self::Data(bytes) => framed(DATA, bytes),
            Self::End => framed(END, &[]),
            Self::Busy => framed(BUSY, &[]),
        }
    }

    /// `None` for what is no frame.
    fn decode(frame: &[u8]) -> Option<Self> {
        let (&tag, body) = frame.split_first()?;
        match tag {
            REQUEST => {
                let request: ApiRequest = decoded(body)?;
                let ApiRequest { method, target, accept, content_type, body } = &request;
                let head = method.len() + target.len() + accept.len() + content_type.len();
                let fits = head <= HEAD_BYTES_MAX && body.len() <= REQUEST_BODY_BYTES_MAX;
                fits.then_some(Self::Request(request))
            }
            HEAD if body.len() <= HEAD_BYTES_MAX => {
                decoded(body).filter(|head: &ApiHead| head.headers.len() <= HEADERS_MAX).map(Self::Head)
            }
            DATA if body.len() <= DATA_BYTES_MAX => Some(Self::Data(body.to_vec())),
            PULSE if body.is_empty() => Some(Self::Pulse),
            END if body.is_empty() => Some(Self::End),
            BUSY if body.is_empty() => Some(Self::Busy),
            _ => None,
        }
    }

    /// Reads one frame; the caller bounds the time.
    pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin), bytes_max: usize) -> io::Result<Self> {
        let mut length = [0; 4];
        stream.read_exact(&mut length).await?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > bytes_max {
            return Err(malformed("a frame that is too long"));
        }
        let mut frame = vec![0; length];
        stream.read_exact(&mut frame).await?;
        Self::decode(&frame).ok_or_else(|| malformed("a frame that is none"))
    }
}

/// Longest frame that an answerer reads.
pub(crate) const ASKED_BYTES_MAX: usize = FRAME_BYTES_MAX;
/// Longest frame that an asker reads.
pub(crate) const ANSWERED_BYTES_MAX: usize = 1 + DATA_BYTES_MAX;

pub(crate) fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn framed(tag: u8, body: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(body.len() + 1).map_err(io::Error::other)?;
    Ok([&length.to_be_bytes()[..], &[tag], body].concat())
}

fn encoded(value: &impl bincode::Encode, bytes_max: usize) -> io::Result<Vec<u8>> {
    let bytes = bincode::encode_to_vec(value, bincode::config::standard()).map_err(io::Error::other)?;
    if bytes.len() > bytes_max { Err(io::ErrorKind::InvalidData.into()) } else { Ok(bytes) }
}

fn decoded<T: bincode::Decode<()>>(body: &[u8]) -> Option<T> {
    let config: Configuration<LittleEndian, Varint, Limit<CLAIM_MAX>> =
        bincode::config::standard().with_limit::<CLAIM_MAX>();
    let (value, used) = bincode::decode_from_slice(body, config).ok()?;
    (used == body.len()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> io::Result<ApiFrame> {
        block_on(ApiFrame::read(&mut futures::io::Cursor::new(bytes), ASKED_BYTES_MAX))
    }

    fn frame() -> impl Strategy<Value = ApiFrame> {
        let request =
            ("[A-Z]{3,6}", "/[ -~]{0,60}", "[ -~]{0,20}", prop::collection::vec(any::<u8>(), 0..2000));
        let request = request.prop_map(|(method, target, accept, body)| ApiRequest {
            method,
            target,
            accept,
            content_type: String::new(),
            body,
        });
        let headers = prop::collection::vec(("[a-z-]{1,9}", "[ -~]{0,20}"), 0..HEADERS_MAX);
        prop_oneof![
            request.prop_map(ApiFrame::Request),
            Just(ApiFrame::Pulse),
            (any::<u16>(), headers).prop_map(|(status, headers)| ApiFrame::Head(ApiHead { status, headers })),
            prop::collection::vec(any::<u8>(), 0..2000).prop_map(ApiFrame::Data),
            Just(ApiFrame::End),
            Just(ApiFrame::Busy),
        ]
    }

    proptest! {
        #[test]
        fn a_frame_survives_the_wire(frame in frame()) {
            prop_assert_eq!(read(&frame.encode().unwrap()).unwrap(), frame);
        }

        #[test]
        fn any_bytes_are_a_frame_or_an_error(body in prop::collection::vec(any::<u8>(), 0..3000)) {
            let length = u32::try_from(body.len()).unwrap().to_be_bytes();
            drop(read(&[&length[..], &body].concat()));
        }
    }

    #[test]
    fn a_forged_length_is_refused_before_its_bytes_are_waited_for() {
        let error = read(&[0xff; 4]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        // A list that claims more entries than its bytes can be.
        let forged = [&[HEAD, 200, 253][..], &u64::MAX.to_le_bytes()].concat();
        assert_eq!(ApiFrame::decode(&forged), None);
    }

    #[test]
    fn what_is_beyond_a_bound_is_refused_on_both_sides() {
        let body =
            ApiRequest { body: vec![0; REQUEST_BODY_BYTES_MAX + HEAD_BYTES_MAX], ..ApiRequest::default() };
        assert!(ApiFrame::Request(body).encode().is_err());
        let head = ApiRequest { target: "x".repeat(HEAD_BYTES_MAX + 1), ..ApiRequest::default() };
        let sent = ApiFrame::Request(head).encode().unwrap();
        assert_eq!(read(&sent).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let headers = vec![(String::new(), String::new()); HEADERS_MAX + 1];
        assert!(ApiFrame::Head(ApiHead { status: 200, headers }).encode().is_err());
        assert_eq!(ApiFrame::decode(&[&[DATA][..], &vec![0; DATA_BYTES_MAX + 1]].concat()), None);
    }
}
