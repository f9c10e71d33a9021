//! What the fuzz targets share: raw bytes from whichever engine of bolero drives them, choices read from such bytes, a
//! guard against hanging, and what this process holds. It knows nothing of modules.
//!
//! In a test run the bytes are the files of `__fuzz__/TARGET/corpus` next to the target, and then random ones.

use std::fs;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use bolero::{Driver, ValueGenerator};

/// Raw bytes: a file of the corpus, what a fuzzer made of one, or random ones up to a length.
pub(crate) struct Raw(pub(crate) usize);

impl ValueGenerator for Raw {
    type Output = Vec<u8>;

    fn generate<D: Driver>(&self, driver: &mut D) -> Option<Vec<u8>> {
        driver.gen_from_bytes(|| (0, Some(self.0)), |bytes| Some((bytes.len(), bytes.to_vec())))
    }
}

/// Choices read from bytes, front to back. When they are used up, every further choice is the first one.
pub(crate) struct Dice<'a>(pub(crate) &'a [u8]);

impl<'a> Dice<'a> {
    pub(crate) fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    pub(crate) fn word(&mut self) -> u32 {
        let mut word = [0; 4];
        let taken = self.take(4);
        word[..taken.len()].copy_from_slice(taken);
        u32::from_le_bytes(word)
    }

    /// A number below this one, from one byte where that is enough.
    pub(crate) fn below(&mut self, count: u32) -> u32 {
        if count <= 256 { u32::from(self.byte()) % count } else { self.word() % count }
    }

    /// The next bytes, or as many as there are.
    pub(crate) fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, left) = self.0.split_at(count.min(self.0.len()));
        self.0 = left;
        taken
    }
}

/// Ends the process, with a word, when one input takes too long: nothing else could.
pub(crate) struct Watch(Sender<()>);

impl Watch {
    /// A guard who waits so long.
    pub(crate) fn start(most: Duration) -> Self {
        let (tell, hear) = channel();
        thread::spawn(move || guard(&hear, most));
        Self(tell)
    }

    /// Does it under the guard's eyes.
    pub(crate) fn over<T>(&self, one: impl FnOnce() -> T) -> T {
        struct Done<'a>(&'a Sender<()>);
        impl Drop for Done<'_> {
            fn drop(&mut self) {
                self.0.send(()).expect("the guard stays as long as there is a sender");
            }
        }
        self.0.send(()).unwrap();
        let _done = Done(&self.0);
        one()
    }
}

fn guard(heard: &Receiver<()>, most: Duration) {
    while heard.recv().is_ok() {
        if heard.recv_timeout(most) == Err(RecvTimeoutError::Timeout) {
            eprintln!("an input takes longer than {most:?}: it hangs");
            std::process::abort();
        }
    }
}

/// What this process holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    /// Resident memory.
    pub(crate) bytes: u64,
    /// Open files.
    pub(crate) files: u64,
    pub(crate) threads: u64,
}

impl Held {
    fn now() -> Self {
        let pages = fs::read_to_string("/proc/self/statm").unwrap();
        let bytes = pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096;
        let count = |what: &str| fs::read_dir(format!("/proc/self/{what}")).unwrap().count() as u64;
        Self { bytes, files: count("fd"), threads: count("task") }
    }
}

/// Sees to it that no input leaves anything behind in this process, beyond what is kept on purpose.
pub(crate) struct Growth {
    /// What may come to stay after the first [`Growth::WARM`] inputs.
    pub(crate) most: Held,
    inputs: AtomicU64,
    base: OnceLock<Held>,
}

impl Growth {
    /// Inputs after which everything was used once.
    const WARM: u64 = 50;
    const EVERY: u64 = 50;

    pub(crate) fn new(most: Held) -> Self {
        Self { most, inputs: AtomicU64::new(0), base: OnceLock::new() }
    }

    /// To be called after each input.
    pub(crate) fn look(&self) {
        let inputs = self.inputs.fetch_add(1, Ordering::Relaxed) + 1;
        if inputs < Self::WARM || !inputs.is_multiple_of(Self::EVERY) || cfg!(not(target_os = "linux")) {
            return;
        }
        let now = Held::now();
        let base = self.base.get_or_init(|| now);
        let within = now.bytes <= base.bytes + self.most.bytes
            && now.files <= base.files + self.most.files
            && now.threads <= base.threads + self.most.threads;
        assert!(within, "after {inputs} inputs: {now:?}, it was {base:?}, and may grow by {:?}", self.most);
    }
}
