//! The host's side of the guest ABI: bytes in, bytes out. Every number that the guest returns is checked before use; a
//! violation ends the run as `Trap::Abi`.

use wasmtime::{Instance, InstancePre, Memory, ModuleExport, Store, TypedFunc, WasmParams, WasmResults};
use weft_core::Limit;

use crate::abi;
use crate::guest::Guest;
use crate::module::FunctionDoor;
use crate::outcome::Broken;

/// What a function returned.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Success, with these bytes.
    Output(Vec<u8>),
    /// Failure, with this text.
    Error(String),
}

/// Runs a command.
pub(crate) fn start(
    store: &mut Store<Guest>,
    pre: &InstancePre<Guest>,
    export: &ModuleExport,
) -> Result<(), Broken> {
    let instance = pre.instantiate(&mut *store).map_err(Broken::Instantiate)?;
    typed::<(), ()>(store, &instance, export)?.call(store, ()).map_err(Broken::Call)
}

/// Calls the function with this input. An answer longer than `output_bytes` is refused without reading it.
pub(crate) fn call(
    store: &mut Store<Guest>,
    pre: &InstancePre<Guest>,
    door: FunctionDoor<'_>,
    input: &[u8],
    output_bytes: u64,
) -> Result<Answer, Broken> {
    let len = i32::try_from(input.len()).ok().ok_or_else(|| too_large(input))?;
    let instance = pre.instantiate(&mut *store).map_err(Broken::Instantiate)?;
    if let Some(initialize) = door.initialize {
        typed::<(), ()>(store, &instance, initialize)?.call(&mut *store, ()).map_err(Broken::Call)?;
    }
    let memory = memory(store, &instance, door.memory)?;
    let address =
        typed::<i32, i32>(store, &instance, door.alloc)?.call(&mut *store, len).map_err(Broken::Call)?;
    let room = range(address.cast_unsigned(), len.cast_unsigned());
    memory
        .data_mut(&mut *store)
        .get_mut(room)
        .ok_or_else(|| broken(&format!("`{}` returned a buffer outside the memory", abi::ALLOC)))?
        .copy_from_slice(input);
    let packed = typed::<(i32, i32), i64>(store, &instance, door.function)?
        .call(&mut *store, (address, len))
        .map_err(Broken::Call)?;
    let (address, len) = abi::unpack(packed.cast_unsigned());
    let answer = memory
        .data(&*store)
        .get(range(address, len))
        .ok_or_else(|| broken(&format!("the answer ({len} bytes at {address}) is outside the memory")))?;
    read(answer, output_bytes)
}

fn read(answer: &[u8], output_bytes: u64) -> Result<Answer, Broken> {
    let Some((tag, bytes)) = answer.split_first() else {
        return Err(broken("the answer is empty: the tag is missing"));
    };
    if bytes.len() as u64 > output_bytes {
        return Err(Broken::Limit(Limit::Output { limit_bytes: output_bytes }));
    }
    match *tag {
        abi::TAG_OK => Ok(Answer::Output(bytes.to_vec())),
        abi::TAG_ERROR => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Answer::Error(text.to_owned())),
            Err(error) => Err(broken(&format!("the error text is not UTF-8: {error}"))),
        },
        other => Err(broken(&format!("the answer's tag is {other}, which is neither ok (0) nor error (1)"))),
    }
}

fn typed<P: WasmParams, R: WasmResults>(
    store: &mut Store<Guest>,
    instance: &Instance,
    export: &ModuleExport,
) -> Result<TypedFunc<P, R>, Broken> {
    instance
        .get_module_export(&mut *store, export)
        .and_then(wasmtime::Extern::into_func)
        .ok_or_else(|| wasmtime::Error::msg("an export vanished"))
        .and_then(|function| function.typed(&*store))
        .map_err(Broken::Instantiate)
}

fn memory(store: &mut Store<Guest>, instance: &Instance, export: &ModuleExport) -> Result<Memory, Broken> {
    instance
        .get_module_export(&mut *store, export)
        .and_then(wasmtime::Extern::into_memory)
        .ok_or_else(|| Broken::Instantiate(wasmtime::Error::msg("an export vanished")))
}

fn range(address: u32, len: u32) -> std::ops::Range<usize> {
    let wide = |word: u64| usize::try_from(word).unwrap_or(usize::MAX);
    wide(u64::from(address))..wide(u64::from(address) + u64::from(len))
}

fn too_large(input: &[u8]) -> Broken {
    let text = format!("input: {} bytes don't fit into a guest's memory", input.len());
    Broken::Limit(Limit::Other(text))
}

fn broken(promise: &str) -> Broken {
    Broken::Abi(promise.to_owned())
}
