//! Converts between the file system's types and those of `wasi:filesystem`.

use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;
use wasmtime_wasi::p2::bindings::sync::filesystem::types::{
    DescriptorFlags, DescriptorStat, DescriptorType, MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use weft_core::Limit;

use crate::vfs::{Error, Inode, Kind, OpenHow, Stat};

/// Nanoseconds in a second.
pub(crate) const NANOS: u64 = 1_000_000_000;

/// A time in nanoseconds since 1970, in the interface's type.
pub(crate) fn datetime(nanos: u64) -> Datetime {
    let nanoseconds = u32::try_from(nanos % NANOS).expect("less than a second");
    Datetime { seconds: nanos / NANOS, nanoseconds }
}

/// The error code for the guest.
///
/// # Errors
/// With the limit that was reached, which ends the run.
pub(crate) fn code(error: &Error) -> Result<ErrorCode, Limit> {
    Ok(match error {
        Error::NoEntry => ErrorCode::NoEntry,
        Error::Exists => ErrorCode::Exist,
        Error::NotDirectory => ErrorCode::NotDirectory,
        Error::IsDirectory => ErrorCode::IsDirectory,
        Error::NotEmpty => ErrorCode::NotEmpty,
        Error::Loop => ErrorCode::Loop,
        Error::NameTooLong => ErrorCode::NameTooLong,
        Error::ReadOnly => ErrorCode::ReadOnly,
        Error::Invalid => ErrorCode::Invalid,
        Error::NotPermitted => ErrorCode::NotPermitted,
        Error::CrossDevice => ErrorCode::CrossDevice,
        Error::Busy => ErrorCode::Busy,
        Error::Limit(limit) => return Err(limit.clone()),
    })
}

/// The type of a file.
pub(crate) fn kind(kind: Kind) -> DescriptorType {
    match kind {
        Kind::File => DescriptorType::RegularFile,
        Kind::Directory => DescriptorType::Directory,
        Kind::Link => DescriptorType::SymbolicLink,
    }
}

/// The status of a file.
pub(crate) fn stat(about: &Stat) -> DescriptorStat {
    DescriptorStat {
        type_: kind(about.kind),
        link_count: about.links,
        size: about.size,
        data_access_timestamp: Some(datetime(about.accessed_ns)),
        data_modification_timestamp: Some(datetime(about.modified_ns)),
        status_change_timestamp: Some(datetime(about.changed_ns)),
    }
}

/// A hash that no other file of the task has; programs use it as an inode number.
pub(crate) fn hash(inode: Inode) -> MetadataHashValue {
    MetadataHashValue { lower: inode.0, upper: 0 }
}

/// The time to set, in nanoseconds since 1970; `None` for no change.
///
/// # Errors
/// When it is after the year 2554, the last that fits into 64 bits.
pub(crate) fn time(new: NewTimestamp, now_ns: u64) -> Result<Option<u64>, Error> {
    match new {
        NewTimestamp::NoChange => Ok(None),
        NewTimestamp::Now => Ok(Some(now_ns)),
        NewTimestamp::Timestamp(time) => {
            let nanos = time.seconds.checked_mul(NANOS);
            let nanos = nanos.and_then(|nanos| nanos.checked_add(u64::from(time.nanoseconds)));
            nanos.map(Some).ok_or(Error::Invalid)
        }
    }
}

/// How to open a file. Flags about syncing are ignored: everything is in memory.
///
/// # Errors
/// When the flags contradict each other.
pub(crate) fn how(path: PathFlags, open: OpenFlags, flags: DescriptorFlags) -> FsResult<OpenHow> {
    let how = OpenHow {
        follow: path.contains(PathFlags::SYMLINK_FOLLOW),
        create: open.contains(OpenFlags::CREATE),
        exclusive: open.contains(OpenFlags::EXCLUSIVE),
        directory: open.contains(OpenFlags::DIRECTORY),
        truncate: open.contains(OpenFlags::TRUNCATE),
        write: flags.contains(DescriptorFlags::WRITE),
    };
    if how.directory && (how.create || how.exclusive || how.truncate) {
        return Err(ErrorCode::Invalid.into());
    }
    Ok(how)
}
