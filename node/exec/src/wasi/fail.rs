//! How a failed WASI call ends: with an error code for the guest, or with the end of the run.

use std::num::TryFromIntError;
use std::str::Utf8Error;

use super::abi::Errno;
use crate::end::End;
use crate::vfs;

/// Why a call failed.
#[derive(Debug)]
pub(super) enum Fail {
    /// The guest gets this error code.
    Errno(Errno),
    /// The run ends.
    End(End),
}

pub(super) type Answer<T = ()> = Result<T, Fail>;

impl From<Errno> for Fail {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

/// A length that the guest's 32-bit numbers can't represent.
impl From<TryFromIntError> for Fail {
    fn from(error: TryFromIntError) -> Self {
        Self::Errno(error.into())
    }
}

impl From<Utf8Error> for Fail {
    fn from(_text: Utf8Error) -> Self {
        Self::Errno(Errno::ILSEQ)
    }
}

impl From<End> for Fail {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}

impl From<vfs::Error> for Fail {
    fn from(error: vfs::Error) -> Self {
        let errno = match error {
            vfs::Error::NoEntry => Errno::NOENT,
            vfs::Error::Exists => Errno::EXIST,
            vfs::Error::NotDirectory => Errno::NOTDIR,
            vfs::Error::IsDirectory => Errno::ISDIR,
            vfs::Error::NotEmpty => Errno::NOTEMPTY,
            vfs::Error::Loop => Errno::LOOP,
            vfs::Error::NameTooLong => Errno::NAMETOOLONG,
            vfs::Error::ReadOnly => Errno::ROFS,
            vfs::Error::Invalid => Errno::INVAL,
            vfs::Error::NotPermitted => Errno::PERM,
            vfs::Error::CrossDevice => Errno::XDEV,
            vfs::Error::Busy => Errno::BUSY,
            vfs::Error::Limit(limit) => return Self::End(End::Limit(limit)),
        };
        Self::Errno(errno)
    }
}
