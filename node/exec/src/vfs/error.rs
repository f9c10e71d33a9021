//! Errors of the file system. The hosts of WASI convert them to their own codes.

use weft_core::Limit;

/// Why an operation failed; the file system is unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// ENOENT: no such file or directory.
    NoEntry,
    /// EEXIST: it exists already.
    Exists,
    /// ENOTDIR: a directory was needed.
    NotDirectory,
    /// EISDIR: a directory was there.
    IsDirectory,
    /// ENOTEMPTY: the directory still has entries.
    NotEmpty,
    /// ELOOP: too many symbolic links, or one where none is followed.
    Loop,
    /// ENAMETOOLONG: a name or path is too long.
    NameTooLong,
    /// EROFS: `/in` and the root can't be changed.
    ReadOnly,
    /// EINVAL: an argument is invalid.
    Invalid,
    /// EPERM: the path leaves the directory that it starts in.
    NotPermitted,
    /// EXDEV: a file of `/in` can't be linked or moved elsewhere.
    CrossDevice,
    /// EBUSY: it is in use.
    Busy,
    /// The guest reached a bound; the run must end with it.
    Limit(Limit),
}
