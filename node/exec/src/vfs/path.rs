//! Resolving paths. A walk starts at a directory and never leaves it.

use std::borrow::Cow;

use super::error::Error;
use super::node::Inode;
use super::tree::Vfs;

/// Longest path or link, in bytes.
pub(crate) const PATH_BYTES_MAX: usize = 4096;
/// Longest name of one file, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 255;
/// Most symbolic links that are followed for one path.
const LINKS_FOLLOWED_MAX: u32 = 40;

/// The end of a path.
#[derive(Debug)]
pub(super) struct Place<'a> {
    /// The directory that contains, or could contain, the name.
    pub(super) dir: Inode,
    /// The last name; `.`, `..` or empty if the path ends in no name.
    pub(super) name: Cow<'a, str>,
    /// The inode of the name, if it exists.
    pub(super) found: Option<Inode>,
    /// Whether the path ends in a slash, and so must name a directory.
    pub(super) slash: bool,
}

impl Place<'_> {
    /// Whether the path ends in a name that an entry can have.
    pub(super) fn is_named(&self) -> bool {
        !matches!(&*self.name, "" | "." | "..")
    }
}

impl Vfs {
    /// Walks the path from `at`; every directory on the way must exist, the last name need not.
    pub(super) fn walk<'a>(&self, at: Inode, path: &'a str, follow: bool) -> Result<Place<'a>, Error> {
        check_path(path)?;
        self.entries(at)?;
        let mut text: Cow<'a, str> = Cow::Borrowed(path);
        let (mut dir, mut depth, mut cursor, mut followed) = (at, 0_u32, 0, 0);
        loop {
            let Part { start, end, last, slash } = Part::after(&text, cursor);
            let name = text.get(start..end).unwrap_or_default();
            if name.len() > NAME_BYTES_MAX {
                return Err(Error::NameTooLong);
            }
            let found = self.step(dir, name, depth)?;
            let link = found.and_then(|inode| self.link(inode));
            if let Some(target) = link.filter(|_| !last || follow || slash) {
                followed += 1;
                if followed > LINKS_FOLLOWED_MAX {
                    return Err(Error::Loop);
                }
                if target.starts_with('/') {
                    return Err(Error::NotPermitted);
                }
                let rest = text.get(end..).unwrap_or_default();
                (text, cursor) = (Cow::Owned(format!("{target}{rest}")), 0);
                continue;
            }
            if last {
                self.check_directory(found.filter(|_| slash))?;
                let name = match text {
                    Cow::Borrowed(text) => Cow::Borrowed(text.get(start..end).unwrap_or_default()),
                    Cow::Owned(_) => Cow::Owned(name.to_owned()),
                };
                return Ok(Place { dir, name, found, slash });
            }
            let next = found.ok_or(Error::NoEntry)?;
            self.check_directory(Some(next))?;
            depth = match name {
                "" | "." => depth,
                ".." => depth.saturating_sub(1),
                _ => depth + 1,
            };
            (dir, cursor) = (next, end);
        }
    }

    /// The inode of a single name in `dir`, which is `depth` levels below the start of the walk.
    fn step(&self, dir: Inode, name: &str, depth: u32) -> Result<Option<Inode>, Error> {
        match name {
            "" | "." => Ok(Some(dir)),
            ".." if depth == 0 => Err(Error::NotPermitted),
            ".." => self.parent(dir).map(Some),
            _ => Ok(self.entries(dir)?.get(name).copied()),
        }
    }

    fn check_directory(&self, inode: Option<Inode>) -> Result<(), Error> {
        inode.map_or(Ok(()), |inode| self.entries(inode).map(drop))
    }
}

fn check_path(path: &str) -> Result<(), Error> {
    if path.is_empty() {
        return Err(Error::NoEntry);
    }
    if path.len() > PATH_BYTES_MAX {
        return Err(Error::NameTooLong);
    }
    if path.contains('\0') {
        return Err(Error::Invalid);
    }
    if path.starts_with('/') { Err(Error::NotPermitted) } else { Ok(()) }
}

/// One name of a path: its range, whether it is the last, and whether slashes follow the last.
struct Part {
    start: usize,
    end: usize,
    last: bool,
    slash: bool,
}

impl Part {
    fn after(text: &str, cursor: usize) -> Self {
        let bytes = text.as_bytes();
        let skip = |from: usize, slash: bool| {
            let rest = bytes.get(from..).unwrap_or_default();
            from + rest.iter().take_while(|byte| (**byte == b'/') == slash).count()
        };
        let start = skip(cursor, true);
        let end = skip(start, false);
        let last = skip(end, true) == bytes.len();
        Self { start, end, last, slash: last && end < bytes.len() }
    }
}
