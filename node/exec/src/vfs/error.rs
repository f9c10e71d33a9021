//! Why a change of the file system did not happen. The hosts of WASI map it to their own codes.

use weft_core::Limit;

/// Why an operation did not happen; the file system is unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// ENOENT: there is no such file or directory.
    NoEntry,
    /// EEXIST: there is one already.
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
    /// EINVAL: it makes no sense.
    Invalid,
    /// EPERM: it leads out of the directory it started from.
    NotPermitted,
    /// EXDEV: `/in` shares no file with the others.
    CrossDevice,
    /// EBUSY: it is in use as what it is.
    Busy,
    /// The guest reached a bound; the run must end with it.
    Limit(Limit),
}
