//! A running hash of everything that happened: two runs of one seed must agree on it. Not a cryptographic hash.

use weft_core::{Input, Time};

use crate::host::HostId;

/// FNV-1a, 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace(u64);

impl Trace {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;

    /// The hash of no events.
    #[must_use]
    pub fn new() -> Self {
        Self(Self::OFFSET)
    }

    /// Adds bytes to the hash.
    pub fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(Self::PRIME);
        }
    }

    /// Adds an input of a host and the number of its effects.
    pub(crate) fn input(&mut self, now: Time, host: HostId, input: &Input, effects: usize) {
        let words = (now.0, host.0 as u64, effects as u64, input);
        let bytes = bincode::encode_to_vec(words, bincode::config::standard());
        self.add(&bytes.expect("plain data always encodes"));
    }

    /// The hash so far.
    #[must_use]
    pub fn value(self) -> u64 {
        self.0
    }
}

impl Default for Trace {
    fn default() -> Self {
        Self::new()
    }
}
