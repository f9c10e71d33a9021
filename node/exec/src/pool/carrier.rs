//! The threads that do what takes long for the pool of processes: open blobs, keep outputs.
//! They come back to [`Front`] with what they have. They decide nothing.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, Seek};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use weft_core::{Outcome, Payload, Report, RunId, Usage};

use super::BlobAccess;
use super::process::Front;
use super::programs::Wish;
use super::state::Errand;
use crate::outcome::of_unstored;
use crate::run::panic_text;

/// Threads for errands; two, so that one slow disk access does not hold up all.
pub(super) const THREADS: usize = 2;

/// A report whose long parts are not kept yet.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) run: RunId,
    pub(super) outcome: Outcome,
    /// Output, errors, files.
    pub(super) parts: [Part; 3],
    pub(super) usage: Usage,
}

/// A part of a report.
#[derive(Debug)]
pub(super) enum Part {
    /// It needs nothing.
    Ready(Payload),
    /// So many bytes in this file, by the slot's words.
    File(OwnedFd, u64),
}

impl Parcel {
    /// The report, if nothing has to be kept for it.
    pub(super) fn at_once(self) -> Result<Report, Box<Self>> {
        let Self { run, outcome, parts, usage } = self;
        match parts {
            [Part::Ready(output), Part::Ready(errors), Part::Ready(files)] => {
                Ok(Report { outcome, output, errors, files, usage })
            }
            parts => Err(Box::new(Self { run, outcome, parts, usage })),
        }
    }

    /// Keeps the long parts.
    fn store(self, blobs: &dyn BlobAccess) -> Report {
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

/// The way to the carriers.
#[derive(Clone, Default)]
pub(super) struct Carriers(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<Errands>,
    work: Condvar,
}

#[derive(Default)]
struct Errands {
    waiting: VecDeque<Errand>,
    quit: bool,
}

impl fmt::Debug for Carriers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Carriers").field("waiting", &self.lock().waiting.len()).finish()
    }
}

impl Carriers {
    /// Puts an errand at the end. There are at most as many as tasks in the pool.
    pub(super) fn send(&self, errand: Errand) {
        self.lock().waiting.push_back(errand);
        self.0.work.notify_one();
    }

    /// Ends the threads; what waits is dropped.
    pub(super) fn quit(&self) {
        let mut errands = self.lock();
        errands.quit = true;
        errands.waiting.clear();
        drop(errands);
        self.0.work.notify_all();
    }

    /// Starts the threads.
    ///
    /// # Errors
    /// When one can't be started.
    pub(super) fn start(&self, carry: &Arc<dyn Fn(Errand) + Send + Sync>) -> io::Result<Vec<JoinHandle<()>>> {
        (0..THREADS)
            .map(|index| {
                let (carriers, carry) = (self.clone(), Arc::clone(carry));
                let name = format!("weft-carrier-{index}");
                thread::Builder::new().name(name).spawn(move || carriers.serve(&*carry))
            })
            .collect()
    }

    fn serve(&self, carry: &dyn Fn(Errand)) {
        let mut errands = self.lock();
        while !errands.quit {
            let Some(errand) = errands.waiting.pop_front() else {
                errands = self.0.work.wait(errands).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(errands);
            carry(errand);
            errands = self.lock();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Errands> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does one errand, and tells the front.
pub(super) fn carry(front: &Front, blobs: &dyn BlobAccess, errand: Errand) {
    match errand {
        Errand::Program(Wish::Files(program, blob)) => {
            front.opened_files(program, caught("the blob store", || blobs.open(blob).map(OwnedFd::from)));
        }
        Errand::Input(place, blob) => {
            front.opened_input(place, caught("the blob store", || blobs.open(blob).map(OwnedFd::from)));
        }
        Errand::Store(parcel) => {
            let run = parcel.run;
            let stored = caught("the blob store", || Ok(parcel.store(blobs)));
            front.stored(run, stored.unwrap_or_else(|error| Report::bare(of_unstored(&error))));
        }
        // Processes are started by the keeper, for they die with the thread that did; the compiler has threads of its
        // own.
        Errand::Spawn(_) | Errand::Program(Wish::Code(..)) => {}
    }
}

/// A panic costs one errand, whose task is told, and not the thread that all others wait for.
pub(super) fn caught<T>(what: &str, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic_text(panic.as_ref());
        tracing::error!(
            what,
            text,
            "a thread of the slots panicked: this is a fault of weft, please report it"
        );
        Err(io::Error::other(format!("{what} panicked: {text}")))
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use bytes::Bytes;
    use weft_core::BlobId;

    use super::*;

    /// Takes files piece by piece, and nothing that somebody read whole.
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
    fn a_store_that_panics_costs_one_output_and_not_the_thread() {
        /// Fails as no store should.
        struct Panicking;

        impl BlobAccess for Panicking {
            fn read(&self, _: BlobId) -> io::Result<Bytes> {
                panic!("a fault of the store")
            }

            fn len(&self, _: BlobId) -> Option<u64> {
                None
            }

            fn write(&self, _: Vec<u8>) -> io::Result<BlobId> {
                panic!("a fault of the store")
            }
        }
        let (carriers, (sender, ended)) = (Carriers::default(), std::sync::mpsc::channel());
        let carry: Arc<dyn Fn(Errand) + Send + Sync> = Arc::new(move |_errand| {
            let stored = caught("the blob store", || Panicking.read(BlobId([0; 32])));
            drop(sender.send(stored.unwrap_err().to_string()));
        });
        let threads = carriers.start(&carry).unwrap();
        // More than there are threads, so that each has to survive one.
        for _ in 0..=THREADS {
            carriers.send(Errand::Spawn(0));
        }
        for _ in 0..=THREADS {
            assert_eq!(ended.recv().unwrap(), "the blob store panicked: a fault of the store");
        }
        carriers.quit();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    #[test]
    fn a_long_part_goes_to_the_store_as_a_file() {
        let long = || {
            let mut file = crate::pool::in_memory(b"head").unwrap();
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
