//! The compile child: receives modules over the socket that is its standard input, and writes code into the file that
//! comes with each. It drops its rights first and ends with its node. Started by [`super::child_process`] only.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit};

use super::admission;
use super::compilation::{CompileError, Effort, compile};
use super::wire::{self, Answer, Request};
use crate::code::CODE_BYTES_MAX;
use crate::make::{Make, Tier};
use crate::os::{OomScore, close_others, end_first_without_memory};
use crate::slot::confine::confine_everything;

/// What `weft slot --compile` does: compiles the modules that arrive on its standard input, a socket of its node, until
/// the socket is closed.
#[must_use]
pub fn compile_main() -> ExitCode {
    let stdin = io::stdin();
    match serve(stdin.as_fd()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the compile child ends");
            ExitCode::FAILURE
        }
    }
}

fn serve(socket: BorrowedFd<'_>) -> io::Result<()> {
    // Closing the socket ends the child between modules; this ends it during one.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    close_others()?;
    end_first_without_memory(OomScore::COMPILER);
    bound(Resource::Core, 0)?;
    // A file that grows without end would fill the memory.
    bound(Resource::Fsize, CODE_BYTES_MAX)?;
    let mut engines = Vec::new();
    let mut first = true;
    while let Some((request, module, code)) = wire::receive_request(socket)? {
        if std::mem::take(&mut first) {
            prepare(&request)?;
        }
        let answer = answer(&mut engines, &request, module, code);
        let word = wire::encode_answer(&answer);
        rustix::net::send(socket, &word, rustix::net::SendFlags::NOSIGNAL)?;
    }
    Ok(())
}

/// Done once, when the settings are known and before any byte of a module is read.
fn prepare(request: &Request) -> io::Result<()> {
    // Threads that are started later inherit it.
    rustix::process::nice(request.effort.nice)?;
    // The node's deadline ends the child first; this limit ends a child whose node can't.
    let threads = u64::from(request.effort.threads) + 1;
    bound(Resource::Cpu, request.cpu_s.saturating_mul(threads))?;
    bound(Resource::As, request.memory_bytes)?;
    let confinement = confine_everything();
    tracing::debug!(?confinement, "the compile child has no rights left");
    Ok(())
}

fn bound(resource: Resource, most: u64) -> io::Result<()> {
    // A lower limit that was set before is kept.
    let most = getrlimit(resource).maximum.map_or(most, |before| before.min(most));
    setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    Ok(())
}

fn answer(
    engines: &mut Vec<(Make, wasmtime::Engine)>,
    request: &Request,
    mut module: File,
    mut code: File,
) -> Answer {
    let mut bytes = Vec::new();
    // The node left the position at the end.
    io::Seek::rewind(&mut module).map_err(host)?;
    (&module).take(request.bounds.bytes + 1).read_to_end(&mut bytes).map_err(host)?;
    drop(module);
    admission::check(&bytes, &request.bounds)?;
    let engine = engine(engines, request.make)?;
    let effort = Effort { nice: 0, ..request.effort };
    let made = compile(&engine, request.make.tier, request.kind, &bytes, effort)?;
    if made.len() as u64 > CODE_BYTES_MAX {
        return Err(CompileError::Limit(format!(
            "module: {} bytes of code, the limit is {CODE_BYTES_MAX}",
            made.len()
        )));
    }
    code.write_all(&made).map_err(host)
}

fn engine(engines: &mut Vec<(Make, wasmtime::Engine)>, make: Make) -> Result<wasmtime::Engine, CompileError> {
    if let Some((_, engine)) = engines.iter().find(|(has, _)| *has == make) {
        return Ok(engine.clone());
    }
    let engine = make.compiler().map_err(|error| match make.tier {
        Tier::Baseline => CompileError::Unsupported(error.to_string()),
        Tier::Optimised => CompileError::Host(error.to_string()),
    })?;
    engines.push((make, engine.clone()));
    Ok(engine)
}

fn host(error: io::Error) -> CompileError {
    CompileError::Host(error.to_string())
}
