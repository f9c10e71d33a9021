//! The guest ABI, version 1: one page of names and numbers, shared by the guest SDK and the node's sandbox.
//!
//! A **function module** is a core WebAssembly module that exports
//! - its memory as `memory`;
//! - [`ALLOC`]`: (len: i32) -> i32`, which returns the address of `len` fresh bytes that the host may fill;
//! - any number of functions named [`FUNCTION_PREFIX`]` + name : (address: i32, len: i32) -> i64`.
//!
//! A call gets its input's address and length and returns `address << 32 | len` of its answer: one byte that is
//! [`TAG_OK`] or [`TAG_ERROR`], then the output, or the error as UTF-8. Input and answer stay valid until the
//! instance is dropped, which the host does right after the call: no instance sees a second task.
//! A module that exports `_initialize` has it called first. Imports: WASI preview 1, or none.

/// Export that gives the host room for the input.
pub const ALLOC: &str = "weft_alloc";
/// What a function's export name starts with.
pub const FUNCTION_PREFIX: &str = "weft_fn_";
/// First byte of an answer: the rest is the output.
pub const TAG_OK: u8 = 0;
/// First byte of an answer: the rest is an error text.
pub const TAG_ERROR: u8 = 1;

/// An answer's address and length as one number.
pub const fn pack(address: u32, len: u32) -> u64 {
    (address as u64) << 32 | len as u64
}

/// Address and length of a packed answer.
pub const fn unpack(packed: u64) -> (u32, u32) {
    ((packed >> 32) as u32, packed as u32)
}
