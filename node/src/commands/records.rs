//! A file or a stream cut into inputs: one for each record, or one for each block of whole records. A record ends with a
//! newline or a zero byte, which is not part of an input that is one record, but of a block.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use weft_client::{FilePart, Input};

use super::Problem;

/// Longest record, in bytes; a longer one ends the input with an error. So long is a block of a stream at most, too.
pub(crate) const RECORD_BYTES_MAX: usize = 64 << 20;
const READ_BYTES: usize = 256 << 10;
/// How much of a file is read at once in search of a record's end.
const SEARCH_BYTES: usize = 64 << 10;

/// What ends a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// A newline.
    Line,
    /// A newline, and the record is a JSON value; blank lines are none.
    JsonLine,
    /// A zero byte.
    Nul,
}

impl Ends {
    fn byte(self) -> u8 {
        match self {
            Self::Line | Self::JsonLine => b'\n',
            Self::Nul => 0,
        }
    }
}

/// One input as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// Its number, from 0.
    pub(crate) number: u32,
    /// The line, or the path of the file.
    pub(crate) line: Bytes,
    pub(crate) input: Input,
    /// How many bytes were read for it.
    pub(crate) read_bytes: u64,
    /// The next one is here already.
    pub(crate) has_next: bool,
}

/// A file, or stdin, that inputs are read from.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) name: PathBuf,
    /// `None` for stdin.
    file: Option<File>,
    /// Its length, if it has one.
    pub(crate) bytes_total: Option<u64>,
}

impl Opened {
    /// Opens that file, `-` for stdin.
    pub(crate) fn open(path: PathBuf) -> Result<Self, Problem> {
        if path.as_os_str() == "-" {
            return Ok(Self { name: "stdin".into(), file: None, bytes_total: None });
        }
        let unreadable = |source| Problem::File { action: "read", path: path.clone(), source };
        let file = File::open(&path).map_err(unreadable)?;
        let about = file.metadata().map_err(unreadable)?;
        if about.is_dir() {
            return Err(unreadable(io::ErrorKind::IsADirectory.into()));
        }
        let bytes_total = about.is_file().then_some(about.len());
        Ok(Self { name: path, file: Some(file), bytes_total })
    }

    /// Its inputs: its records, or blocks of about that many bytes.
    pub(crate) fn items(self, ends: Ends, block_bytes: Option<u64>) -> Items {
        let Self { name, file, bytes_total } = self;
        match (block_bytes, bytes_total, file) {
            (Some(block), Some(len), Some(file)) => {
                Box::new(FileBlocks { name, file: Arc::new(file), len, at: 0, block, ends, number: 0 })
            }
            (block, _, file) => {
                let reader: Box<dyn io::Read + Send> = match file {
                    Some(file) => Box::new(file),
                    None => Box::new(io::stdin()),
                };
                items_of(name, reader, ends, block)
            }
        }
    }
}

/// Inputs one by one; after an error there is none.
pub(crate) type Items = Box<dyn Iterator<Item = Result<Item, Problem>> + Send>;

/// The records or blocks of a stream.
pub(crate) fn items_of(
    name: PathBuf,
    reader: Box<dyn io::Read + Send>,
    ends: Ends,
    block: Option<u64>,
) -> Items {
    let reader = BufReader::with_capacity(READ_BYTES, reader);
    let stream = Stream { name, reader, ends, record: 0, number: 0, over: false };
    match block {
        None => Box::new(Records(stream)),
        Some(bytes) => {
            let block = usize::try_from(bytes).unwrap_or(usize::MAX).min(RECORD_BYTES_MAX);
            Box::new(StreamBlocks { stream, block, next: None })
        }
    }
}

struct Stream {
    name: PathBuf,
    reader: BufReader<Box<dyn io::Read + Send>>,
    ends: Ends,
    /// Records read so far.
    record: u64,
    /// Inputs made so far.
    number: u32,
    over: bool,
}

impl Stream {
    /// The next record with its end, which only the last one may lack; `None` at the end.
    fn next_record(&mut self) -> Option<Result<Vec<u8>, Problem>> {
        if self.over {
            return None;
        }
        self.record += 1;
        let record = next_record(&mut self.reader, self.ends.byte());
        self.over = !matches!(record, Ok(Some(_)));
        record.map_err(|source| self.unreadable(source)).transpose()
    }

    fn unreadable(&self, source: io::Error) -> Problem {
        let word = if self.ends == Ends::Nul { "record" } else { "line" };
        let path = format!("{}, {word} {}", self.name.display(), self.record).into();
        Problem::File { action: "read", path, source }
    }

    fn item(&mut self, line: Bytes, input: Input, read_bytes: u64) -> Result<Item, Problem> {
        let number = self.number;
        let has_next = self.reader.buffer().contains(&self.ends.byte());
        self.number = next_number(number)?;
        Ok(Item { number, line, input, read_bytes, has_next })
    }
}

fn next_number(number: u32) -> Result<u32, Problem> {
    number
        .checked_add(1)
        .ok_or_else(|| Problem::Failed(String::from("more inputs than a job may have, 4294967295")))
}

/// A record with its end, or what is left at the end of the stream; `None` behind it.
fn next_record(reader: &mut impl BufRead, end: u8) -> io::Result<Option<Vec<u8>>> {
    let mut record = Vec::new();
    let read = reader.by_ref().take(RECORD_BYTES_MAX as u64 + 1).read_until(end, &mut record)?;
    if read > RECORD_BYTES_MAX && record.last() != Some(&end) {
        let text = format!("longer than {} MiB; use --each-file", RECORD_BYTES_MAX >> 20);
        return Err(io::Error::other(text));
    }
    Ok((read > 0).then_some(record))
}

/// One input a record.
struct Records(Stream);

impl Iterator for Records {
    type Item = Result<Item, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self(stream) = self;
        loop {
            let mut record = match stream.next_record()? {
                Ok(record) => record,
                Err(problem) => return Some(Err(problem)),
            };
            let read_bytes = record.len() as u64;
            if record.last() == Some(&stream.ends.byte()) {
                record.pop();
            }
            let line = Bytes::from(record);
            let mut input = Input::Bytes(line.clone());
            if stream.ends == Ends::JsonLine {
                if line.trim_ascii().is_empty() {
                    continue;
                }
                if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(&line) {
                    let reason = format!("line {} is no JSON: {error}", stream.record);
                    input = Input::Missing { reason };
                }
            }
            return Some(stream.item(line, input, read_bytes));
        }
    }
}

/// One input for as many records as fit into a block, held in memory.
struct StreamBlocks {
    stream: Stream,
    block: usize,
    /// What comes behind the last block: its first record, or why there is none.
    next: Option<Result<Vec<u8>, Problem>>,
}

impl Iterator for StreamBlocks {
    type Item = Result<Item, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = self.next.take().or_else(|| self.stream.next_record())?;
        let mut block = match first {
            Ok(record) => record,
            Err(problem) => return Some(Err(problem)),
        };
        while block.len() < self.block {
            match self.stream.next_record() {
                Some(Ok(record)) if block.len() + record.len() <= self.block => {
                    block.extend_from_slice(&record);
                }
                other => {
                    self.next = other;
                    break;
                }
            }
        }
        let read_bytes = block.len() as u64;
        let name = name_of(&self.stream.name);
        Some(self.stream.item(name, Input::from(block), read_bytes))
    }
}

/// One input for as many records of a file as fit into a block. Only the records' ends are looked for here: the bytes are
/// read when the block goes out.
struct FileBlocks {
    name: PathBuf,
    file: Arc<File>,
    len: u64,
    at: u64,
    block: u64,
    ends: Ends,
    number: u32,
}

impl Iterator for FileBlocks {
    type Item = Result<Item, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.len {
            return None;
        }
        let start = self.at;
        let item = self.end_of_block().and_then(|end| {
            let part = FilePart::new(Arc::clone(&self.file), &self.name, start, end - start);
            let number = self.number;
            self.number = next_number(number)?;
            self.at = end;
            let (line, input) = (name_of(&self.name), Input::Part(part));
            Ok(Item { number, line, input, read_bytes: end - start, has_next: end < self.len })
        });
        if item.is_err() {
            self.at = self.len;
        }
        Some(item)
    }
}

impl FileBlocks {
    /// Behind the last record that fits, or else behind the first one.
    fn end_of_block(&self) -> Result<u64, Problem> {
        let most = self.at.saturating_add(self.block);
        if most >= self.len {
            return Ok(self.len);
        }
        let last = self.last_end(self.at, most).and_then(|found| match found {
            Some(end) => Ok(end),
            None => self.first_end(most),
        });
        last.map_err(|source| Problem::File { action: "read", path: self.name.clone(), source })
    }

    fn last_end(&self, start: u64, end: u64) -> io::Result<Option<u64>> {
        let mut buffer = vec![0; SEARCH_BYTES];
        let mut end = end;
        while end > start {
            let from = end.saturating_sub(SEARCH_BYTES as u64).max(start);
            let piece = buffer.get_mut(..usize::try_from(end - from).unwrap_or(0)).unwrap_or_default();
            self.file.read_exact_at(piece, from)?;
            if let Some(found) = piece.iter().rposition(|byte| *byte == self.ends.byte()) {
                return Ok(Some(from + found as u64 + 1));
            }
            end = from;
        }
        Ok(None)
    }

    fn first_end(&self, start: u64) -> io::Result<u64> {
        let mut buffer = vec![0; SEARCH_BYTES];
        let mut at = start;
        while at < self.len {
            let read = self.file.read_at(&mut buffer, at)?;
            let piece = buffer.get(..read).unwrap_or_default();
            if let Some(found) = piece.iter().position(|byte| *byte == self.ends.byte()) {
                return Ok((at + found as u64 + 1).min(self.len));
            }
            if read == 0 {
                break;
            }
            at += read as u64;
        }
        Ok(self.len)
    }
}

fn name_of(path: &Path) -> Bytes {
    use std::os::unix::ffi::OsStrExt as _;
    Bytes::copy_from_slice(path.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static [u8], ends: Ends, block: Option<u64>) -> Vec<Result<String, String>> {
        texts(items_of("test".into(), Box::new(text), ends, block))
    }

    fn texts(items: Items) -> Vec<Result<String, String>> {
        let text = |item: Result<Item, Problem>| match item.map_err(|problem| problem.to_string())?.input {
            Input::Bytes(bytes) => Ok(String::from_utf8(bytes.to_vec()).unwrap()),
            Input::Missing { reason } => Err(reason),
            Input::Part(part) => {
                let mut bytes = String::new();
                part.reader().read_to_string(&mut bytes).unwrap();
                Ok(bytes)
            }
            other @ (Input::File(_) | Input::Blob { .. } | Input::Parcel(_)) => panic!("{other:?}"),
        };
        items.map(text).collect()
    }

    fn good(texts: &[&str]) -> Vec<Result<String, String>> {
        texts.iter().map(|text| Ok(String::from(*text))).collect()
    }

    #[test]
    fn a_record_is_an_input_without_its_end() {
        assert_eq!(read(b"one\n\nthree\r\nlast", Ends::Line, None), good(&["one", "", "three\r", "last"]));
        assert_eq!(read(b"a\nb\0\0c", Ends::Nul, None), good(&["a\nb", "", "c"]));
        assert_eq!(read(b"", Ends::Line, None), good(&[]));
    }

    #[test]
    fn a_line_that_is_no_json_costs_its_own_task_only() {
        let found = read(b"{\"a\": 1}\n\n  \nnonsense\n[2]\r\n", Ends::JsonLine, None);
        assert_eq!((found[0].as_deref(), found[2].as_deref()), (Ok("{\"a\": 1}"), Ok("[2]\r")));
        assert!(found[1].as_ref().unwrap_err().starts_with("line 4 is no JSON"), "{found:?}");
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn a_block_is_whole_records() {
        let text = b"aa\nbbbb\nc\nddddddddd\ne";
        let blocks = good(&["aa\n", "bbbb\nc\n", "ddddddddd\n", "e"]);
        assert_eq!(read(text, Ends::Line, Some(7)), blocks);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, text).unwrap();
        assert_eq!(texts(Opened::open(path).unwrap().items(Ends::Line, Some(7))), blocks);
    }

    #[test]
    fn blocks_of_a_file_and_of_a_stream_are_the_same_and_lose_nothing() {
        let text: String = (0..40_000).map(|number| format!("{}\n", "x".repeat(number % 37))).collect();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, &text).unwrap();
        for block in [1, 10, 1000, 100_000, 1 << 30] {
            let of_file = texts(Opened::open(path.clone()).unwrap().items(Ends::Line, Some(block)));
            let reader = Box::new(io::Cursor::new(text.clone().into_bytes()));
            assert!(of_file == texts(items_of("test".into(), reader, Ends::Line, Some(block))), "{block}");
            let joined: String = of_file.into_iter().map(Result::unwrap).collect();
            assert!(joined == text, "{block}");
        }
    }

    #[test]
    fn what_came_before_a_broken_record_is_an_input() {
        let reader = Box::new(io::Cursor::new(b"a\nb\n").chain(io::repeat(b'x')));
        let found = texts(items_of("test".into(), reader, Ends::Line, Some(1 << 20)));
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].as_deref(), Ok("a\nb\n"));
        assert!(found[1].as_ref().unwrap_err().contains("line 3: longer than 64 MiB"), "{found:?}");
    }

    #[test]
    fn an_endless_record_is_refused() {
        let mut items = items_of("test".into(), Box::new(io::repeat(b'x')), Ends::Line, None);
        let text = items.next().unwrap().unwrap_err().to_string();
        assert!(text.contains("line 1: longer than 64 MiB"), "{text}");
        assert!(items.next().is_none());
    }
}
