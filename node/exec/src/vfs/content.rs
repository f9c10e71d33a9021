//! The bytes of one file: a slice of the archive, or blocks of its own. The caller checks the quota. A gap uses no
//! memory.

use bytes::Bytes;

/// Length of a block, in bytes. A growing file is never copied as a whole, and uses at most one block more than its
/// length.
const BLOCK_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub(super) enum Content {
    /// From the archive, unchanged.
    Given(Bytes),
    /// Written by the guest.
    Own(Blocks),
}

/// Missing or short blocks read as zeros up to `len`.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    len: u64,
    blocks: Vec<Vec<u8>>,
}

impl Content {
    pub(super) fn empty() -> Self {
        Self::Own(Blocks::default())
    }

    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Given(bytes) => bytes.len() as u64,
            Self::Own(blocks) => blocks.len,
        }
    }

    /// Fills the start of `buffer`; returns the number of bytes.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let left = self.len().saturating_sub(offset);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(buffer) = buffer.get_mut(..count) else { return 0 };
        match self {
            Self::Given(bytes) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX);
                if let Some(bytes) = from.checked_add(count).and_then(|end| bytes.get(from..end)) {
                    buffer.copy_from_slice(bytes);
                }
            }
            Self::Own(blocks) => blocks.read(offset, buffer),
        }
        count
    }

    /// Writes `bytes` at `offset`; the caller checked the quota.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.own().write(offset, bytes);
    }

    pub(super) fn set_len(&mut self, len: u64) {
        self.own().set_len(len);
    }

    /// Copies content of the archive at the first change. (Files under `/in` are never changed.)
    fn own(&mut self) -> &mut Blocks {
        if let Self::Given(bytes) = self {
            let mut blocks = Blocks::default();
            blocks.write(0, bytes);
            *self = Self::Own(blocks);
        }
        match self {
            Self::Own(blocks) => blocks,
            Self::Given(_) => unreachable!("it was replaced just above"),
        }
    }
}

impl Blocks {
    fn read(&self, offset: u64, buffer: &mut [u8]) {
        let (mut at, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let (index, from) = place(at);
            let (part, later) = rest.split_at_mut(rest.len().min(BLOCK_BYTES - from));
            let held = self.blocks.get(index).and_then(|block| block.get(from..)).unwrap_or_default();
            let count = held.len().min(part.len());
            let (have, gap) = part.split_at_mut(count);
            have.copy_from_slice(held.get(..count).unwrap_or_default());
            gap.fill(0);
            at += (have.len() + gap.len()) as u64;
            rest = later;
        }
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (index, from) = place(at);
            let (part, later) = rest.split_at(rest.len().min(BLOCK_BYTES - from));
            self.write_block(index, from, part);
            at += part.len() as u64;
            rest = later;
        }
        self.len = self.len.max(at);
    }

    fn write_block(&mut self, index: usize, from: usize, part: &[u8]) {
        if self.blocks.len() <= index {
            self.blocks.resize_with(index + 1, Vec::new);
        }
        let Some(block) = self.blocks.get_mut(index) else { return };
        let end = from + part.len();
        if block.len() == from {
            block.extend_from_slice(part);
            return;
        }
        if block.len() < end {
            block.resize(end, 0);
        }
        if let Some(room) = block.get_mut(from..end) {
            room.copy_from_slice(part);
        }
    }

    fn set_len(&mut self, len: u64) {
        if len < self.len {
            let (index, from) = place(len);
            self.blocks.truncate(index + 1);
            if let Some(block) = self.blocks.get_mut(index) {
                block.truncate(from);
                block.shrink_to_fit();
            }
        }
        self.len = len;
    }
}

/// The block of an offset, and the offset in the block.
fn place(offset: u64) -> (usize, usize) {
    let block = BLOCK_BYTES as u64;
    let within = usize::try_from(offset % block).expect("less than a block");
    (usize::try_from(offset / block).unwrap_or(usize::MAX), within)
}

/// Reads a content from start to end.
pub(super) struct Reader<'a> {
    content: &'a Content,
    at: u64,
}

impl Content {
    pub(super) fn reader(&self) -> Reader<'_> {
        Reader { content: self, at: 0 }
    }
}

impl std::io::Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.content.read(self.at, buffer);
        self.at += count as u64;
        Ok(count)
    }
}
