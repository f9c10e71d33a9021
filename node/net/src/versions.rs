//! Which versions of the protocol a node speaks, and which one two nodes speak with each other: the newest that both know.
//! Admission tells the versions and compares them; a link then sends nothing that is newer than the agreed one.

use std::fmt;

/// The newest version of the protocol that this node speaks.
const VERSION: u8 = 14;
/// The oldest one that it also speaks: [`VERSION`] or the one before it, so that a mesh can be upgraded node by node.
const OLDEST: u8 = 14;

/// The versions that a node speaks: all from the oldest to the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Versions {
    oldest: u8,
    newest: u8,
}

/// What one end of a connection speaks with the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spoken {
    /// The newest version that both know.
    pub(crate) version: u8,
    /// The other node knows a newer version than this one: what it says and this node does not know is dropped.
    pub(crate) is_newer: bool,
}

impl Versions {
    /// Those of this node.
    pub(crate) const OURS: Self = Self { oldest: OLDEST, newest: VERSION };

    /// Those of a node that pretends to be another one.
    #[cfg(test)]
    pub(crate) const fn of(oldest: u8, newest: u8) -> Self {
        Self { oldest, newest }
    }

    /// As a hello says them: the newest one, and in the upper byte how many older ones are spoken, too. So a node that speaks
    /// one version says its number, as all nodes did before two versions could meet.
    pub(crate) fn encode(self) -> u16 {
        u16::from_be_bytes([self.newest - self.oldest, self.newest])
    }

    /// Any number decodes.
    pub(crate) fn decode(word: u16) -> Self {
        let [older, newest] = word.to_be_bytes();
        Self { oldest: newest.saturating_sub(older), newest }
    }

    /// What this node speaks with one that speaks those; `None` if they have no version in common.
    pub(crate) fn with(self, theirs: Self) -> Option<Spoken> {
        let version = self.newest.min(theirs.newest);
        let is_newer = theirs.newest > self.newest;
        (version >= self.oldest.max(theirs.oldest)).then_some(Spoken { version, is_newer })
    }

    /// Which of two nodes without a common version is to be upgraded.
    pub(crate) fn advice(self, theirs: Self) -> &'static str {
        if theirs.newest > self.newest { "upgrade this node" } else { "upgrade the other one" }
    }
}

impl Spoken {
    /// With a node of which nothing is known but that it was admitted.
    pub(crate) const LEAST: Self = Self { version: OLDEST, is_newer: false };
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.oldest == self.newest {
            write!(f, "version {}", self.newest)
        } else {
            write!(f, "versions {} to {}", self.oldest, self.newest)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_core::durable::LOG_VERSION;

    /// Versions of the log, and the version of the protocol that came with each: records of jobs at level mesh travel as they are
    /// on disk, so a node that can't read them is not admitted.
    const LOGS: [(u8, u8); 5] = [(4, 9), (5, 11), (6, 12), (7, 13), (8, 14)];

    #[test]
    fn a_node_that_can_not_read_the_newest_records_is_not_admitted() {
        let newest = LOGS.last().copied();
        assert_eq!(
            newest.map(|(log, _)| log),
            Some(LOG_VERSION),
            "a new version of the log needs one of the protocol"
        );
        assert!(newest.is_some_and(|(_, protocol)| OLDEST >= protocol));
    }

    #[test]
    fn neighbours_speak_the_older_version_and_others_none() {
        let spoken = |ours: (u8, u8), theirs: (u8, u8)| {
            let with = Versions::of(ours.0, ours.1).with(Versions::of(theirs.0, theirs.1));
            with.map(|spoken| (spoken.version, spoken.is_newer))
        };
        assert_eq!(spoken((7, 7), (7, 7)), Some((7, false)));
        assert_eq!(spoken((7, 7), (7, 8)), Some((7, true)));
        assert_eq!(spoken((7, 8), (7, 7)), Some((7, false)));
        assert_eq!(spoken((7, 8), (8, 9)), Some((8, true)));
        assert_eq!(spoken((7, 7), (8, 9)), None);
        assert_eq!(spoken((8, 9), (7, 7)), None);
        assert_eq!(spoken((7, 7), (8, 8)), None, "a version that breaks with the one before");
    }

    #[test]
    fn a_hello_says_them_in_two_bytes_and_any_two_bytes_are_some() {
        assert_eq!(Versions::of(9, 9).encode(), 9, "as before two versions could meet");
        assert_eq!(Versions::of(7, 8).encode(), 0x0108);
        for word in 0..=u16::MAX {
            let versions = Versions::decode(word);
            assert!(versions.oldest <= versions.newest);
        }
        for versions in [Versions::of(7, 7), Versions::of(7, 8), Versions::of(0, 255)] {
            assert_eq!(Versions::decode(versions.encode()), versions);
        }
    }
}
