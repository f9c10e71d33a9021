//! The second job: count the words of a text by map and reduce, and count them again directly to compare.

use std::collections::BTreeMap;
use std::io::Read as _;

use flate2::read::ZlibDecoder;

/// Bytes of text in one map task.
const CHUNK_BYTES: usize = 32 * 1024;
/// Tables that one reduce task merges.
const FAN_IN: usize = 16;

/// The text that was packed; `None` if it is none.
pub(super) fn unpack(packed: &[u8]) -> Option<String> {
    let mut text = String::new();
    ZlibDecoder::new(packed).read_to_string(&mut text).ok()?;
    Some(text)
}

/// The text, cut behind a line's end into pieces of about [`CHUNK_BYTES`].
pub(super) fn chunks(text: &str) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    let mut piece = Vec::new();
    for line in text.split_inclusive('\n') {
        piece.extend_from_slice(line.as_bytes());
        if piece.len() >= CHUNK_BYTES {
            pieces.push(std::mem::take(&mut piece));
        }
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}

/// Inputs of one round of reduce tasks.
pub(super) fn bundles(tables: &[Vec<u8>]) -> Vec<Vec<u8>> {
    tables.chunks(FAN_IN).map(<[Vec<u8>]>::concat).collect()
}

/// The same computation without a mesh: words in small letters and how often each occurs.
pub(super) fn direct(text: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    let small = text.to_lowercase();
    for run in small.split(|letter: char| !letter.is_alphanumeric() && letter != '\'') {
        let word = run.trim_matches('\'');
        if !word.is_empty() {
            *counts.entry(word.to_owned()).or_insert(0) += 1;
        }
    }
    counts
}

/// A table as the guest writes it; `None` if it is not one.
pub(super) fn parse(table: &[u8]) -> Option<BTreeMap<String, u64>> {
    let text = std::str::from_utf8(table).ok()?;
    let entry = |line: &str| {
        let (word, count) = line.split_once('\t')?;
        Some((word.to_owned(), count.parse().ok()?))
    };
    text.lines().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_hold_the_whole_text() {
        let text = "a line of text\n".repeat(10_000) + "and an end";
        let pieces = chunks(&text);
        assert!(pieces.len() > 1);
        assert_eq!(pieces.concat(), text.as_bytes());
    }

    #[test]
    fn a_table_is_read_and_a_broken_one_refused() {
        assert_eq!(parse(b"be\t2\nto\t1\n").map(|table| table.len()), Some(2));
        assert_eq!(parse(b"be 2\n"), None);
    }
}
