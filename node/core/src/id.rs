//! Ids as types. An id is plain bytes or a plain number; the types keep them apart.

use alloc::string::String;
use core::cmp::Ordering;
use core::fmt;
use core::str::FromStr;

/// A text that is not a valid id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseIdError {
    /// What was expected: "64 hexadecimal digits".
    pub expected: &'static str,
}

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}", self.expected)
    }
}

impl core::error::Error for ParseIdError {}

/// Defines a 32-byte id: full hexadecimal as text, `prefix-3fa1c2d4` in debug output.
macro_rules! id32 {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, bincode::Encode, bincode::Decode)]
        pub struct $name(pub [u8; 32]);

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                compare(&self.0, &other.0)
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl $name {
            /// The first eight hexadecimal digits, for people.
            #[must_use]
            pub fn short(&self) -> String {
                let mut text = String::with_capacity(8);
                write_hex(&mut text, self.0.get(..4).unwrap_or_default());
                text
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "-{}"), self.short())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = String::with_capacity(64);
                write_hex(&mut text, &self.0);
                f.write_str(&text)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let mut bytes = [0u8; 32];
                parse_hex(text, &mut bytes).ok_or(ParseIdError { expected: "64 hexadecimal digits" })?;
                Ok(Self(bytes))
            }
        }
    };
}

id32!(
    /// A node, named by its ed25519 public key.
    PeerId, "peer"
);
id32!(
    /// Bytes, named by their BLAKE3 hash.
    BlobId, "blob"
);
id32!(
    /// A task, named by the hash of what it is (see [`crate::task::Program::task_id`]).
    TaskId, "task"
);

impl BlobId {
    /// The name of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

/// Defines a 64-bit id: sixteen hexadecimal digits as text.
macro_rules! id64 {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
        pub struct $name(pub u64);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "-{:x}"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let error = ParseIdError { expected: "16 hexadecimal digits" };
                if text.len() != 16 { return Err(error); }
                u64::from_str_radix(text, 16).map(Self).ok().ok_or(error)
            }
        }
    };
}

id64!(
    /// A job of one owner; random, so that a restarted owner never reuses one.
    JobId, "job"
);

impl JobId {
    /// The same id in the group of another job: nodes are chosen alike for all jobs of a group, so that they are kept together.
    #[must_use]
    pub fn grouped_with(self, other: Self) -> Self {
        let low = u64::from(u32::MAX);
        Self(self.0 & !low | other.0 & low)
    }

    /// Its group, by which the nodes are chosen that keep it: the second half of its digits.
    pub(crate) fn group(self) -> u32 {
        u32::try_from(self.0 & u64::from(u32::MAX)).unwrap_or(0)
    }
}
id64!(
    /// One call for bids of one owner.
    CallId, "call"
);
id64!(
    /// One bid of one worker.
    BidId, "bid"
);
id64!(
    /// One execution on this node; never leaves the node.
    RunId, "run"
);

/// The right to run one attempt of one task. Its owner is the node that sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct LeaseId {
    /// The job.
    pub job: JobId,
    /// The job's epoch: 0 for ever for a job in memory; from 1 for one at level `disk`, and one more with each restart of its
    /// owner; for one at level `mesh` that in which a node leads it, from 3.
    pub epoch: u32,
    /// The task's place in the job, from 0.
    pub index: u32,
    /// The attempt's number, from 1. A number is never issued twice for one task in one epoch.
    pub attempt: u32,
}

impl LeaseId {
    /// Sorts before every lease.
    pub const FIRST: Self = Self { job: JobId(0), epoch: 0, index: 0, attempt: 0 };
    /// Sorts after every lease.
    pub const LAST: Self = Self { job: JobId(u64::MAX), epoch: u32::MAX, index: u32::MAX, attempt: u32::MAX };
}

/// The order of the bytes, compared in groups of eight: maps by id compare often, and most ids differ in the first.
#[inline]
fn compare(one: &[u8; 32], other: &[u8; 32]) -> Ordering {
    let words = |bytes: &[u8; 32]| {
        let (words, _) = bytes.as_chunks::<8>();
        words.first_chunk::<4>().map(|words| words.map(u64::from_be_bytes))
    };
    words(one).cmp(&words(other))
}

fn write_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).expect("a nibble is below 16"));
        }
    }
}

fn parse_hex(text: &str, bytes: &mut [u8]) -> Option<()> {
    if text.len() != bytes.len() * 2 {
        return None;
    }
    let mut digits = text.chars().map(|digit| digit.to_digit(16));
    for byte in bytes {
        let high = digits.next()??;
        let low = digits.next()??;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn ids_have_the_order_of_their_bytes() {
        let ids: [[u8; 32]; 6] = [
            [0; 32],
            core::array::from_fn(|place| u8::from(place == 31)),
            core::array::from_fn(|place| u8::from(place == 8) * 255),
            core::array::from_fn(|place| u8::from(place == 7)),
            core::array::from_fn(|place| u8::from(place == 0) * 128),
            [255; 32],
        ];
        for one in ids {
            for other in ids {
                assert_eq!(PeerId(one).cmp(&PeerId(other)), one.cmp(&other), "{one:?} {other:?}");
                assert_eq!(PeerId(one).partial_cmp(&PeerId(other)), one.partial_cmp(&other));
            }
        }
    }

    #[test]
    fn ids_survive_text() {
        let id = BlobId::of(b"weft");
        assert_eq!(id.to_string().parse::<BlobId>(), Ok(id));
        assert_eq!(JobId(0xbeef).to_string().parse::<JobId>(), Ok(JobId(0xbeef)));
        assert!("xyz".parse::<BlobId>().is_err());
        assert!("é".repeat(32).parse::<BlobId>().is_err());
    }
}
