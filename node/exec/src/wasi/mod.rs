//! WASI preview 1 and the snapshot before it, on a file system in memory: the functions that a core module may import.
//! Every pointer is checked before use; one outside of the guest's memory ends the run with a trap, as under `wasmtime
//! run`, whose error codes the calls return.
//!
//! Nothing here reaches the host: files are in [`crate::vfs`], clocks and randomness in [`crate::world`], streams in
//! [`crate::sink`], and there are no sockets. The only call that blocks is a guest's own sleep.

mod abi;
mod call;
mod dirs;
mod fail;
mod fds;
mod io;
mod paths;
mod poll;
mod process;
mod ram;
pub(crate) mod state;
mod table;
mod version;

use wasmtime::{Engine, Linker};

use crate::guest::Guest;
use version::Version;

/// The linker for core modules, with everything that they may import.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    for version in Version::ALL {
        process::link(&mut linker, version)?;
        poll::link(&mut linker, version)?;
        fds::link(&mut linker, version)?;
        io::link(&mut linker, version)?;
        dirs::link(&mut linker, version)?;
        paths::link(&mut linker, version)?;
    }
    Ok(linker)
}
