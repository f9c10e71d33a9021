//! Attacks of a guest that broke out of the runtime, run inside of a confined process: for a test, which reads the
//! results.

use std::fs::File;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode};

use rustix::process::{Pid, Signal, kill_process};

use super::confine::confine_everything;

/// The `libc` crate does not define it.
const F_SETSIG: libc::c_int = 10;

/// Drops all rights, then tries to use them. Prints a line for each attempt: its name, and `refused` or `ALLOWED`.
#[must_use]
pub fn try_escape() -> ExitCode {
    let confinement = confine_everything();
    tell("seccomp", &confinement.seccomp.to_string());
    tell("landlock", &confinement.landlock.to_string());
    let parent = rustix::process::getppid();
    let tried = [
        ("read a file", File::open("/etc/passwd").is_err()),
        ("read the process", File::open("/proc/self/maps").is_err()),
        ("list a directory", std::fs::read_dir("/").is_err()),
        ("write a file", File::create("/tmp/weft-escaped").is_err()),
        ("make a directory", std::fs::create_dir("/tmp/weft-escaped-dir").is_err()),
        ("read a link", std::fs::read_link("/proc/self/exe").is_err()),
        ("connect", TcpStream::connect("127.0.0.1:1").is_err_and(is_refusal)),
        ("listen", TcpListener::bind("127.0.0.1:0").is_err()),
        ("send", UdpSocket::bind("127.0.0.1:0").is_err()),
        ("connect to a local socket", UnixStream::connect("/tmp/weft-none").is_err_and(is_refusal)),
        ("run a program", Command::new("/bin/true").status().is_err()),
        ("kill its parent", parent.is_some_and(|parent| test_kill(parent).is_err())),
        ("type into a terminal", device(libc::TIOCSTI).is_err_and(is_refusal)),
        ("own a file's signals by a device call", device(libc::FIOASYNC).is_err_and(is_refusal)),
        ("have a file signal its parent", descriptor(libc::F_SETOWN, parent).is_err_and(is_refusal)),
        ("choose that signal", descriptor(F_SETSIG, Some(Pid::INIT)).is_err_and(is_refusal)),
        ("look at its parent", parent.is_some_and(|parent| open_process(parent).is_err())),
    ];
    for (what, refused) in tried {
        tell(what, if refused { "refused" } else { "ALLOWED" });
    }
    ExitCode::SUCCESS
}

/// The system call itself must be refused; an unreachable address is not enough.
#[expect(clippy::needless_pass_by_value, reason = "as `is_err_and` has it")]
fn is_refusal(error: std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::PermissionDenied
}

/// Sends a harmless signal.
fn test_kill(pid: Pid) -> rustix::io::Result<()> {
    kill_process(pid, Signal::CONT)
}

fn open_process(pid: Pid) -> rustix::io::Result<()> {
    rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).map(drop)
}

/// An `ioctl` on standard error. The argument is a null pointer, so that nothing is typed if the call is not refused.
#[expect(unsafe_code, reason = "a system call that no crate of ours wraps")]
fn device(call: libc::Ioctl) -> std::io::Result<()> {
    // SAFETY: these calls read at most four bytes at the address; there is nothing at a null pointer, which the kernel
    // answers with an error.
    done(unsafe { libc::ioctl(2, call, std::ptr::null::<libc::c_int>()) })
}

/// An `fcntl` on standard error, with a process id or a signal number.
#[expect(unsafe_code, reason = "a system call that no crate of ours wraps")]
fn descriptor(call: libc::c_int, argument: Option<Pid>) -> std::io::Result<()> {
    let argument = argument.map_or(0, |pid| pid.as_raw_nonzero().get());
    // SAFETY: the calls take a number and touch no memory of this process.
    done(unsafe { libc::fcntl(2, call, argument) })
}

fn done(answer: libc::c_int) -> std::io::Result<()> {
    if answer == -1 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

#[expect(clippy::print_stdout, reason = "the test reads it")]
fn tell(what: &str, became: &str) {
    println!("{what}: {became}");
}
