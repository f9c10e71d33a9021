//! The thread that starts slot processes, and drives the pool for callers that don't call `turn`. A process dies with
//! the thread that started it, so this thread lives as long as the pool.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::child::Spawned;
use super::front::Front;
use super::io_threads::caught;
use super::spawn_queue::SpawnQueue;
use crate::slot::page::Page;

/// The main function of the thread.
pub(super) fn serve(queue: &SpawnQueue, front: &Front, program: &PathBuf, args: &[OsString]) {
    while let Some(spawn) = queue.take() {
        if spawn.is_empty() {
            wait(queue, front);
        }
        for id in spawn {
            // All slots die with this thread: an error or panic here must fail one of them only.
            front.spawned(id, caught("starting a slot", || start(program, args)));
        }
    }
}

fn wait(queue: &SpawnQueue, front: &Front) {
    let kept = front.turns_itself();
    let slots = front.slots_fd();
    let bell = PollFd::new(queue.bell(), PollFlags::IN);
    let mut fds = vec![bell];
    if kept {
        fds.push(PollFd::new(&slots, PollFlags::IN));
    }
    // Spurious wake-ups do no harm.
    let _ready = poll(&mut fds, None);
    if fds.first().is_some_and(|bell| bell.revents().contains(PollFlags::IN)) {
        queue.silence();
    }
    if kept {
        front.turn();
    }
}

/// Starts a slot process. It inherits nothing of this process but its end of a socket.
fn start(program: &PathBuf, args: &[OsString]) -> io::Result<Spawned> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    rustix::io::ioctl_fionbio(ours.as_fd(), true)?;
    let (page, page_file) = Page::create()?;
    let mut command = Command::new(program);
    command.args(args).env_clear().current_dir("/");
    // Slots have neither the terminal nor the log. Their standard error is a non-blocking pipe that is read when they
    // have ended.
    let (words, says) = io::pipe()?;
    rustix::io::ioctl_fionbio(&words, true)?;
    rustix::io::ioctl_fionbio(&says, true)?;
    command.stdin(Stdio::from(theirs)).stdout(Stdio::null()).stderr(Stdio::from(says));
    // A process group of their own: signals of the terminal are not for them, they end with this process. Not a session
    // of their own: where the kernel divides processors between sessions, their nice value would have no effect
    // relative to the node.
    command.process_group(0);
    let process = command.spawn()?;
    Ok(Spawned { process, socket: ours, page, page_file, words: words.into() })
}
