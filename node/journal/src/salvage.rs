//! Records from raw pages: what is found when the structure of a database file is hurt. Looks for a cell at each place
//! of each page, in the file and in its write-ahead log, and believes nothing that does not pass its keyed hash, so
//! that it needs neither header nor tree.
//!
//! It follows SQLite's file format (<https://www.sqlite.org/fileformat2.html>): cells of table leaves, chains of
//! overflow pages. Frames of the write-ahead log are in [`crate::wal`].

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use crate::disk::{self, Files, open_if_there};
use crate::error::Error;
use crate::kind::SNAPSHOT_BYTES_MAX;
use crate::schema::PAGE_BYTES;
use crate::wal::{be32, read_log};

/// Longest cell that can be one of ours, in bytes; a longer one is none.
const CELL_BYTES_MAX: usize = SNAPSHOT_BYTES_MAX + 1024;
/// Bytes of a payload's header, and in it the type of a hash of 16 bytes.
const HEADER_BYTES: std::ops::RangeInclusive<u8> = 5..=24;
const HASH_TYPE: u8 = 44;
/// Columns of the widest table that is looked for, `about`.
const COLUMNS_MAX: usize = 9;

/// A column's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Nothing: the id itself in a table that is numbered by it.
    Null,
    /// A number.
    Integer(i64),
    /// Bytes.
    Blob(Vec<u8>),
}

/// A row that a cell may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) id: i64,
    pub(crate) values: Vec<Value>,
}

/// All pages of a hurt database: those of its file, and the newer ones of its log.
pub(crate) struct Pages {
    file: Option<File>,
    pages: u32,
    log: Option<File>,
    /// Where the pages are in the log, each of them, in order.
    frames: Vec<(u32, u64)>,
    /// Where the newest of a number is.
    newest: HashMap<u32, u64>,
}

impl Pages {
    pub(crate) fn open(files: &Files) -> Result<Self, Error> {
        let file = open_if_there(&files.db)?;
        let bytes = disk::length(&files.db)?.unwrap_or(0);
        // A file that was cut ends with a part of a page.
        let pages = bytes.div_ceil(u64::try_from(PAGE_BYTES).unwrap_or(1));
        let log = read_log(&files.wal)?;
        let newest = log.frames.iter().copied().collect();
        Ok(Self {
            file,
            pages: u32::try_from(pages).unwrap_or(u32::MAX),
            log: open_if_there(&files.wal)?,
            frames: log.frames,
            newest,
        })
    }

    /// Hands each row that may be one, and has this many columns, to `take`: pages of the file first, then those of the
    /// log, oldest first.
    pub(crate) fn each_row(
        &self,
        columns: std::ops::RangeInclusive<usize>,
        mut take: impl FnMut(Row),
    ) -> io::Result<()> {
        let mut page = vec![0; PAGE_BYTES];
        for number in 1..=self.pages {
            self.read_file_page(number, &mut page)?;
            self.each_row_of(&page, &columns, &mut take)?;
        }
        for (_, place) in &self.frames {
            self.read_log_page(*place, &mut page)?;
            self.each_row_of(&page, &columns, &mut take)?;
        }
        Ok(())
    }

    fn each_row_of(
        &self,
        page: &[u8],
        columns: &std::ops::RangeInclusive<usize>,
        take: &mut impl FnMut(Row),
    ) -> io::Result<()> {
        for cell in headers(page).flat_map(|place| Cell::around(page, place)) {
            if columns.contains(&cell.types.len())
                && let Some(payload) = self.payload(&cell)?
                && let Some(values) = values_of(&cell.types, payload.get(cell.header..).unwrap_or_default())
            {
                take(Row { id: cell.id, values });
            }
        }
        Ok(())
    }

    /// The payload of a cell with what is on overflow pages; none if the chain breaks.
    fn payload(&self, cell: &Cell<'_>) -> io::Result<Option<Vec<u8>>> {
        let mut payload = cell.local.to_vec();
        let mut next = cell.overflow;
        let mut page = vec![0; PAGE_BYTES];
        while payload.len() < cell.length {
            if !self.read_page(next, &mut page)? {
                return Ok(None);
            }
            let (link, content) = page.split_at(4);
            next = be32(link, 0).unwrap_or(0);
            let part = (cell.length - payload.len()).min(content.len());
            payload.extend_from_slice(content.get(..part).unwrap_or_default());
        }
        Ok(Some(payload))
    }

    fn read_page(&self, number: u32, page: &mut [u8]) -> io::Result<bool> {
        if let Some(place) = self.newest.get(&number) {
            self.read_log_page(*place, page)?;
            return Ok(true);
        }
        if number == 0 || number > self.pages {
            return Ok(false);
        }
        self.read_file_page(number, page)?;
        Ok(true)
    }

    fn read_file_page(&self, number: u32, page: &mut [u8]) -> io::Result<()> {
        let place = u64::from(number - 1) * u64::try_from(PAGE_BYTES).unwrap_or(0);
        self.file.as_ref().map_or(Ok(()), |file| read_at(file, place, page))
    }

    fn read_log_page(&self, place: u64, page: &mut [u8]) -> io::Result<()> {
        self.log.as_ref().map_or(Ok(()), |log| read_at(log, place, page))
    }
}

/// Reads as much as there is, and zeros behind the end.
fn read_at(file: &File, mut place: u64, mut into: &mut [u8]) -> io::Result<()> {
    while !into.is_empty() {
        match file.read_at(into, place) {
            Ok(0) => {
                into.fill(0);
                return Ok(());
            }
            Ok(read) => {
                place += u64::try_from(read).unwrap_or(0);
                into = into.split_at_mut(read).1;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Where the header of a payload of ours may begin: its length, then the id's type (none, as the id is not in it), and
/// in the end the type of a hash.
fn headers(page: &[u8]) -> impl Iterator<Item = usize> {
    let starts = page
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| matches!(pair, [length, 0] if HEADER_BYTES.contains(length)));
    starts.filter_map(|(place, pair)| {
        let last = place + usize::from(*pair.first()?) - 1;
        (page.get(last) == Some(&HASH_TYPE)).then_some(place)
    })
}

/// The beginning of a cell of a table's leaf.
struct Cell<'a> {
    id: i64,
    /// Bytes of the payload, overflow included.
    length: usize,
    /// Bytes of the payload's header.
    header: usize,
    types: Vec<u64>,
    local: &'a [u8],
    overflow: u32,
}

impl<'a> Cell<'a> {
    /// The cells that have their payload's header at that place: before it are two numbers of one to nine bytes.
    fn around(page: &'a [u8], header: usize) -> impl Iterator<Item = Self> {
        let starts = header.saturating_sub(18)..header.saturating_sub(1);
        starts.filter_map(move |start| {
            let bytes = page.get(start..)?;
            let (_, rest) = varint(bytes)?;
            let (_, rest) = varint(rest)?;
            (page.len() - rest.len() == header).then(|| Self::at(bytes))?
        })
    }

    /// The cell that begins here, if what is here can be one with columns like ours.
    fn at(bytes: &'a [u8]) -> Option<Self> {
        let (length, rest) = varint(bytes)?;
        let length = usize::try_from(length).ok().filter(|length| (4..=CELL_BYTES_MAX).contains(length))?;
        let (id, rest) = varint(rest)?;
        let (header, mut columns) = varint(rest)?;
        let header = usize::try_from(header).ok().filter(|header| (4..=24).contains(header))?;
        // The first column is the id, which a payload leaves out.
        if columns.first() != Some(&0) {
            return None;
        }
        let header_end = rest.len().checked_sub(header)?;
        let mut types = Vec::with_capacity(COLUMNS_MAX);
        while columns.len() > header_end {
            let (kind, after) = varint(columns)?;
            types.push(kind);
            columns = after;
        }
        let content: usize = types.iter().map(|kind| width(*kind)).sum::<Option<usize>>()?;
        if columns.len() != header_end || types.len() > COLUMNS_MAX || header + content != length {
            return None;
        }
        let here = local_bytes(length);
        let local = rest.get(..here)?;
        let overflow = if here < length { be32(rest, here)? } else { 0 };
        Some(Self { id: id.cast_signed(), length, header, types, local, overflow })
    }
}

/// How much of a payload is in its leaf; the remainder is on overflow pages.
fn local_bytes(length: usize) -> usize {
    let most = PAGE_BYTES - 35;
    if length <= most {
        return length;
    }
    let least = (PAGE_BYTES - 12) * 32 / 255 - 23;
    let fitting = least + (length - least) % (PAGE_BYTES - 4);
    if fitting <= most { fitting } else { least }
}

/// Bytes of a value by its serial type; none for what our tables don't hold.
fn width(kind: u64) -> Option<usize> {
    match kind {
        0 | 8 | 9 => Some(0),
        1..=4 => usize::try_from(kind).ok(),
        5 => Some(6),
        6 => Some(8),
        _ if kind >= 12 && kind.is_multiple_of(2) => usize::try_from((kind - 12) / 2).ok(),
        _ => None,
    }
}

fn values_of(types: &[u64], mut content: &[u8]) -> Option<Vec<Value>> {
    let mut values = Vec::with_capacity(types.len());
    for kind in types {
        let (value, rest) = content.split_at_checked(width(*kind)?)?;
        content = rest;
        values.push(match kind {
            0 => Value::Null,
            8 => Value::Integer(0),
            9 => Value::Integer(1),
            1..=6 => Value::Integer(big_endian(value)),
            _ => Value::Blob(value.to_vec()),
        });
    }
    Some(values)
}

/// A number of one to eight bytes with its sign.
fn big_endian(bytes: &[u8]) -> i64 {
    let negative = bytes.first().is_some_and(|first| *first >= 128);
    bytes.iter().fold(if negative { -1 } else { 0 }, |number, byte| number << 8 | i64::from(*byte))
}

/// SQLite's numbers of one to nine bytes.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for place in 0..8 {
        let byte = *bytes.get(place)?;
        number = number << 7 | u64::from(byte & 127);
        if byte < 128 {
            return Some((number, bytes.get(place + 1..)?));
        }
    }
    Some((number << 8 | u64::from(*bytes.get(8)?), bytes.get(9..)?))
}
