//! What an output of `weft map` is called: a path that comes from names of files and from lines, checked.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// How names of weft's own begin, as that of the directory in which outputs are made; no output's name begins so.
const OWN_PREFIX: &str = ".weft-";
/// Longest path below the directory, and longest single name of it, in bytes.
const PATH_BYTES_MAX: usize = 4096;
const NAME_BYTES_MAX: usize = 255;

/// Where an output goes: a path below the directory that leads nowhere else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name(Vec<u8>);

impl Name {
    /// Checks a path; `.` and doubled slashes don't count.
    ///
    /// # Errors
    /// With what is wrong about it, behind the name itself.
    pub(crate) fn parse(path: &[u8]) -> Result<Self, String> {
        let shown = || {
            String::from_utf8_lossy(path.get(..PATH_BYTES_MAX.min(path.len())).unwrap_or_default())
                .into_owned()
        };
        let refuse = |why: &str| Err(format!("its output can't be called {:?}: {why}", shown()));
        let names: Vec<&[u8]> =
            path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b".")).collect();
        if names.contains(&&b".."[..]) {
            return refuse("it leads out of the directory by `..`");
        }
        if names.is_empty() || path.ends_with(b"/") || path.ends_with(b"/.") {
            return refuse("there is no name in it");
        }
        if path.contains(&0) {
            return refuse("there is a zero byte in it");
        }
        if names.iter().any(|name| name.len() > NAME_BYTES_MAX) || path.len() > PATH_BYTES_MAX {
            return refuse("it is longer than a name may be, 255 bytes");
        }
        if names.first().is_some_and(|name| name.starts_with(OWN_PREFIX.as_bytes())) {
            return refuse("names that begin with `.weft-` are weft's own");
        }
        Ok(Self(names.join(&b'/')))
    }

    /// The name next to the output's, for what its task left in `/out`.
    pub(crate) fn files(&self) -> Self {
        Self([self.0.as_slice(), b".out"].concat())
    }

    /// The directories above it, below the top.
    pub(crate) fn above(&self) -> impl Iterator<Item = Self> + '_ {
        let slashes = self.0.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        slashes.map(|(at, _)| Self(self.0.get(..at).unwrap_or_default().to_vec()))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// The directories above it, and its own name in the last of them.
    pub(crate) fn split(&self) -> (Vec<&[u8]>, &[u8]) {
        let mut names: Vec<&[u8]> = self.0.split(|byte| *byte == b'/').collect();
        let last = names.pop().unwrap_or_default();
        (names, last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_name_stays_below_the_directory() {
        for (given, taken) in [("a", "a"), ("./a//b", "a/b"), ("/etc/passwd", "etc/passwd"), (".a", ".a")] {
            assert_eq!(name(given).as_bytes(), taken.as_bytes());
        }
        let long = "x".repeat(256);
        for wrong in
            ["", ".", "/", "..", "../a", "a/../b", "a/", "a/.", "a\0b", ".weft-1", ".weft-1/a", &long]
        {
            assert!(Name::parse(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
        assert!(Name::parse(&b"x".repeat(255)).is_ok());
    }
}
