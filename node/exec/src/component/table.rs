//! The resources of a component: streams, pollables, errors, files. It holds no memory of the guest; each entry is
//! small, and their number is bounded.
//!
//! The bindings use resource types of wasmtime-wasi that are never created: a `Resource<T>` is only a number here, and
//! this table maps numbers to entries.

use slab::Slab;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;
use weft_core::Limit;

use crate::vfs::{Inode, Kind};

/// Most resources (streams, files, pollables and errors) of a guest at a time.
pub(crate) const HANDLES_MAX: usize = 16_384;

/// The entry of a resource's number.
#[derive(Debug)]
pub(crate) enum Entry {
    /// An input stream.
    Input(Input),
    /// An output stream.
    Output(Output),
    /// A pollable.
    Wait(Wait),
    /// Why an operation of a stream failed.
    Error(ErrorCode),
    /// An open file or directory.
    Descriptor(Descriptor),
    /// An open listing of a directory.
    Listing(Listing),
}

/// The source of an input stream.
#[derive(Debug)]
pub(crate) enum Input {
    /// Standard input; all streams of it share one position.
    Stdin,
    /// A file.
    File(Cursor),
}

/// The target of an output stream.
#[derive(Debug)]
pub(crate) enum Output {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file.
    File(Cursor),
}

/// When a pollable is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Now, as all streams here are.
    Ready,
    /// At this time of the monotonic clock, in nanoseconds.
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

/// An open listing of a directory.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    pub(crate) inode: Inode,
    /// The last name that was returned.
    pub(crate) after: Option<String>,
}

/// Position of a stream in its file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor {
    pub(crate) inode: Inode,
    pub(crate) at: At,
}

/// A position in a file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum At {
    /// Bytes from its start.
    Offset(u64),
    /// Its end at the time of each write.
    End,
}

impl Cursor {
    /// Advances by this many bytes.
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
    /// Adds an entry and returns its handle.
    ///
    /// # Errors
    /// With the limit, when there are too many.
    pub(crate) fn push<T: 'static>(&mut self, entry: Entry) -> Result<Resource<T>, Limit> {
        let room = self.0.vacant_entry();
        match u32::try_from(room.key()) {
            // Numbers start at 0 and are reused, so this bounds the number of entries.
            Ok(rep) if room.key() < HANDLES_MAX => {
                room.insert(entry);
                Ok(Resource::new_own(rep))
            }
            Ok(_) | Err(_) => Err(too_many()),
        }
    }

    /// The entry of a handle.
    pub(crate) fn get<T: 'static>(&self, handle: &Resource<T>) -> Option<&Entry> {
        self.0.get(key(handle))
    }

    /// The entry of a handle, mutable.
    pub(crate) fn get_mut<T: 'static>(&mut self, handle: &Resource<T>) -> Option<&mut Entry> {
        self.0.get_mut(key(handle))
    }

    /// Removes an entry; its number may be reused.
    pub(crate) fn remove<T: 'static>(&mut self, handle: &Resource<T>) -> Option<Entry> {
        self.0.try_remove(key(handle))
    }
}

/// The limit of a run that needs more handles.
pub(crate) fn too_many() -> Limit {
    Limit::Other(format!("handles: asked for more than {HANDLES_MAX} streams, files and pollables at a time"))
}

fn key<T: 'static>(handle: &Resource<T>) -> usize {
    usize::try_from(handle.rep()).expect("a pointer has at least 32 bits")
}
