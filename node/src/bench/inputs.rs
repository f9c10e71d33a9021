//! The inputs of the bench's tasks. No input comes twice in a run: a remembered result is no work. Part of [`Bench`], in a file of
//! its own for its theme.

use bytes::Bytes;

use super::rows::{BLOB_BYTES, Bench};

/// Digits of any number of iterations.
const NUMBER_DIGITS: usize = 20;

impl Bench<'_> {
    /// A number that was not there before.
    pub(super) fn next(&mut self) -> u64 {
        self.fresh += 1;
        self.fresh
    }

    /// Inputs of sixteen bytes.
    pub(super) fn sixteens(&mut self, count: usize) -> Vec<Bytes> {
        let mut sixteen = || Bytes::from([self.next().to_le_bytes(), [0; 8]].concat());
        (0..count).map(|_| sixteen()).collect()
    }

    /// Inputs of `spin`, each of one iteration more than the last. None is the same as one of before, also where the number is: a
    /// remembered result is no work.
    pub(super) fn spins(&mut self, iterations: u64, count: usize) -> Vec<Bytes> {
        self.spun += 1;
        // Zeros in front change no number.
        let width = NUMBER_DIGITS + self.spun;
        (0..count as u64).map(|more| Bytes::from(format!("{:0width$}", iterations + more))).collect()
    }

    /// Inputs of 8 MiB, each made when it is asked for.
    pub(super) fn longs(
        &mut self,
        count: usize,
    ) -> impl ExactSizeIterator<Item = Bytes> + Clone + Send + 'static {
        let first = self.fresh + 1;
        self.fresh += count as u64;
        (0..count).map(move |place| {
            let mut bytes = vec![0x5a; BLOB_BYTES];
            let stamp = (first + place as u64).to_le_bytes();
            bytes.iter_mut().zip(stamp).for_each(|(byte, mark)| *byte = mark);
            Bytes::from(bytes)
        })
    }
}
