//! WASI preview 1, all of it, and the snapshot before it, on a file system in memory: what a core module may call. Each call is a function of
//! numbers; every pointer in them is checked before it is used, and one that leads outside the guest's memory ends the
//! run with a trap, as under `wasmtime run`, whose error codes the calls answer.
//!
//! It is not a door to the host: files are [`crate::vfs`]'s, clocks and chance [`crate::world`]'s, the streams
//! [`crate::sink`]'s, and there are no sockets. No call waits for anything but a guest's own sleep.

mod abi;
mod dirs;
mod fds;
mod io;
mod paths;
mod poll;
mod process;
mod ram;
mod table;
mod version;

use std::num::TryFromIntError;
use std::str::Utf8Error;

use bytes::Bytes;
use wasmtime::{Caller, Engine, Extern, Linker, Memory};
use weft_core::{Program, Trap};

use crate::guest::Guest;
use crate::sink::Sink;
use crate::vfs::{self, Vfs};
use abi::Errno;
use ram::Ram;
use table::Table;
use version::Version;

/// A command's first argument, its own name.
const PROGRAM_NAME: &str = "main.wasm";

/// What a run keeps for its WASI calls.
#[derive(Debug)]
pub(crate) struct Wasi {
    args: Vec<String>,
    env: Vec<(String, String)>,
    input: Bytes,
    output: Sink,
    errors: Sink,
    table: Table,
    /// Found at the first call: looking an export up costs more than a small call.
    memory: Option<Memory>,
}

impl Wasi {
    /// For a run that reads `input`, and whose standard output goes to `output` and standard error to `errors`.
    pub(crate) fn new(program: &Program, input: Bytes, output: &Sink, errors: &Sink) -> Self {
        Self {
            args: program.args.clone(),
            env: program.env.clone(),
            input,
            output: output.clone(),
            errors: errors.clone(),
            table: Table::new(),
            memory: None,
        }
    }
}

/// Why a call does not succeed.
#[derive(Debug)]
enum Fail {
    /// The guest is told so.
    Errno(Errno),
    /// The run ends.
    End(End),
}

type Answer<T = ()> = Result<T, Fail>;

impl From<Errno> for Fail {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

/// A length that the guest's numbers can't say.
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

/// One call under way: the guest's memory, and what the run keeps.
struct Call<'a> {
    /// Whose numbers and layouts it speaks.
    version: Version,
    ram: Ram<'a>,
    guest: &'a mut Guest,
}

impl Call<'_> {
    /// What the run keeps for its calls.
    fn wasi(&mut self) -> &mut Wasi {
        self.guest.wasi.as_mut().expect("a module that imports WASI gets its state before it runs")
    }

    /// The file system, and the time of a change to it.
    fn vfs(&mut self) -> Answer<(&mut Vfs, u64)> {
        Ok(self.guest.vfs()?)
    }
}

/// Runs one call, and turns its end into what the guest is told.
fn enter(
    mut caller: Caller<'_, Guest>,
    version: Version,
    call: impl FnOnce(&mut Call<'_>) -> Answer,
) -> wasmtime::Result<i32> {
    let memory = match memory(&mut caller) {
        Ok(memory) => memory,
        Err(end) => return Err(caller.data_mut().end(end)),
    };
    let (bytes, guest) = memory.data_and_store_mut(&mut caller);
    let mut entered = Call { version, ram: Ram::new(bytes), guest };
    match call(&mut entered) {
        Ok(()) => Ok(Errno::SUCCESS.code()),
        Err(Fail::Errno(errno)) => Ok(errno.code()),
        Err(Fail::End(end)) => Err(guest.end(end)),
    }
}

fn memory(caller: &mut Caller<'_, Guest>) -> Result<Memory, End> {
    if let Some(memory) = caller.data().wasi.as_ref().and_then(|wasi| wasi.memory) {
        return Ok(memory);
    }
    let memory = caller.get_export("memory").and_then(Extern::into_memory).ok_or_else(|| {
        End::Trap(Trap::Other("a WASI call needs the module to export its `memory`".into()))
    })?;
    if let Some(wasi) = caller.data_mut().wasi.as_mut() {
        wasi.memory = Some(memory);
    }
    Ok(memory)
}

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

/// Links calls: each line is a WASI function with its parameters' types, answered by the method of that name.
macro_rules! calls {
    ($linker:expr, $version:expr, $($name:ident($($param:ident: $ty:ty),*);)*) => {
        $($linker.func_wrap(
            $version.module(),
            stringify!($name),
            move |caller: wasmtime::Caller<'_, $crate::guest::Guest>, $($param: $ty),*| {
                $crate::wasi::enter(caller, $version, |call| call.$name($($param),*))
            },
        )?;)*
    };
}
use crate::end::End;
use calls;
