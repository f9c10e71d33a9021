//! WASI preview 1, all of it, and the snapshot before it, on a file system in memory: what a core module may call. Each call is a function of
//! numbers; every pointer in them is checked before it is used, and one that leads outside the guest's memory ends the
//! run with a trap, as under `wasmtime run`, whose error codes the calls answer.
//!
//! It is not a door to the host: files are [`crate::vfs`]'s, clocks and chance [`crate::world`]'s, the streams
//! [`crate::sink`]'s, and there are no sockets. No call waits for anything but a guest's own sleep.

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

/// All that a guest may import.
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
