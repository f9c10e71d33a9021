//! Random numbers of a simulated world. A seed and a label determine them.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

/// A stream of random numbers. Parts of the world never share a stream, so that a change in one part leaves the numbers
/// of all others as they were.
#[derive(Clone, Debug)]
pub struct Chance(ChaCha8Rng);

impl Chance {
    /// The stream of this label under this seed.
    #[must_use]
    pub fn new(seed: u64, label: &str) -> Self {
        let mut mixed = crate::trace::Trace::new();
        mixed.add(&seed.to_le_bytes());
        mixed.add(label.as_bytes());
        Self(ChaCha8Rng::seed_from_u64(mixed.value()))
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`.
    ///
    /// # Panics
    /// If `bound` is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "no number is below zero");
        self.any() % bound
    }

    /// A number from `low` to `high`, both included.
    ///
    /// # Panics
    /// If `low` is above `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "{low} is above {high}");
        low + self.below(high - low + 1)
    }

    /// The same, for small numbers.
    ///
    /// # Panics
    /// If `low` is above `high`.
    pub fn small(&mut self, low: u32, high: u32) -> u32 {
        u32::try_from(self.between(u64::from(low), u64::from(high))).expect("the bounds are u32")
    }

    /// An index below `len`.
    ///
    /// # Panics
    /// If `len` is zero.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("the bound was a usize")
    }

    /// True `permille` times in a thousand.
    pub fn permille(&mut self, permille: u32) -> bool {
        permille > 0 && self.below(1000) < u64::from(permille)
    }

    /// A seed for an engine.
    pub fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.0.fill_bytes(&mut seed);
        seed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_follows_from_seed_and_label() {
        let draw = |seed, label| Chance::new(seed, label).any();
        assert_eq!(draw(1, "link"), draw(1, "link"));
        assert_ne!(draw(1, "link"), draw(1, "exec"));
        assert_ne!(draw(1, "link"), draw(2, "link"));
    }
}
