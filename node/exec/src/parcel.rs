//! Parses a parcel: an input that contains stdin, files and arguments. It is untrusted: every offset is checked before
//! use, and only the arguments are copied.
//!
//! The layout, written by `sdk/client/src/parcel.rs`: stdin, a tar archive for `/in`, arguments that each end with a
//! zero byte, and a tail of five numbers (start and length of stdin, start and length of the archive, length of the
//! arguments; 8 bytes each, little endian) and a mark of 8 bytes. Stdin may be a part of the archive.

use bytes::Bytes;

const MARK: &[u8; 8] = b"weftprc1";
const TAIL_BYTES: usize = 48;
/// Most arguments of a task, and most bytes of all of them.
const ARGS_MAX: usize = 4096;
const ARGS_BYTES_MAX: usize = 64 << 10;

/// The contents of a parcel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) stdin: Bytes,
    /// A tar archive; empty for none.
    pub(crate) files: Bytes,
    pub(crate) args: Vec<String>,
}

/// The tail of a parcel without stdin and arguments: its archive, before the tail, has this many bytes.
#[must_use]
pub fn tail_of_files(files_bytes: u64) -> [u8; TAIL_BYTES] {
    let mut tail = [0; TAIL_BYTES];
    let words = [0, 0, 0, files_bytes, 0].map(u64::to_le_bytes).into_iter().chain([*MARK]);
    for (place, word) in tail.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *place = word;
    }
    tail
}

/// Parses a parcel.
///
/// # Errors
/// With a text for the author of the input.
pub(crate) fn open(parcel: &Bytes) -> Result<Opened, String> {
    let wrong =
        |what: &str| format!("invalid input: expected a parcel, as for every task of this job: {what}");
    let content = parcel.len().checked_sub(TAIL_BYTES).ok_or_else(|| wrong("it is too short"))?;
    let tail = parcel.get(content..).unwrap_or_default();
    let (numbers, mark) = tail.as_chunks::<8>().0.split_at_checked(5).unwrap_or_default();
    if mark != [*MARK] {
        return Err(wrong("the mark at its end is missing"));
    }
    let number = |at: usize| {
        let bytes = numbers.get(at).copied().unwrap_or_default();
        usize::try_from(u64::from_le_bytes(bytes)).unwrap_or(usize::MAX)
    };
    let part = |start: usize, len: usize| {
        let end = start.checked_add(len).filter(|end| *end <= content);
        end.map(|end| parcel.slice(start..end)).ok_or_else(|| wrong("a part of it is outside of it"))
    };
    let (stdin, files) = (part(number(0), number(1))?, part(number(2), number(3))?);
    let args = part(
        content.checked_sub(number(4)).ok_or_else(|| wrong("a part of it is outside of it"))?,
        number(4),
    )?;
    Ok(Opened { stdin, files, args: self::args(&args).map_err(wrong)? })
}

fn args(bytes: &[u8]) -> Result<Vec<String>, &'static str> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    if bytes.len() > ARGS_BYTES_MAX {
        return Err("its arguments are longer than 64 KiB");
    }
    let text = std::str::from_utf8(bytes).map_err(|_other| "its arguments are not UTF-8")?;
    let text = text.strip_suffix('\0').ok_or("the last argument has no zero byte at its end")?;
    let args: Vec<String> = text.split('\0').map(String::from).collect();
    if args.len() > ARGS_MAX { Err("it has more than 4096 arguments") } else { Ok(args) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel(content: &[u8], numbers: [u64; 5]) -> Bytes {
        let tail = numbers.into_iter().flat_map(u64::to_le_bytes);
        content.iter().copied().chain(tail).chain(*MARK).collect()
    }

    #[test]
    fn its_parts_are_where_it_says() {
        let opened = open(&parcel(b"stdinTARa\0\0", [0, 5, 5, 3, 3])).unwrap();
        assert_eq!((&opened.stdin[..], &opened.files[..]), (&b"stdin"[..], &b"TAR"[..]));
        assert_eq!(opened.args, ["a", ""]);
        let within = open(&parcel(b"headDATApad", [4, 4, 0, 11, 0])).unwrap();
        assert_eq!((&within.stdin[..], within.files.len()), (&b"DATA"[..], 11));
        assert_eq!(open(&parcel(b"", [0; 5])).unwrap(), Opened::default());
    }

    #[test]
    fn one_of_files_alone_has_these() {
        let packed = [&b"TAR"[..], &tail_of_files(3)].concat();
        let opened = open(&Bytes::from(packed)).unwrap();
        assert_eq!(opened, Opened { files: Bytes::from_static(b"TAR"), ..Opened::default() });
    }

    #[test]
    fn a_forged_one_is_refused() {
        let max = u64::MAX;
        let numbers = [
            [0, 4, 0, 0, 0],
            [4, 0, 0, 0, 0],
            [max, 1, 0, 0, 0],
            [1, max, 0, 0, 0],
            [0, 0, max, max, 0],
            [0, 0, 0, 4, 0],
            [0, 0, 0, 0, 4],
            [0, 0, 0, 0, max],
            // Its arguments have no end.
            [0, 0, 0, 0, 3],
        ];
        for numbers in numbers {
            assert!(open(&parcel(b"abc", numbers)).is_err(), "{numbers:?}");
        }
        assert!(open(&parcel(b"\xff\0", [0, 0, 0, 0, 2])).is_err());
        assert!(open(&parcel(&[0; 4097], [0, 0, 0, 0, 4097])).is_err());
        let whole = parcel(b"abc", [0, 3, 0, 0, 0]);
        for len in 0..whole.len() {
            assert!(open(&whole.slice(..len)).is_err(), "{len}");
        }
    }
}
