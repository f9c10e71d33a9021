//! Stdin, read to its end: short ones stay in memory, long ones pass through a file without a name, which goes with the
//! process however that ends.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weft_client::{FilePart, Input};

use super::Problem;

/// Stdin up to this length stays in memory.
const MEMORY_BYTES: u64 = 4 << 20;

/// Reads stdin to its end, on a thread that may block. A long one is kept in a file in `dir` meanwhile.
pub(crate) async fn read_stdin(dir: &Path) -> Result<Input, Problem> {
    let dir = dir.to_owned();
    let read = tokio::task::spawn_blocking(move || read(&mut io::stdin().lock(), dir)).await;
    read.map_err(|error| Problem::Failed(format!("reading stdin failed: {error}")))?
}

fn read(stdin: &mut impl io::Read, dir: PathBuf) -> Result<Input, Problem> {
    let mut head = Vec::new();
    let start = stdin.by_ref().take(MEMORY_BYTES).read_to_end(&mut head);
    start.map_err(|source| Problem::File { action: "read", path: "stdin".into(), source })?;
    if (head.len() as u64) < MEMORY_BYTES {
        return Ok(Input::from(head));
    }
    let kept = keep(&dir, &head, stdin);
    kept.map_err(|source| Problem::File { action: "keep stdin in", path: dir, source })
}

fn keep(dir: &Path, head: &[u8], rest: &mut impl io::Read) -> io::Result<Input> {
    let mut file = tempfile::tempfile_in(dir)?;
    file.write_all(head)?;
    let bytes = head.len() as u64 + io::copy(rest, &mut file)?;
    Ok(Input::Part(FilePart::new(Arc::new(file), "stdin", 0, bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_stdin_leaves_no_file_even_while_it_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let long = MEMORY_BYTES + 3;
        let stdin = read(&mut io::repeat(b'x').take(long), dir.path().to_owned()).unwrap();
        assert!(matches!(&stdin, Input::Part(part) if part.bytes_len() == long), "{stdin:?}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_short_stdin_stays_in_memory() {
        let stdin = read(&mut b"hello".as_slice(), "/nonexistent".into()).unwrap();
        assert_eq!(stdin, Input::from("hello"));
    }
}
