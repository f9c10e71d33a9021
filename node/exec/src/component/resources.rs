//! Adds and removes the resources of a component. An entry that names an inode holds the inode until the guest drops
//! the resource.

use wasmtime::component::Resource;

use crate::component::state::ComponentState;
use crate::component::table::{Cursor, Descriptor, Entry, Input, Listing, Output};
use crate::end::End;
use crate::guest::Guest;
use crate::vfs::Inode;

impl Guest {
    /// State of this run for the host of components.
    pub(super) fn component_state(&mut self) -> wasmtime::Result<&mut ComponentState> {
        self.component.as_deref_mut().ok_or_else(|| wasmtime::Error::msg("the component has no host state"))
    }

    /// Adds a resource to the table; too many end the run.
    pub(crate) fn keep<T: 'static>(&mut self, entry: Entry) -> wasmtime::Result<Resource<T>> {
        self.component_state()?.table.push(entry).map_err(|limit| self.end(End::Limit(limit)))
    }

    /// Removes a resource that the guest dropped.
    pub(crate) fn release<T: 'static>(&mut self, handle: &Resource<T>) -> wasmtime::Result<()> {
        let entry = self.component_state()?.table.remove(handle).ok_or_else(unknown)?;
        match entry {
            Entry::Input(Input::File(Cursor { inode, .. }))
            | Entry::Output(Output::File(Cursor { inode, .. }))
            | Entry::Descriptor(Descriptor { inode, .. })
            | Entry::Listing(Listing { inode, .. }) => self.let_go(inode),
            Entry::Input(Input::Stdin)
            | Entry::Output(Output::Stdout | Output::Stderr)
            | Entry::Wait(_)
            | Entry::Error(_) => Ok(()),
        }
    }

    /// Releases the inode of an entry.
    pub(crate) fn let_go(&mut self, inode: Inode) -> wasmtime::Result<()> {
        match self.vfs() {
            Ok((vfs, _)) => {
                vfs.release(inode);
                Ok(())
            }
            Err(end) => Err(self.end(end)),
        }
    }
}

/// The error for a handle that is not in the table or has another type: wasmtime checks the types, so this is a fault
/// of this crate.
pub(crate) fn unknown() -> wasmtime::Error {
    wasmtime::Error::msg("unknown handle")
}
