//! The two versions of WASI that core modules import: preview 1, and the snapshot before it (`wasi_unstable`) of older
//! toolchains. They have the same calls except for sockets, and differ in three layouts: the origin of `fd_seek`, the
//! status of a file, and the subscriptions of `poll_oneoff`. See the `witx` files of both snapshots.

use super::abi::{Errno, fill};

/// Which version a call was imported from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// `wasi_unstable`, snapshot 0.
    Unstable,
    /// `wasi_snapshot_preview1`.
    Preview1,
}

/// The origin of `fd_seek`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whence {
    Start,
    Current,
    End,
}

/// Offsets of the fields of a clock's subscription, in bytes. Those of files are the same in both versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subscriptions {
    /// Length of a subscription, in bytes.
    pub(super) bytes: u32,
    pub(super) clock: usize,
    pub(super) timeout: usize,
    pub(super) flags: usize,
}

impl Version {
    pub(super) const ALL: [Self; 2] = [Self::Unstable, Self::Preview1];

    /// The name of the module that its calls are imported from.
    pub(super) fn module(self) -> &'static str {
        match self {
            Self::Unstable => "wasi_unstable",
            Self::Preview1 => "wasi_snapshot_preview1",
        }
    }

    pub(super) fn whence(self, number: u32) -> Result<Whence, Errno> {
        match (self, number) {
            (Self::Preview1, 0) | (Self::Unstable, 2) => Ok(Whence::Start),
            (Self::Preview1, 1) | (Self::Unstable, 0) => Ok(Whence::Current),
            (Self::Preview1, 2) | (Self::Unstable, 1) => Ok(Whence::End),
            (Self::Preview1 | Self::Unstable, _) => Err(Errno::INVAL),
        }
    }

    /// The status of a file in this version's layout, converted from preview 1's: the older one has 32 bits for links.
    pub(super) fn filestat(self, stat: [u8; 64]) -> ([u8; 64], usize) {
        match self {
            Self::Preview1 => (stat, 64),
            Self::Unstable => {
                let mut old = [0; 64];
                // Device, inode and type have the same offsets.
                let (head, _) = stat.split_at(17);
                fill(&mut old, 0, head);
                let links = field(&stat, 24).map_or(0, u64::from_le_bytes);
                fill(&mut old, 20, &u32::try_from(links).unwrap_or(u32::MAX).to_le_bytes());
                for at in (32..64).step_by(8) {
                    fill(&mut old, at - 8, &field(&stat, at).unwrap_or_default());
                }
                (old, 56)
            }
        }
    }

    pub(super) fn subscriptions(self) -> Subscriptions {
        match self {
            Self::Preview1 => Subscriptions { bytes: 48, clock: 16, timeout: 24, flags: 40 },
            // A number chosen by the guest comes first.
            Self::Unstable => Subscriptions { bytes: 56, clock: 24, timeout: 32, flags: 48 },
        }
    }
}

fn field(bytes: &[u8; 64], at: usize) -> Option<[u8; 8]> {
    bytes.get(at..at + 8)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_snapshot_describes_a_file_in_56_bytes_with_links_of_32_bits() {
        let mut stat = [0; 64];
        for (at, value) in [(0, 1), (8, 7), (24, 3_u64), (32, 500), (40, 11), (48, 12), (56, 13)] {
            fill(&mut stat, at, &value.to_le_bytes());
        }
        fill(&mut stat, 16, &[4]);
        let (old, len) = Version::Unstable.filestat(stat);
        assert_eq!(len, 56);
        let word = |at: usize| u64::from_le_bytes(field(&old, at).unwrap());
        assert_eq!((word(0), word(8), old[16]), (1, 7, 4));
        assert_eq!(u32::from_le_bytes(old[20..24].try_into().unwrap()), 3);
        assert_eq!((word(24), word(32), word(40), word(48)), (500, 11, 12, 13));
        assert_eq!(Version::Preview1.filestat(stat), (stat, 64));
        fill(&mut stat, 24, &u64::MAX.to_le_bytes());
        assert_eq!(Version::Unstable.filestat(stat).0[20..24], [0xff; 4]);
    }

    #[test]
    fn both_number_the_places_to_seek_from_in_their_own_way() {
        let named = |version: Version| [0, 1, 2, 3].map(|number| version.whence(number).ok());
        let (start, current, end) = (Some(Whence::Start), Some(Whence::Current), Some(Whence::End));
        assert_eq!(named(Version::Preview1), [start, current, end, None]);
        assert_eq!(named(Version::Unstable), [current, end, start, None]);
    }
}
