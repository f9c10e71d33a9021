//! An input that is more than its stdin: arguments and files of one task's own, packed with it into one run of bytes,
//! which travels, is named and is remembered as any input. A worker opens it in the sandbox.
//!
//! The bytes, in this order: what the task reads as its stdin; a tar archive of what it finds under `/in`; its arguments,
//! each ended by a zero byte; and a tail of 48 bytes, which says where they are: the start and the length of stdin, the
//! start and the length of the archive, the length of the arguments, each 8 bytes, little endian, and [`MARK`]. Stdin may
//! be a part of the archive: a file that is there too.

use std::io::Write;
use std::path::PathBuf;

use crate::archive::{Archive, Counted, bad};
use crate::error::Error;
use crate::frames::INLINE_BYTES_MAX;
use crate::input::Input;
use crate::pack::{self, Packed, Spool};
use crate::task::Given;

/// Ends a parcel.
const MARK: [u8; 8] = *b"weftprc1";
/// Most arguments of one task, and their length with an end for each, in bytes.
const ARGS_MAX: usize = 4096;
const ARGS_BYTES_MAX: usize = 64 << 10;

/// An input with arguments and files of its own, for a task that is made with [`crate::Task::parcels`].
///
/// ```
/// use weft_client::{Input, Module, Parcel, Task};
///
/// let convert = Task::command(Module::file("convert.wasm")).file("palette.txt").parcels();
/// let photo = Parcel::new(Input::file("photos/a.png")).stdin_as("a.png").args(["/in/a.png", "--width", "640"]);
/// let input = Input::from(photo);
/// # let _ = (convert, input);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parcel {
    stdin: Input,
    stdin_name: Option<String>,
    args: Vec<String>,
    files: Vec<Given>,
}

impl Parcel {
    /// One with this stdin, and nothing else yet.
    #[must_use]
    pub fn new(stdin: impl Into<Input>) -> Self {
        Self { stdin: stdin.into(), ..Self::default() }
    }

    /// Puts the bytes of stdin at `/in/NAME` too.
    #[must_use]
    pub fn stdin_as(mut self, name: impl Into<String>) -> Self {
        self.stdin_name = Some(name.into());
        self
    }

    /// Adds arguments, behind those of the task.
    #[must_use]
    pub fn args<A: Into<String>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Puts a file, or a directory with everything in it, at `/in/NAME`, besides the files of the task.
    #[must_use]
    pub fn file_as(mut self, path: impl Into<PathBuf>, name: impl Into<String>) -> Self {
        self.files.push(Given::Path(path.into(), Some(name.into())));
        self
    }

    /// [`Parcel::file_as`] by its own name.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.files.push(Given::Path(path.into(), None));
        self
    }

    /// Whether it is short, and packing it takes no look at a file.
    pub(crate) fn is_short(&self) -> bool {
        let is_short = matches!(&self.stdin, Input::Bytes(bytes) if bytes.len() <= INLINE_BYTES_MAX);
        is_short && self.files.is_empty()
    }

    /// Packs it. Blocks, if it is not short.
    pub(crate) fn pack(&self) -> Result<Packed, Error> {
        let Self { stdin, stdin_name, args, files } = self;
        let args_bytes = args_bytes(args)?;
        let mut archive = Archive::default();
        pack::add_all(&mut archive, files.clone())?;
        if let Some(name) = stdin_name {
            archive.add_input(name, stdin)?;
        }
        let mut spool = Spool::default();
        let mut whole = Counted { inner: &mut spool, count: 0 };
        let (start, bytes) = match stdin_name {
            Some(_) => (0, 0),
            None => (0, copy(stdin, &mut whole)?),
        };
        let files_start = whole.count;
        let inner = if archive.is_empty() {
            None
        } else {
            archive.write_noting(&mut whole, stdin_name.as_deref())?
        };
        let files_bytes = whole.count - files_start;
        let (start, bytes) = inner.map_or((start, bytes), |(at, bytes)| (files_start + at, bytes));
        let failed = |source| Error::File { path: "the parcel".into(), source };
        whole.write_all(&args_bytes).map_err(failed)?;
        for number in [start, bytes, files_start, files_bytes, args_bytes.len() as u64] {
            whole.write_all(&number.to_le_bytes()).map_err(failed)?;
        }
        whole.write_all(&MARK).and_then(|()| whole.flush()).map_err(failed)?;
        Ok(spool.packed())
    }
}

fn args_bytes(args: &[String]) -> Result<Vec<u8>, Error> {
    let refuse = |reason: String| Error::NoInput { reason };
    if args.len() > ARGS_MAX {
        return Err(refuse(format!("its arguments are {}, at most {ARGS_MAX} may be", args.len())));
    }
    let mut bytes = Vec::new();
    for arg in args {
        if arg.contains('\0') {
            return Err(refuse(String::from("an argument of it has a zero byte in it")));
        }
        bytes.extend_from_slice(arg.as_bytes());
        bytes.push(0);
        if bytes.len() > ARGS_BYTES_MAX {
            return Err(refuse(String::from(
                "its arguments are longer than 64 KiB; what is long belongs into an input",
            )));
        }
    }
    Ok(bytes)
}

/// Copies an input's bytes; says how many they are.
fn copy(input: &Input, writer: &mut impl Write) -> Result<u64, Error> {
    let failed = |path: PathBuf| move |source| Error::File { path, source };
    match input {
        Input::Bytes(bytes) => {
            writer.write_all(bytes).map_err(failed("the parcel".into()))?;
            Ok(bytes.len() as u64)
        }
        Input::File(path) => {
            let mut file = std::fs::File::open(path).map_err(failed(path.clone()))?;
            std::io::copy(&mut file, writer).map_err(failed(path.clone()))
        }
        Input::Part(part) => {
            std::io::copy(&mut part.reader(), writer).map_err(failed(part.name().to_owned()))
        }
        Input::Missing { reason } => Err(Error::NoInput { reason: reason.clone() }),
        Input::Blob { .. } | Input::Parcel(_) => Err(bad("stdin", "a parcel takes bytes and files only")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stdin, archive, arguments.
    fn parts(parcel: &Parcel) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let Packed::Input(Input::Bytes(bytes)) = parcel.pack().unwrap() else { panic!("it is short") };
        let (content, tail) = bytes.split_at(bytes.len() - 48);
        let numbers: Vec<usize> = tail[..40]
            .chunks(8)
            .map(|chunk| usize::try_from(u64::from_le_bytes(chunk.try_into().unwrap())).unwrap())
            .collect();
        assert_eq!(tail[40..], MARK);
        let [start, len, files, files_len, args] = numbers[..] else { panic!("five numbers") };
        let part = |start: usize, len: usize| content[start..start + len].to_vec();
        (part(start, len), part(files, files_len), part(content.len() - args, args))
    }

    #[test]
    fn a_parcel_has_stdin_files_and_arguments() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cfg");
        std::fs::write(&path, "level = 3").unwrap();
        let parcel = Parcel::new("hello").args(["-v", ""]).file_as(&path, "/in/etc/cfg");
        let (stdin, files, args) = parts(&parcel);
        assert_eq!((stdin.as_slice(), args.as_slice()), (&b"hello"[..], &b"-v\0\0"[..]));
        let mut alone = Archive::default();
        alone.add_path("etc/cfg", &path).unwrap();
        let mut tar = Vec::new();
        alone.write_to(&mut tar).unwrap();
        assert_eq!(files, tar);
        assert_eq!(parts(&Parcel::default()), (Vec::new(), Vec::new(), Vec::new()));
    }

    #[test]
    fn stdin_that_is_a_file_too_is_there_once() {
        let dir = tempfile::tempdir().unwrap();
        for len in [0, 1, 512, 70_000] {
            let path = dir.path().join(len.to_string());
            std::fs::write(&path, vec![b'x'; len]).unwrap();
            let long_name = "n".repeat(200);
            for input in [Input::file(&path), Input::from(vec![b'x'; len])] {
                let parcel = Parcel::new(input).stdin_as(&long_name).file_as(&path, "other");
                let (stdin, files, _) = parts(&parcel);
                assert!(stdin == vec![b'x'; len], "{len}");
                let mut tar = tar::Archive::new(&files[..]);
                assert_eq!(tar.entries().unwrap().count(), 2);
            }
        }
    }

    #[test]
    fn what_no_task_can_have_is_refused() {
        for (parcel, word) in [
            (Parcel::new("").args(["a\0b"]), "zero byte"),
            (Parcel::new("").args(["x".repeat(64 << 10)]), "64 KiB"),
            (Parcel::new("").args(vec!["x"; 4097]), "at most 4096"),
            (Parcel::new("").file("/nonexistent/x"), "/nonexistent/x"),
            (Parcel::new("").file_as("/etc", "../etc"), "`..`"),
            (Parcel::new(Input::Missing { reason: "gone".into() }), "gone"),
        ] {
            let error = parcel.pack().unwrap_err();
            assert!(error.of_an_input().unwrap().contains(word), "{error}");
        }
    }
}
