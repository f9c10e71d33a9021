//! `wasi:filesystem`: not there yet; see `denied`.

/// An open file or directory.
#[derive(Debug)]
pub(crate) struct Descriptor;

/// A directory being listed.
#[derive(Debug)]
pub(crate) struct Listing;

/// A place in a file.
#[derive(Clone, Debug)]
pub(crate) struct Cursor;
