//! A stream socket between a node and one of its slots: frames in both directions, with attached file descriptors. Used
//! by both sides. It knows frames, not messages (see [`super::wire`]); whether it blocks depends on the socket's mode.
//!
//! A frame is a length of four bytes and that many bytes. A file is sent with the bytes of its frame or before them, in
//! order, so that a complete frame has all its files.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use bincode::enc::write::Writer;
use bincode::error::EncodeError;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Most files in one message of the socket.
const FILES_PER_MESSAGE: usize = 64;
/// Most received files that belong to no complete frame yet. Each outstanding task that brings files has three at
/// most, and there are 128 of these.
const FILES_WAITING_MAX: usize = 8 * FILES_PER_MESSAGE;
/// Bytes read at once.
const CHUNK_BYTES: usize = 64 << 10;
/// A buffer that grew beyond this length for one frame is freed when it is empty.
const BUFFER_KEPT_BYTES: usize = 256 << 10;
const LENGTH_BYTES: usize = 4;

/// Why the socket can't be used any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// The other side closed it.
    #[error("the socket was closed")]
    Closed,
    /// The operating system reports an error.
    #[error("the socket failed: {0}")]
    Io(#[from] io::Error),
    /// A malformed frame was received.
    #[error("protocol violation: {0}")]
    Protocol(&'static str),
}

/// Outgoing frames.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    /// Files, each with the offset in `bytes` at which its frame begins.
    files: VecDeque<(usize, Arc<OwnedFd>)>,
    frames: usize,
}

impl Outgoing {
    /// Adds a frame and its files.
    pub(crate) fn push<T: bincode::Encode>(
        &mut self,
        word: &T,
        files: impl IntoIterator<Item = Arc<OwnedFd>>,
    ) {
        let start = self.bytes.len();
        self.files.extend(files.into_iter().map(|file| (start, file)));
        self.bytes.extend_from_slice(&[0; LENGTH_BYTES]);
        bincode::encode_into_writer(word, Append(&mut self.bytes), bincode::config::standard())
            .expect("plain data always encodes, and a vector takes everything");
        let len = self.bytes.len() - start - LENGTH_BYTES;
        let len = u32::try_from(len).expect("no word of ours is 4 GiB long").to_le_bytes();
        if let Some(head) = self.bytes.get_mut(start..start + LENGTH_BYTES) {
            head.copy_from_slice(&len);
        }
        self.frames += 1;
    }

    /// Bytes that are not sent yet.
    pub(crate) fn waiting(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Frames that were queued since everything was sent.
    pub(crate) fn frames(&self) -> usize {
        self.frames
    }

    /// Sends what the socket accepts. True if that was everything.
    ///
    /// # Errors
    /// When the other side closed it, or the system reports an error.
    pub(crate) fn send(&mut self, socket: impl AsFd) -> io::Result<bool> {
        while self.sent < self.bytes.len() {
            match self.send_some(socket.as_fd()) {
                Ok(sent) => self.sent += sent,
                Err(rustix::io::Errno::AGAIN) => return Ok(false),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.bytes.clear();
        self.bytes.shrink_to(BUFFER_KEPT_BYTES);
        (self.sent, self.frames) = (0, 0);
        Ok(true)
    }

    fn send_some(&mut self, socket: impl AsFd) -> rustix::io::Result<usize> {
        // The bytes of a frame must not be sent before its files.
        let end = self.files.get(FILES_PER_MESSAGE).map_or(self.bytes.len(), |(at, _)| *at);
        let end = if end > self.sent { end } else { self.bytes.len() };
        let bytes = self.bytes.get(self.sent..end).unwrap_or_default();
        let carried = self.files.iter().take(FILES_PER_MESSAGE).filter(|(at, _)| *at < end);
        let files: Vec<_> = carried.map(|(_, file)| file.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_PER_MESSAGE))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !files.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(&files)), "there is room for so many files");
        }
        // SIGPIPE for a closed socket would kill the node.
        let sent = sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
        // The files are sent with the first byte.
        let carried = files.len();
        self.files.drain(..carried);
        Ok(sent)
    }
}

/// Appends encoded bytes to a vector.
struct Append<'a>(&'a mut Vec<u8>);

impl Writer for Append<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Incoming frames. Received data is bounded before it is kept.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// The bytes between `read` and `filled` are received and not decoded yet.
    bytes: Vec<u8>,
    read: usize,
    filled: usize,
    files: VecDeque<OwnedFd>,
    /// Longest accepted frame, in bytes.
    frame_max: usize,
}

impl Incoming {
    pub(crate) fn new(frame_max: usize) -> Self {
        Self { bytes: Vec::new(), read: 0, filled: 0, files: VecDeque::new(), frame_max }
    }

    /// Reads once from the socket. False if a non-blocking one has no data.
    ///
    /// # Errors
    /// When the other side closed it, or sent more files than frames can have.
    pub(crate) fn receive(&mut self, socket: impl AsFd) -> Result<bool, Broken> {
        self.bytes.copy_within(self.read..self.filled, 0);
        (self.read, self.filled) = (0, self.filled - self.read);
        if self.filled == 0 && self.bytes.len() > BUFFER_KEPT_BYTES {
            self.bytes = Vec::new();
        }
        if self.bytes.len() < self.filled + CHUNK_BYTES {
            self.bytes.resize(self.filled + CHUNK_BYTES, 0);
        }
        match self.receive_behind(socket)? {
            Some(0) => Err(Broken::Closed),
            Some(got) => {
                self.filled += got;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    fn receive_behind(&mut self, socket: impl AsFd) -> Result<Option<usize>, Broken> {
        let room = self.bytes.get_mut(self.filled..).unwrap_or_default();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_PER_MESSAGE))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let message = loop {
            match recvmsg(&socket, &mut [IoSliceMut::new(room)], &mut control, RecvFlags::CMSG_CLOEXEC) {
                Ok(message) => break message,
                Err(rustix::io::Errno::AGAIN) => return Ok(None),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::CONNRESET) => return Ok(Some(0)),
                Err(error) => return Err(Broken::Io(error.into())),
            }
        };
        for part in control.drain() {
            if let RecvAncillaryMessage::ScmRights(files) = part {
                self.files.extend(files);
            }
        }
        if message.flags.contains(ReturnFlags::CTRUNC) || self.files.len() > FILES_WAITING_MAX {
            return Err(Broken::Protocol("too many files"));
        }
        Ok(Some(message.bytes))
    }

    /// Decodes the next complete frame, if there is one. Decoding allocates at most `CLAIM` bytes.
    ///
    /// # Errors
    /// When it is too long or malformed.
    pub(crate) fn next<T: bincode::Decode<()>, const CLAIM: usize>(&mut self) -> Result<Option<T>, Broken> {
        let unread = self.bytes.get(self.read..self.filled).unwrap_or_default();
        let Some((head, rest)) = unread.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let len = usize::try_from(u32::from_le_bytes(*head)).unwrap_or(usize::MAX);
        if len > self.frame_max {
            return Err(Broken::Protocol("a frame is too long"));
        }
        let Some(frame) = rest.get(..len) else { return Ok(None) };
        let config = bincode::config::standard().with_limit::<CLAIM>();
        let (word, used) = bincode::decode_from_slice(frame, config)
            .ok()
            .ok_or(Broken::Protocol("a frame does not decode"))?;
        if used != len {
            return Err(Broken::Protocol("a frame has trailing bytes"));
        }
        self.read += LENGTH_BYTES + len;
        Ok(Some(word))
    }

    /// The next file of the last frame.
    ///
    /// # Errors
    /// When it has no more files.
    pub(crate) fn file(&mut self) -> Result<OwnedFd, Broken> {
        self.files.pop_front().ok_or(Broken::Protocol("a file is missing"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    use std::fs::File;
    use std::io::{Read, Seek, Write};

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
            None,
        )
        .unwrap()
    }

    fn wait_readable(socket: &OwnedFd) {
        let deadline = Timespec { tv_sec: 10, tv_nsec: 0 };
        let ready = poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&deadline)).unwrap();
        assert_eq!(ready, 1, "nothing came, and nobody closed it");
    }

    fn file(text: &str) -> Arc<OwnedFd> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.rewind().unwrap();
        Arc::new(OwnedFd::from(file))
    }

    #[test]
    fn frames_and_files_arrive_in_order_whatever_the_socket_takes_at_once() {
        let (here, there) = pair();
        let mut out = Outgoing::default();
        // More files than a message carries, more bytes than the socket holds.
        for index in 0..200_u32 {
            let has_file = index % 2 == 0;
            out.push(&(index, vec![7_u8; 5000]), has_file.then(|| file(&index.to_string())));
        }
        let mut incoming = Incoming::new(10_000);
        let mut got = 0;
        while got < 200 {
            out.send(&here).unwrap();
            assert!(incoming.receive(&there).unwrap());
            while let Some((index, bytes)) = incoming.next::<(u32, Vec<u8>), 10_000>().unwrap() {
                assert_eq!((index, bytes.len()), (got, 5000));
                if index % 2 == 0 {
                    let mut text = String::new();
                    File::from(incoming.file().unwrap()).read_to_string(&mut text).unwrap();
                    assert_eq!(text, index.to_string());
                }
                got += 1;
            }
        }
        assert_eq!((out.waiting(), incoming.files.len()), (0, 0));
        assert!(!incoming.receive(&there).unwrap());
        drop(here);
        // A program that another test starts holds a copy of the closed end between its fork and its exec.
        wait_readable(&there);
        assert!(matches!(incoming.receive(&there), Err(Broken::Closed)));
    }

    #[test]
    fn what_is_no_frame_is_refused_not_kept() {
        for (bytes, claims) in [
            (vec![255, 255, 255, 127], true),
            (vec![9, 0, 0, 0, 253, 0, 0, 0, 0, 0, 0, 0, 64], true),
            (vec![2, 0, 0, 0, 0, 0], false),
        ] {
            let (here, there) = pair();
            rustix::io::write(&here, &bytes).unwrap();
            let mut incoming = Incoming::new(1000);
            incoming.receive(&there).unwrap();
            assert!(
                matches!(incoming.next::<Vec<u8>, 1000>(), Err(Broken::Protocol(_))),
                "{claims} {bytes:?}"
            );
        }
        let (here, there) = pair();
        let mut out = Outgoing::default();
        for _ in 0..=FILES_WAITING_MAX {
            out.push(&0_u8, [file("x")]);
        }
        out.send(&here).unwrap();
        let mut incoming = Incoming::new(1000);
        let refused = (0..20).find_map(|_| incoming.receive(&there).err());
        assert!(matches!(refused, Some(Broken::Protocol("too many files"))));
    }
}
