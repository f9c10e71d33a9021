//! The guest's memory during a call. All reads and writes go through here and are checked: an access outside is a trap
//! of the guest.

use weft_core::Trap;

use super::abi::Errno;
use super::fail::{Answer, Fail};
use crate::end::End;

/// Most buffers of one call, as on Linux.
const BUFFERS_MAX: u32 = 1024;

/// An address or a length in the guest's memory.
pub(super) type Word = u32;

pub(super) struct Ram<'a>(&'a mut [u8]);

/// A range that was checked to be inside of the memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    start: usize,
    end: usize,
}

impl Span {
    pub(super) fn len(self) -> usize {
        self.end - self.start
    }
}

impl<'a> Ram<'a> {
    pub(super) fn new(bytes: &'a mut [u8]) -> Self {
        Self(bytes)
    }

    /// The range of these bytes, if it is inside of the memory.
    pub(super) fn span(&self, address: Word, len: Word) -> Answer<Span> {
        let start = usize::try_from(address).ok();
        let end = start.and_then(|start| start.checked_add(usize::try_from(len).ok()?));
        match (start, end) {
            (Some(start), Some(end)) if end <= self.0.len() => Ok(Span { start, end }),
            _ => Err(outside()),
        }
    }

    pub(super) fn bytes(&self, span: Span) -> Answer<&[u8]> {
        self.0.get(span.start..span.end).ok_or_else(outside)
    }

    pub(super) fn bytes_mut(&mut self, span: Span) -> Answer<&mut [u8]> {
        self.0.get_mut(span.start..span.end).ok_or_else(outside)
    }

    pub(super) fn put(&mut self, address: Word, bytes: &[u8]) -> Answer {
        let len = Word::try_from(bytes.len())?;
        let span = self.span(address, len)?;
        self.bytes_mut(span)?.copy_from_slice(bytes);
        Ok(())
    }

    pub(super) fn put_u32(&mut self, address: Word, value: u32) -> Answer {
        self.put(address, &value.to_le_bytes())
    }

    pub(super) fn put_u64(&mut self, address: Word, value: u64) -> Answer {
        self.put(address, &value.to_le_bytes())
    }

    /// Writes a length as a 32-bit number.
    pub(super) fn put_len(&mut self, address: Word, len: usize) -> Answer {
        self.put_u32(address, u32::try_from(len)?)
    }

    pub(super) fn array<const N: usize>(&self, address: Word) -> Answer<[u8; N]> {
        let span = self.span(address, Word::try_from(N)?)?;
        self.bytes(span)?.first_chunk().copied().ok_or_else(outside)
    }

    fn u32(&self, address: Word) -> Answer<u32> {
        Ok(u32::from_le_bytes(self.array(address)?))
    }

    /// Reads a text, such as a path.
    pub(super) fn text(&self, address: Word, len: Word) -> Answer<&str> {
        let span = self.span(address, len)?;
        Ok(std::str::from_utf8(self.bytes(span)?)?)
    }

    /// The buffers of a vectored call, each checked to be inside. An empty buffer is valid wherever it begins, as under
    /// `wasmtime run` and on Linux.
    pub(super) fn spans(&self, list: Word, count: Word) -> Answer<Vec<Span>> {
        if count > BUFFERS_MAX {
            return Err(Errno::INVAL.into());
        }
        (0..count)
            .map(|index| {
                let entry = list.checked_add(index * 8).ok_or_else(outside)?;
                let length = entry.checked_add(4).ok_or_else(outside)?;
                match self.u32(length)? {
                    0 => Ok(Span { start: 0, end: 0 }),
                    len => self.span(self.u32(entry)?, len),
                }
            })
            .collect()
    }
}

fn outside() -> Fail {
    Fail::End(End::Trap(Trap::MemoryOutOfBounds))
}
