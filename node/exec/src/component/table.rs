//! The resources that a component holds of us: streams, things to wait for, errors, files. It owns no memory of the
//! guest's; each entry is small, and their number is bounded.
//!
//! The bindings name resource types of wasmtime-wasi's, which we never make: a `Resource<T>` is only a number here,
//! and this table says what the number stands for.

use slab::Slab;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;
use weft_core::Limit;

use crate::vfs::{Inode, Kind};

/// Streams, files, pollables and errors that a guest may hold at a time.
pub(crate) const HANDLES_MAX: usize = 16_384;

/// What a number stands for.
#[derive(Debug)]
pub(crate) enum Entry {
    /// An input stream.
    Input(Input),
    /// An output stream.
    Output(Output),
    /// Something to wait for.
    Wait(Wait),
    /// Why an operation of a stream failed.
    Error(ErrorCode),
    /// An open file or directory.
    Descriptor(Descriptor),
    /// A directory being listed.
    Listing(Listing),
}

/// Where an input stream reads.
#[derive(Debug)]
pub(crate) enum Input {
    /// Standard input; every stream of it reads on where the last one stopped.
    Stdin,
    /// A file.
    File(Cursor),
}

/// Where an output stream writes.
#[derive(Debug)]
pub(crate) enum Output {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file.
    File(Cursor),
}

/// When something to wait for is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Now, as all of our streams are.
    Ready,
    /// When the monotonic clock shows so many nanoseconds.
    Until(u64),
}

impl Wait {
    /// The instant, in nanoseconds of the monotonic clock.
    pub(crate) fn at(self) -> u64 {
        match self {
            Self::Ready => 0,
            Self::Until(instant) => instant,
        }
    }
}

/// An open file or directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Descriptor {
    pub(crate) inode: Inode,
    pub(crate) kind: Kind,
    pub(crate) read: bool,
    pub(crate) write: bool,
}

/// A directory being listed.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    pub(crate) inode: Inode,
    /// The last name that was told.
    pub(crate) after: Option<String>,
}

/// Where a stream is in its file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor {
    pub(crate) inode: Inode,
    pub(crate) at: At,
}

/// A place in a file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum At {
    /// So many bytes from its start.
    Offset(u64),
    /// Its end, wherever that is.
    End,
}

impl Cursor {
    /// Moves on by so many bytes.
    pub(crate) fn advance(&mut self, by: usize) {
        match &mut self.at {
            At::Offset(offset) => *offset = offset.saturating_add(by as u64),
            At::End => {}
        }
    }
}

/// Resources by number.
#[derive(Debug, Default)]
pub(crate) struct Table(Slab<Entry>);

impl Table {
    /// Keeps an entry and gives the guest its handle.
    ///
    /// # Errors
    /// With the bound, when there are too many.
    pub(crate) fn push<T: 'static>(&mut self, entry: Entry) -> Result<Resource<T>, Limit> {
        let room = self.0.vacant_entry();
        match u32::try_from(room.key()) {
            // Numbers are given from 0 up and used again, so that this bounds how many there are.
            Ok(rep) if room.key() < HANDLES_MAX => {
                room.insert(entry);
                Ok(Resource::new_own(rep))
            }
            Ok(_) | Err(_) => Err(too_many()),
        }
    }

    /// What a handle stands for.
    pub(crate) fn get<T: 'static>(&self, handle: &Resource<T>) -> Option<&Entry> {
        self.0.get(key(handle))
    }

    /// What a handle stands for, to change.
    pub(crate) fn get_mut<T: 'static>(&mut self, handle: &Resource<T>) -> Option<&mut Entry> {
        self.0.get_mut(key(handle))
    }

    /// Forgets an entry; the number may stand for another one later.
    pub(crate) fn remove<T: 'static>(&mut self, handle: &Resource<T>) -> Option<Entry> {
        self.0.try_remove(key(handle))
    }
}

/// How a run ends that wants more handles than there are.
pub(crate) fn too_many() -> Limit {
    Limit::Other(format!("handles: asked for more than {HANDLES_MAX} streams, files and pollables at a time"))
}

fn key<T: 'static>(handle: &Resource<T>) -> usize {
    usize::try_from(handle.rep()).expect("a pointer has at least 32 bits")
}
