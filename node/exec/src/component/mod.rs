//! Components: commands of WASI preview 2, which export `wasi:cli/run`, linked against a host of this crate with the
//! same files, clocks, randomness and bounds as preview 1.
//!
//! The host implements the traits that wasmtime-wasi generates from the interfaces' definitions, and uses nothing else
//! of it: its own host reads real files and runs a tokio runtime, which a confined slot must not.

mod cli;
mod convert;
mod denied;
mod files;
mod io;
mod open;
mod resources;
pub(crate) mod state;
mod table;
mod world;

use std::ops::Range;

pub(crate) use wasmtime::component::Linker;
use wasmtime::component::types::{ComponentItem, Type};
use wasmtime::component::{Component, ComponentExportIndex, HasSelf, InstancePre};
use wasmtime::{Engine, PoolConcurrencyLimitError, Store};
use wasmtime_wasi::p2::bindings::filesystem::preopens;
use wasmtime_wasi::p2::bindings::{cli as cli_host, clocks, random, sync};
use wasmtime_wasi_io::bindings::wasi::io::error as error_host;
use weft_core::{Failure, Limit, Outcome};

use crate::component::table::HANDLES_MAX;
use crate::guest::Guest;
use crate::outcome::Broken;
use crate::text::{list, quote, words};

/// Most handles that wasmtime keeps for a guest, its own resources and each borrow included.
const RUNTIME_HANDLES_MAX: usize = 4 * HANDLES_MAX;
/// Most bytes that one call of the guest may pass to the host, which has two copies of them for that time.
const CALL_BYTES_MAX: usize = 64 << 20;
/// wasmtime's error when a guest has too many handles: there is no type for it.
const HANDLES_TEXT: &str = "store handle limit exceeded";

/// The interface whose function runs a component.
pub(crate) const RUN_NAME: &str = "wasi:cli/run@0.2";
const RUN: &str = "run";

/// The linker for components, with everything that they may import except what [`denied`] defines.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    fn guest(guest: &mut Guest) -> &mut Guest {
        guest
    }
    type Us = HasSelf<Guest>;
    let mut linker = Linker::new(engine);
    let all = &mut linker;
    error_host::add_to_linker::<_, Us>(all, guest)?;
    sync::io::poll::add_to_linker::<_, Us>(all, guest)?;
    sync::io::streams::add_to_linker::<_, Us>(all, guest)?;
    clocks::monotonic_clock::add_to_linker::<_, Us>(all, guest)?;
    clocks::wall_clock::add_to_linker::<_, Us>(all, guest)?;
    random::random::add_to_linker::<_, Us>(all, guest)?;
    random::insecure::add_to_linker::<_, Us>(all, guest)?;
    random::insecure_seed::add_to_linker::<_, Us>(all, guest)?;
    sync::filesystem::types::add_to_linker::<_, Us>(all, guest)?;
    preopens::add_to_linker::<_, Us>(all, guest)?;
    cli_host::environment::add_to_linker::<_, Us>(all, guest)?;
    cli_host::exit::add_to_linker::<_, Us>(all, guest)?;
    cli_host::stdin::add_to_linker::<_, Us>(all, guest)?;
    cli_host::stdout::add_to_linker::<_, Us>(all, guest)?;
    cli_host::stderr::add_to_linker::<_, Us>(all, guest)?;
    cli_host::terminal_input::add_to_linker::<_, Us>(all, guest)?;
    cli_host::terminal_output::add_to_linker::<_, Us>(all, guest)?;
    cli_host::terminal_stdin::add_to_linker::<_, Us>(all, guest)?;
    cli_host::terminal_stdout::add_to_linker::<_, Us>(all, guest)?;
    cli_host::terminal_stderr::add_to_linker::<_, Us>(all, guest)?;
    Ok(linker)
}

/// A component that can be run.
pub(crate) struct Command {
    pre: InstancePre<Guest>,
    run: ComponentExportIndex,
}

impl Command {
    /// Checks a compiled component and links it; `None` if it is not a command.
    ///
    /// # Errors
    /// With a text for the component's author, when it is a command and can't be run.
    pub(crate) fn new(linker: &Linker<Guest>, component: &Component) -> Result<Option<Self>, String> {
        let Some(run) = run_export(component)? else { return Ok(None) };
        let engine = component.engine();
        let ty = component.component_type();
        let mut linker = linker.clone();
        for (name, item) in ty.imports(engine) {
            if let (true, ComponentItem::ComponentInstance(wanted)) = (denied::is_denied(name), &item.ty) {
                let defined =
                    linker.instance(name).and_then(|mut into| denied::define(&mut into, engine, wanted));
                defined.map_err(|error| words(&error))?;
            }
        }
        let pre = linker.instantiate_pre(component).map_err(|error| unlinked(component, &error))?;
        Ok(Some(Self { pre, run }))
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.pre.engine()
    }

    /// Addresses of its code and data.
    pub(crate) fn image_range(&self) -> Range<*const u8> {
        self.pre.component().image_range()
    }

    /// Runs it. The outcome is `Done` or `Failed`.
    pub(crate) fn call(&self, store: &mut Store<Guest>) -> Result<Outcome, Broken> {
        store.set_max_component_handles(RUNTIME_HANDLES_MAX);
        store.set_hostcall_fuel(CALL_BYTES_MAX);
        let result = self.try_call(store).map_err(broken)?;
        Ok(if result.is_ok() { Outcome::Done } else { Outcome::Failed(Failure::Exit(1)) })
    }

    fn try_call(&self, store: &mut Store<Guest>) -> wasmtime::Result<Result<(), ()>> {
        let instance = self.pre.instantiate(&mut *store)?;
        let run = instance.get_typed_func::<(), (Result<(), ()>,)>(&mut *store, &self.run)?;
        run.call(store, ()).map(|(result,)| result)
    }
}

/// Instantiating a component runs its code, so only refusals of the operating system or the pool are the host's fault.
fn broken(error: wasmtime::Error) -> Broken {
    if error.is::<PoolConcurrencyLimitError>() || error.root_cause().is::<rustix::io::Errno>() {
        return Broken::Instantiate(error);
    }
    if error.root_cause().to_string().contains(HANDLES_TEXT) {
        return Broken::Limit(Limit::Other(format!("handles: more than {RUNTIME_HANDLES_MAX} at a time")));
    }
    Broken::Call(error)
}

/// The export that runs the component.
fn run_export(component: &Component) -> Result<Option<ComponentExportIndex>, String> {
    let ty = component.component_type();
    let mut exports = ty.exports(component.engine());
    let Some((name, _)) = exports.find(|(name, _)| is_run_interface(name)) else { return Ok(None) };
    let interface = component.get_export_index(None, name);
    match interface.and_then(|interface| component.get_export(Some(&interface), RUN)) {
        Some((ComponentItem::ComponentFunc(function), index)) if is_run(&function) => Ok(Some(index)),
        Some(_) | None => {
            Err(format!("the export `{}` must have a function `{RUN}: func() -> result`", quote(name)))
        }
    }
}

/// Whether it is a compatible version of [`RUN_NAME`].
fn is_run_interface(name: &str) -> bool {
    name.strip_prefix(RUN_NAME).is_some_and(|patch| patch.starts_with('.'))
}

fn is_run(function: &wasmtime::component::types::ComponentFunc) -> bool {
    let mut results = function.results();
    let (Some(Type::Result(result)), None) = (results.next(), results.next()) else { return false };
    function.params().len() == 0 && result.ok().is_none() && result.err().is_none() && !function.async_()
}

/// The names of its exports.
pub(crate) fn exports(component: &Component) -> String {
    let ty = component.component_type();
    list(ty.exports(component.engine()).map(|(name, _)| format!("`{}`", quote(name))))
}

/// Why it does not link: the imports that are not available, else wasmtime's error.
fn unlinked(component: &Component, error: &wasmtime::Error) -> String {
    let ty = component.component_type();
    let imports = ty.imports(component.engine());
    let missing: Vec<String> = imports
        .filter(|(name, _)| !is_offered(name) && !denied::is_denied(name))
        .map(|(name, _)| format!("`{}`", quote(name)))
        .collect();
    if missing.is_empty() {
        return words(error);
    }
    format!(
        "it imports {}; a component may import wasi:cli, wasi:clocks, wasi:filesystem, wasi:io and wasi:random 0.2, \
         and wasi:sockets and wasi:http, which refuse",
        list(missing.into_iter())
    )
}

fn is_offered(import: &str) -> bool {
    let offered = ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/"];
    offered.iter().any(|prefix| import.starts_with(prefix)) && import.contains("@0.2.")
}
