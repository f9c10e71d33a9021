//! Stdin, read to its end: short ones stay in memory, long ones pass through a file that goes away afterwards.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use weft_client::Input;

use super::Problem;

/// Stdin up to this length stays in memory.
const MEMORY_BYTES: u64 = 4 << 20;

/// What stdin held.
#[derive(Debug)]
pub(crate) struct Stdin {
    input: Input,
    _spool: Option<Spool>,
}

impl Stdin {
    /// It as a task's input, good while this lives.
    pub(crate) fn input(&self) -> Input {
        self.input.clone()
    }
}

impl From<Input> for Stdin {
    fn from(input: Input) -> Self {
        Self { input, _spool: None }
    }
}

/// A file that goes away with this.
#[derive(Debug)]
struct Spool(PathBuf);

impl Drop for Spool {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

/// Reads stdin to its end, on a thread that may block. A long one is kept in `dir` meanwhile.
pub(crate) async fn read_stdin(dir: &Path) -> Result<Stdin, Problem> {
    let path = dir.join(format!("stdin.{}", std::process::id()));
    let read = tokio::task::spawn_blocking(move || read(&mut io::stdin().lock(), path)).await;
    read.map_err(|error| Problem::Failed(format!("reading stdin failed: {error}")))?
}

fn read(stdin: &mut impl io::Read, path: PathBuf) -> Result<Stdin, Problem> {
    let mut head = Vec::new();
    let start = stdin.by_ref().take(MEMORY_BYTES).read_to_end(&mut head);
    start.map_err(|source| Problem::File { action: "read", path: "stdin".into(), source })?;
    if (head.len() as u64) < MEMORY_BYTES {
        return Ok(Input::from(head).into());
    }
    let spool = Spool(path.clone());
    let spooled = write(&path, &head, stdin);
    spooled.map_err(|source| Problem::File { action: "keep stdin in", path: path.clone(), source })?;
    Ok(Stdin { input: Input::File(path), _spool: Some(spool) })
}

fn write(path: &Path, head: &[u8], rest: &mut impl io::Read) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file =
        std::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)?;
    file.write_all(head)?;
    io::copy(rest, &mut file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_stdin_passes_through_a_file_that_goes_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stdin.1");
        let long = MEMORY_BYTES + 3;
        let stdin = read(&mut io::repeat(b'x').take(long), path.clone()).unwrap();
        assert_eq!(stdin.input(), Input::File(path.clone()));
        assert_eq!(std::fs::metadata(&path).unwrap().len(), long);
        drop(stdin);
        assert!(!path.exists());
    }

    #[test]
    fn a_short_stdin_stays_in_memory() {
        let stdin = read(&mut b"hello".as_slice(), "/nonexistent/stdin".into()).unwrap();
        assert_eq!(stdin.input(), Input::from("hello"));
    }
}
