//! The write-ahead log as it is on the disk, read without the database: its frames, and whether they are what was written.
//!
//! It follows SQLite's file format (<https://www.sqlite.org/fileformat2.html#the_write_ahead_log>).

use std::io::{self, BufReader, Read};
use std::path::Path;

use crate::disk;
use crate::error::Error;
use crate::schema::PAGE_BYTES;

/// Bytes of the header of a write-ahead log, and of a frame in it.
const LOG_HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
/// How a log begins; its last bit says the order of bytes in the sums.
const MAGIC: u32 = 0x377f_0683;
/// Where the header of a log has what tells its rounds apart, in bytes, and how long that is.
pub(crate) const SALT_PLACE: u64 = 16;
pub(crate) const SALT_BYTES: usize = 8;

/// A write-ahead log as it lies there.
#[derive(Default)]
pub(crate) struct Log {
    /// Page and place of each frame of the log's present round, up to its last commit, right or not.
    pub(crate) frames: Vec<(u32, u64)>,
    /// How many of them come before the first that is not what was written, up to the last commit of those.
    right: usize,
    /// It is long enough for one, of whatever round.
    pub(crate) has_frame: bool,
    /// What tells this round apart, where the header is what was written.
    salts: Option<[u8; SALT_BYTES]>,
    /// Commits at or behind the first frame that is not what was written.
    commits_behind: usize,
}

impl Log {
    /// Why it is not whole, if it is not. Each commit waited for the disk, so a crash tears the last one at most: where two
    /// or more follow a frame that is not what was written, acknowledged records were changed, and the database would
    /// silently leave them out. A change in the last commit looks like a torn write, and only another node that keeps the
    /// job can tell.
    pub(crate) fn broken(&self) -> Option<String> {
        (self.commits_behind > 1).then(|| {
            format!(
                "in its write-ahead log, {} commits follow bytes that are not what was written",
                self.commits_behind
            )
        })
    }

    /// What tells its round apart, and its frames that the database takes; none if its header is not what was written.
    pub(crate) fn right_frames(&self) -> Option<([u8; SALT_BYTES], u64)> {
        self.salts.map(|salts| (salts, u64::try_from(self.right).unwrap_or(u64::MAX)))
    }
}

pub(crate) fn read_log(path: &Path) -> Result<Log, Error> {
    let Some(file) = disk::open_if_there(path)? else { return Ok(Log::default()) };
    parse_log(BufReader::with_capacity(1 << 20, file)).map_err(Error::io("read", path))
}

fn parse_log(mut file: impl Read) -> io::Result<Log> {
    let mut log = Log::default();
    let mut header = [0; LOG_HEADER_BYTES];
    if !read_whole(&mut file, &mut header)? {
        return Ok(log);
    }
    let is_big = be32(&header, 0).unwrap_or(0) & 1 == 1;
    let mut sums = sums_of((0, 0), header.get(..24).unwrap_or_default(), is_big);
    // The sums of zeros are zeros.
    let is_log = be32(&header, 0).is_some_and(|first| first | 1 == MAGIC);
    let mut is_right = is_log && Some(sums) == be32(&header, 24).zip(be32(&header, 28));
    // Where the header itself was changed, the frames still say which round they are of.
    log.salts = header.get(16..24).filter(|_| is_right).and_then(|salts| salts.first_chunk().copied());
    let mut salts = log.salts.map(|salts| salts.to_vec());
    let mut frame = vec![0; FRAME_HEADER_BYTES + PAGE_BYTES];
    let mut place = LOG_HEADER_BYTES;
    let mut uncommitted = Vec::new();
    while read_whole(&mut file, &mut frame)? {
        log.has_frame = true;
        let (head, page) = frame.split_at(FRAME_HEADER_BYTES);
        let own = head.get(8..16).unwrap_or_default();
        if own == salts.get_or_insert_with(|| own.to_vec()) {
            sums = sums_of(sums, head.get(..8).unwrap_or_default(), is_big);
            sums = sums_of(sums, page, is_big);
            is_right &= Some(sums) == be32(head, 16).zip(be32(head, 20));
            let content = u64::try_from(place + FRAME_HEADER_BYTES).unwrap_or(u64::MAX);
            uncommitted.push((be32(head, 0).unwrap_or(0), content));
            if be32(head, 4).unwrap_or(0) > 0 {
                log.frames.append(&mut uncommitted);
                log.commits_behind += usize::from(!is_right);
                log.right = if is_right { log.frames.len() } else { log.right };
            }
        } else {
            // Of an earlier round, or changed: then right ones follow.
            is_right = false;
        }
        place += frame.len();
    }
    Ok(log)
}

fn read_whole(file: &mut impl Read, into: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(into) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        other => other.map(|()| true),
    }
}

/// The checksums of a write-ahead log, which go on from frame to frame.
fn sums_of((mut one, mut two): (u32, u32), bytes: &[u8], is_big: bool) -> (u32, u32) {
    let word = |bytes: &[u8; 4]| if is_big { u32::from_be_bytes(*bytes) } else { u32::from_le_bytes(*bytes) };
    let (pairs, _) = bytes.as_chunks::<8>();
    for pair in pairs {
        let (words, _) = pair.as_chunks::<4>();
        let [first, second] = words else { continue };
        one = one.wrapping_add(word(first)).wrapping_add(two);
        two = two.wrapping_add(word(second)).wrapping_add(one);
    }
    (one, two)
}

/// A number of four bytes at a place, if they are there.
pub(crate) fn be32(bytes: &[u8], place: usize) -> Option<u32> {
    bytes.get(place..)?.first_chunk().map(|word| u32::from_be_bytes(*word))
}
