//! The messages between a node and its compile child: one datagram each, with the module and an empty file for the code
//! attached as descriptors. Received messages are bounded before they are decoded.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

use super::bounds::Bounds;
use super::compilation::{CompileError, Effort};
use crate::code::Kind;
use crate::make::Make;

/// Longest datagram, in bytes.
const WORD_BYTES_MAX: usize = 16 << 10;

/// A request to compile a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(super) struct Request {
    pub(super) make: Make,
    pub(super) kind: Kind,
    pub(super) bounds: Bounds,
    pub(super) effort: Effort,
    /// Most address space of the child, in bytes.
    pub(super) memory_bytes: u64,
    /// Most processor time of each of its threads, in seconds.
    pub(super) cpu_s: u64,
}

/// The result: the code is in the file, or why not.
pub(super) type Answer = Result<(), CompileError>;

/// Sends a request with the module's file and the file for its code.
pub(super) fn send_request(
    socket: impl AsFd,
    request: &Request,
    module: BorrowedFd<'_>,
    code: BorrowedFd<'_>,
) -> io::Result<()> {
    let word = encode(request);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    let files = [module, code];
    if !beside.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(io::Error::other("no room for two files"));
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(&word)], &mut beside, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives the next request with its two files; `None` when the node closed the socket.
pub(super) fn receive_request(socket: impl AsFd) -> io::Result<Option<(Request, File, File)>> {
    let mut word = vec![0; WORD_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let mut pieces = [IoSliceMut::new(&mut word)];
    let got = rustix::net::recvmsg(socket, &mut pieces, &mut beside, RecvFlags::CMSG_CLOEXEC)?;
    let mut files = Vec::new();
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            files.extend(fds.map(File::from));
        }
    }
    if got.bytes == 0 {
        return Ok(None);
    }
    let request = decode(word.get(..got.bytes).unwrap_or_default())?;
    let mut files = files.into_iter();
    match (files.next(), files.next()) {
        (Some(module), Some(code)) => Ok(Some((request, module, code))),
        _ => Err(malformed()),
    }
}

/// Encodes an answer.
pub(super) fn encode_answer(answer: &Answer) -> Vec<u8> {
    encode(answer)
}

/// Decodes an answer; `None` when the child closed the socket.
pub(super) fn decode_answer(word: &[u8]) -> io::Result<Option<Answer>> {
    if word.is_empty() { Ok(None) } else { decode(word).map(Some) }
}

/// A buffer for a datagram.
pub(super) fn buffer() -> Vec<u8> {
    vec![0; WORD_BYTES_MAX]
}

fn encode(word: &impl bincode::Encode) -> Vec<u8> {
    bincode::encode_to_vec(word, bincode::config::standard()).expect("plain data always encodes")
}

fn decode<T: bincode::Decode<()>>(word: &[u8]) -> io::Result<T> {
    let config = bincode::config::standard().with_limit::<{ 4 * WORD_BYTES_MAX }>();
    match bincode::decode_from_slice(word, config) {
        Ok((decoded, read)) if read == word.len() => Ok(decoded),
        Ok(_) | Err(_) => Err(malformed()),
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "malformed message between a node and its compiler")
}
