//! Write weft function tasks in a few lines.
//!
//! For programs that *are* work: a library with functions from bytes to bytes, compiled to WebAssembly. Programs
//! that *submit* work use `weft-sdk`. A program with a `main` needs neither: any WASI command runs on a mesh.
//!
//! ```
//! // src/lib.rs of a crate with `crate-type = ["cdylib"]`
//! fn shout(input: &[u8]) -> Result<String, std::str::Utf8Error> {
//!     Ok(std::str::from_utf8(input)?.to_uppercase())
//! }
//!
//! fn mirror(input: &[u8]) -> Vec<u8> {
//!     input.iter().rev().copied().collect()
//! }
//!
//! // Once a crate: the functions that a task may name, under their own or another name.
//! weft_guest::functions! { shout, reverse => mirror }
//!
//! # fn main() {
//! assert_eq!(shout(b"weft").unwrap(), "WEFT"); // they stay plain functions, tested like any other
//! # assert_eq!(mirror(b"abc"), b"cba");
//! # }
//! ```
//!
//! Build with `cargo build --release --target wasm32-unknown-unknown` (no imports, the smallest modules) or
//! `--target wasm32-wasip1` (`wasm32-wasi` before Rust 1.84), where `println!`, `eprintln!` and panic messages
//! reach the task's stdout and stderr.
//!
//! What comes back:
//! - whatever [`IntoAnswer`] knows: `Vec<u8>`, `String`, `()`, or a `Result` of those, whose error becomes the
//!   task's error text; the attempt counts as failed, and runs again if the job asks for retries;
//! - a panic is a trap. Its message reaches stderr where the target has one.
//!
//! Every call gets a fresh instance: statics start anew, and what is leaked is gone after the call.
//!
//! With the feature `serde` the function `json` (in this crate) turns a function of typed values into one of
//! bytes. The wire format itself is in [`abi`], one page, for guests in other languages.

#![deny(unsafe_op_in_unsafe_fn)]

pub mod abi;
mod answer;
#[cfg(feature = "serde")]
mod json;
#[doc(hidden)]
pub mod rt;

pub use answer::IntoAnswer;
#[cfg(feature = "serde")]
pub use json::json;

/// Exports functions by ABI v1. Once a crate.
///
/// `name` exports the function of that name; `name => function` exports any expression that can be called with
/// `&[u8]` and gives something that is [`IntoAnswer`].
///
/// ```
/// mod count {
///     pub fn lines(input: &[u8]) -> String {
///         input.iter().filter(|byte| **byte == b'\n').count().to_string()
///     }
/// }
/// weft_guest::functions! { lines => count::lines, size => |input: &[u8]| input.len().to_string() }
/// # fn main() {}
/// ```
///
/// A function that takes something else, or returns something that is not an answer, does not compile on any target:
///
/// ```compile_fail
/// fn add(a: u32) -> u32 { a + 1 }
/// weft_guest::functions! { add }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! functions {
    ($($name:ident $(=> $function:expr)?),+ $(,)?) => {
        const _: () = {
            #[cfg(target_arch = "wasm32")]
            #[no_mangle]
            extern "C" fn weft_alloc(len: u32) -> u32 {
                $crate::rt::alloc(len)
            }
        };
        $($crate::function!($name $(=> $function)?);)+
    };
}

/// One function of [`functions!`].
#[doc(hidden)]
#[macro_export]
macro_rules! function {
    ($name:ident) => {
        $crate::function!($name => $name);
    };
    ($name:ident => $function:expr) => {
        const _: () = {
            fn answer(input: &[u8]) -> $crate::rt::Answer {
                $crate::rt::answer(($function)(input))
            }

            #[cfg(target_arch = "wasm32")]
            #[export_name = concat!("weft_fn_", stringify!($name))]
            extern "C" fn exported(address: u32, len: u32) -> u64 {
                // SAFETY: the host calls with a range that it filled, as the ABI says.
                unsafe { $crate::rt::call(address, len, answer) }
            }

            // Elsewhere nothing is exported; the types are checked all the same.
            #[cfg(not(target_arch = "wasm32"))]
            const _: fn(&[u8]) -> $crate::rt::Answer = answer;
        };
    };
}
