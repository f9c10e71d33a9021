//! Requests of the pool of processes to other threads: start a slot, get code, open blobs, store outputs. Plain data,
//! and how the long parts of a report are stored.

use std::fs::File;
use std::io::{self, Seek};
use std::os::fd::OwnedFd;

use crate::outcome::of_unstored;
use weft_core::{BlobId, Outcome, Payload, Report, RunId, Usage};

use super::blobs::BlobAccess;
use super::programs::ProgramRequest;

/// A request to another thread, which passes its result to the front.
#[derive(Debug)]
pub(super) enum Request {
    /// Get code, or open a program's files.
    Program(ProgramRequest),
    /// Open a task's input.
    Input(u64, BlobId),
    /// Store the output of a run.
    Store(Box<PendingReport>),
    /// Start a process.
    Spawn(u64),
}

/// A report whose long parts are not stored yet.
#[derive(Debug)]
pub(super) struct PendingReport {
    pub(super) run: RunId,
    pub(super) outcome: Outcome,
    /// Output, errors, files.
    pub(super) parts: [Part; 3],
    pub(super) usage: Usage,
}

/// A part of a report.
#[derive(Debug)]
pub(super) enum Part {
    /// Complete.
    Ready(Payload),
    /// This many bytes in this file, as the slot claims.
    File(OwnedFd, u64),
}

impl PendingReport {
    /// The report, if nothing has to be stored for it.
    pub(super) fn at_once(self) -> Result<Report, Box<Self>> {
        let Self { run, outcome, parts, usage } = self;
        match parts {
            [Part::Ready(output), Part::Ready(errors), Part::Ready(files)] => {
                Ok(Report { outcome, output, errors, files, usage })
            }
            parts => Err(Box::new(Self { run, outcome, parts, usage })),
        }
    }

    /// Stores the long parts.
    pub(super) fn store(self, blobs: &dyn BlobAccess) -> Report {
        let Self { run: _, outcome, parts, usage } = self;
        let [output, errors, files] = parts.map(|part| part.store(blobs));
        match (output, errors, files) {
            (Ok(output), Ok(errors), Ok(files)) => Report { outcome, output, errors, files, usage },
            (Err(error), _, _) | (_, Err(error), _) | (_, _, Err(error)) => {
                Report { usage, ..Report::bare(of_unstored(&error)) }
            }
        }
    }
}

impl Part {
    fn store(self, blobs: &dyn BlobAccess) -> io::Result<Payload> {
        let (file, bytes) = match self {
            Self::Ready(payload) => return Ok(payload),
            Self::File(file, bytes) => (file, bytes),
        };
        let mut file = File::from(file);
        if file.metadata()?.len() != bytes {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the slot's file has another length"));
        }
        file.rewind()?;
        Ok(Payload::Blob { id: blobs.write_file(file, bytes)?, bytes })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use bytes::Bytes;
    use weft_core::BlobId;

    use super::*;
    use crate::pool::blobs::in_memory;

    /// A store that takes files in pieces, and no bytes that were read into memory as a whole.
    struct Streamed;

    impl BlobAccess for Streamed {
        fn read(&self, _: BlobId) -> io::Result<Bytes> {
            Err(io::Error::other("nothing is here"))
        }

        fn len(&self, _: BlobId) -> Option<u64> {
            None
        }

        fn write(&self, bytes: Vec<u8>) -> io::Result<BlobId> {
            Err(io::Error::other(format!("{} bytes were read into the node", bytes.len())))
        }

        fn write_file(&self, mut file: File, bytes: u64) -> io::Result<BlobId> {
            let mut first = [0; 4];
            file.read_exact(&mut first)?;
            assert_eq!(file.metadata()?.len(), bytes);
            Ok(BlobId::of(&first))
        }
    }

    #[test]
    fn a_long_part_goes_to_the_store_as_a_file() {
        let long = || {
            let mut file = in_memory(b"head").unwrap();
            file.set_len(1 << 40).unwrap();
            file.seek(io::SeekFrom::End(0)).unwrap();
            file.flush().unwrap();
            OwnedFd::from(file)
        };
        let stored = Part::File(long(), 1 << 40).store(&Streamed).unwrap();
        assert_eq!(stored, Payload::Blob { id: BlobId::of(b"head"), bytes: 1 << 40 });
        assert!(Part::File(long(), 1 << 30).store(&Streamed).is_err(), "the slot lied about its length");
    }
}
