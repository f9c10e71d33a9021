//! One WASI call: its context, how it is entered from the guest, and how its result is returned to the guest.

use wasmtime::{Caller, Extern, Memory};
use weft_core::Trap;

use super::abi::Errno;
use super::fail::{Answer, Fail};
use super::ram::Ram;
use super::state::Wasi;
use super::version::Version;
use crate::end::End;
use crate::guest::Guest;
use crate::vfs::Vfs;

/// The context of a running call: the guest's memory, and the run's state.
pub(super) struct Call<'a> {
    /// The version whose constants and layouts it uses.
    pub(super) version: Version,
    pub(super) ram: Ram<'a>,
    pub(super) guest: &'a mut Guest,
}

impl Call<'_> {
    /// The run's state for WASI calls.
    pub(super) fn wasi(&mut self) -> &mut Wasi {
        self.guest.wasi.as_mut().expect("a module that imports WASI gets its state before it runs")
    }

    /// The file system, and the current time for its timestamps.
    pub(super) fn vfs(&mut self) -> Answer<(&mut Vfs, u64)> {
        Ok(self.guest.vfs()?)
    }
}

/// Runs one call and returns its error code, or ends the run.
pub(super) fn enter(
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

/// Links functions: each line is a WASI function with its parameters' types, implemented by the method of that name.
macro_rules! calls {
    ($linker:expr, $version:expr, $($name:ident($($param:ident: $ty:ty),*);)*) => {
        $($linker.func_wrap(
            $version.module(),
            stringify!($name),
            move |caller: wasmtime::Caller<'_, $crate::guest::Guest>, $($param: $ty),*| {
                $crate::wasi::call::enter(caller, $version, |call| call.$name($($param),*))
            },
        )?;)*
    };
}

pub(super) use calls;
