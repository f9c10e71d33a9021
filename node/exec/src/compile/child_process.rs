//! The node's side of a compile child: starts it, sends one module, waits for at most the time that the module may
//! take, and ends it. So a module that takes over its compiler can't reach the code of another module. The child's
//! answer is parsed as untrusted; the file with the code is sealed before it is mapped.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::Signal;
use weft_core::BlobId;

use super::bounds::Bounds;
use super::compilation::{CompileError, Effort};
use super::wire::{self, Answer, Request};
use crate::code::{Code, Draft, Kind};
use crate::make::Make;
use crate::os::is_gone;
use crate::text::shorten;

/// How often a waiting thread checks whether the node ends.
const LOOK: Duration = Duration::from_millis(50);
/// Bytes that are read of a dead child's standard error.
const WORDS_BYTES_MAX: u64 = 4 << 10;
/// A child that dies is started once more: its death may have had another cause than the module.
const TRIES: u32 = 2;

/// One module to compile, and its bounds.
pub(super) struct Compilation<'a> {
    pub(super) program: &'a Path,
    pub(super) args: &'a [OsString],
    pub(super) module: BlobId,
    pub(super) kind: Kind,
    pub(super) make: Make,
    pub(super) bytes: &'a [u8],
    pub(super) bounds: Bounds,
    pub(super) effort: Effort,
    /// Longest wall time.
    pub(super) time: Duration,
    /// Largest address space, in bytes.
    pub(super) memory_bytes: u64,
}

/// A running child. Dropping it ends the child.
#[derive(Debug)]
struct ChildProcess {
    child: Child,
    socket: UnixDatagram,
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        // It may be dead already; waiting for it leaves no zombie.
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait().map(drop)) {
            tracing::debug!(%error, "a compile child could not be ended");
        }
    }
}

/// Why a try ended without an answer.
enum Failure {
    /// It exceeded its wall time.
    Late,
    /// The node is shutting down.
    Quit,
    /// It died; the text is its standard error.
    Dead(ExitStatus, String),
    /// It answered something malformed.
    Broken(io::Error),
    /// The node lacks something, such as descriptors, which is no fault of the child or the module.
    Host(io::Error),
}

/// Compiles a module in a child of its own. `quit` is called every 50 ms; when it returns true, compiling is given up.
pub(super) fn compile(compilation: &Compilation<'_>, quit: &dyn Fn() -> bool) -> Result<Code, CompileError> {
    let mut last = String::new();
    // A kill is not the module's fault: its memory and time end by other means.
    let mut killed = false;
    for _ in 0..TRIES {
        let mut draft = Draft::new().map_err(host)?;
        match ChildProcess::start(compilation).map_err(host)?.compile(compilation, &mut draft, quit) {
            Ok(answer) => {
                answer?;
                return draft.seal(compilation.module, compilation.kind, compilation.make).map_err(host);
            }
            Err(Failure::Late) => return Err(late(compilation)),
            Err(Failure::Quit) => return Err(CompileError::Host("the node ends".into())),
            Err(Failure::Host(error)) => return Err(host(error)),
            Err(Failure::Broken(error)) => last = format!("the exchange failed: {error}"),
            Err(Failure::Dead(status, words)) => {
                killed |= status.signal() == Some(Signal::KILL.as_raw());
                last = cause_of_death(compilation, status, &words)?;
            }
        }
        tracing::warn!(module = %compilation.module, last, "a compile child is lost");
    }
    let text = format!("compile: the compiler died twice on this module; {last}");
    Err(if killed { CompileError::Host(text) } else { CompileError::Heavy(text) })
}

impl ChildProcess {
    fn start(compilation: &Compilation<'_>) -> io::Result<Self> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let mut command = Command::new(compilation.program);
        command
            .args(compilation.args)
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        // The compiler needs nothing of the node's environment.
        command.env_clear();
        let child = command.spawn()?;
        let socket = UnixDatagram::from(ours);
        socket.set_read_timeout(Some(LOOK))?;
        Ok(Self { child, socket })
    }

    fn compile(
        self,
        compilation: &Compilation<'_>,
        draft: &mut Draft,
        quit: &dyn Fn() -> bool,
    ) -> Result<Answer, Failure> {
        let until = Instant::now() + compilation.time;
        let module = module_file(compilation.bytes).map_err(Failure::Host)?;
        match wire::send_request(&self.socket, &request(compilation), module.as_fd(), draft.fd()) {
            Ok(()) => {}
            // Its end is noticed while waiting for its answer.
            Err(error) if is_gone(&error) => tracing::debug!(%error, "sending to a compile child failed"),
            // It lives, and would wait for the request until its time is over.
            Err(error) => return Err(Failure::Host(error)),
        }
        drop(module);
        let mut buffer = wire::buffer();
        loop {
            match self.socket.recv(&mut buffer) {
                Ok(got) => match wire::decode_answer(buffer.get(..got).unwrap_or_default()) {
                    Ok(Some(answer)) => return Ok(answer),
                    Ok(None) => return Err(self.reap()),
                    Err(error) => return Err(Failure::Broken(error)),
                },
                Err(error) if is_timeout(&error) => {}
                Err(error) if is_gone(&error) => return Err(self.reap()),
                Err(error) => return Err(Failure::Host(error)),
            }
            if Instant::now() >= until {
                return Err(Failure::Late);
            }
            if quit() {
                return Err(Failure::Quit);
            }
        }
    }

    /// Why the child, which closed its socket, died.
    fn reap(mut self) -> Failure {
        // It may have closed the socket without dying.
        if let Err(error) = self.child.kill() {
            tracing::debug!(%error, "a compile child was dead already");
        }
        let status = match self.child.wait() {
            Ok(status) => status,
            Err(error) => return Failure::Host(error),
        };
        let mut words = Vec::new();
        if let Some(stderr) = self.child.stderr.take()
            && let Err(error) = stderr.take(WORDS_BYTES_MAX).read_to_end(&mut words)
        {
            tracing::debug!(%error, "reading a compile child's stderr failed");
        }
        Failure::Dead(status, String::from_utf8_lossy(&words).into_owned())
    }
}

/// The module in a sealed file.
fn module_file(bytes: &[u8]) -> io::Result<OwnedFd> {
    let fd = memfd_create("weft-module", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = File::from(fd);
    file.write_all(bytes)?;
    fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(file.into())
}

fn request(compilation: &Compilation<'_>) -> Request {
    let Compilation { kind, make, bounds, effort, memory_bytes, time, .. } = *compilation;
    // The node's deadline ends it first.
    Request { make, kind, bounds, effort, memory_bytes, cpu_s: time.as_secs().saturating_mul(2) + 60 }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

/// The text for a child that died of an unknown cause.
///
/// # Errors
/// The error, when the module exceeded its memory or time.
fn cause_of_death(
    compilation: &Compilation<'_>,
    status: ExitStatus,
    words: &str,
) -> Result<String, CompileError> {
    // Printed by Rust's runtime when an allocation fails.
    if words.contains("memory allocation of") {
        let mib = compilation.memory_bytes >> 20;
        return Err(CompileError::Heavy(format!("compile memory: more than {mib} MiB")));
    }
    if status.signal() == Some(Signal::XCPU.as_raw()) {
        return Err(late(compilation));
    }
    let words = shorten(words.trim(), 200);
    Ok(if words.is_empty() { status.to_string() } else { format!("{status}: {words}") })
}

fn late(compilation: &Compilation<'_>) -> CompileError {
    CompileError::Late(format!("compile time: more than {} ms", compilation.time.as_millis()))
}

fn host(error: io::Error) -> CompileError {
    CompileError::Host(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::make::{EngineKey, Interrupt, Tier};

    /// A child that lives and only sleeps, and can't be sent anything.
    #[test]
    fn a_request_that_the_system_does_not_send_is_not_waited_for() {
        let child = Command::new("/bin/sleep").arg("3600").stdin(Stdio::null()).spawn().unwrap();
        // It is connected to nothing.
        let socket = UnixDatagram::unbound().unwrap();
        socket.set_read_timeout(Some(LOOK)).unwrap();
        let compilation = Compilation {
            program: Path::new("/bin/sleep"),
            args: &[],
            module: BlobId([1; 32]),
            kind: Kind::Core,
            make: Make { key: EngineKey::PLAIN, interrupt: Interrupt::Kill, tier: Tier::Optimised },
            bytes: b"\0asm\x01\0\0\0",
            bounds: Bounds::NODE,
            effort: Effort { threads: 1, nice: 0 },
            time: Duration::from_secs(2),
            memory_bytes: 1 << 30,
        };
        let answer =
            ChildProcess { child, socket }.compile(&compilation, &mut Draft::new().unwrap(), &|| false);
        assert!(matches!(answer, Err(Failure::Host(_))), "it was waited for: {:?}", answer.is_ok());
    }
}
