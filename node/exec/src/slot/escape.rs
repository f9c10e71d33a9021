//! What a guest that got out of the runtime would try, tried from inside a confined process: for a test, which reads
//! what became of each.

use std::fs::File;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode};

use rustix::process::{Pid, Signal, kill_process};

use super::confine_everything;

/// Gives up all rights, then tries to use them. Prints a line for each: its name, and `refused` or `ALLOWED`.
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
        ("look at its parent", parent.is_some_and(|parent| open_process(parent).is_err())),
    ];
    for (what, refused) in tried {
        tell(what, if refused { "refused" } else { "ALLOWED" });
    }
    ExitCode::SUCCESS
}

/// Not just nobody there: the system call itself must fail.
#[expect(clippy::needless_pass_by_value, reason = "as `is_err_and` has it")]
fn is_refusal(error: std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::PermissionDenied
}

/// A signal that does no harm.
fn test_kill(pid: Pid) -> rustix::io::Result<()> {
    kill_process(pid, Signal::CONT)
}

fn open_process(pid: Pid) -> rustix::io::Result<()> {
    rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).map(drop)
}

#[expect(clippy::print_stdout, reason = "the test reads it")]
fn tell(what: &str, became: &str) {
    println!("{what}: {became}");
}
