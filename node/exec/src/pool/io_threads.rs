//! The threads for slow I/O of the pool of processes: they open blobs and store outputs, and pass the result to
//! the front. They make no decisions.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::requests::Request;
use crate::text::panic_text;

/// Number of I/O threads: two, so that one slow disk access does not delay all others.
pub(super) const THREADS: usize = 2;

/// Handle of the I/O threads.
#[derive(Clone, Default)]
pub(super) struct IoThreads(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<Queue>,
    work: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Request>,
    quit: bool,
}

impl fmt::Debug for IoThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IoThreads").field("waiting", &self.lock().waiting.len()).finish()
    }
}

impl IoThreads {
    /// Queues a request. There are at most as many as tasks in the pool.
    pub(super) fn send(&self, request: Request) {
        self.lock().waiting.push_back(request);
        self.0.work.notify_one();
    }

    /// Ends the threads; queued requests are dropped.
    pub(super) fn quit(&self) {
        let mut requests = self.lock();
        requests.quit = true;
        requests.waiting.clear();
        drop(requests);
        self.0.work.notify_all();
    }

    /// Starts the threads.
    ///
    /// # Errors
    /// When one can't be started.
    pub(super) fn start(
        &self,
        perform: &Arc<dyn Fn(Request) + Send + Sync>,
    ) -> io::Result<Vec<JoinHandle<()>>> {
        (0..THREADS)
            .map(|index| {
                let (io_threads, perform) = (self.clone(), Arc::clone(perform));
                let name = format!("weft-io-{index}");
                thread::Builder::new().name(name).spawn(move || io_threads.serve(&*perform))
            })
            .collect()
    }

    fn serve(&self, perform: &dyn Fn(Request)) {
        let mut requests = self.lock();
        while !requests.quit {
            let Some(request) = requests.waiting.pop_front() else {
                requests = self.0.work.wait(requests).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(requests);
            perform(request);
            requests = self.lock();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Turns a panic into an error: it fails one request, and the thread goes on with the others.
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
    use bytes::Bytes;
    use weft_core::BlobId;

    use super::*;
    use crate::pool::blobs::BlobAccess;

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
        let (io_threads, (sender, ended)) = (IoThreads::default(), std::sync::mpsc::channel());
        let perform: Arc<dyn Fn(Request) + Send + Sync> = Arc::new(move |_request| {
            let stored = caught("the blob store", || Panicking.read(BlobId([0; 32])));
            drop(sender.send(stored.unwrap_err().to_string()));
        });
        let threads = io_threads.start(&perform).unwrap();
        // More than there are threads, so that each has to survive one.
        for _ in 0..=THREADS {
            io_threads.send(Request::Spawn(0));
        }
        for _ in 0..=THREADS {
            assert_eq!(ended.recv().unwrap(), "the blob store panicked: a fault of the store");
        }
        io_threads.quit();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}
