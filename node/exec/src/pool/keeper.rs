//! The thread that starts slot processes, and turns the pool for callers who don't. A process dies with the thread
//! that started it, so that this must be one which lives as long as the pool.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::child::Spawned;
use super::process::Front;
use crate::slot::page::Page;

/// The way to the keeper.
#[derive(Clone, Debug)]
pub(super) struct Keeper(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    bell: OwnedFd,
    state: Mutex<Orders>,
}

#[derive(Debug, Default)]
struct Orders {
    spawn: Vec<u64>,
    quit: bool,
}

impl Keeper {
    /// # Errors
    /// When the system has no descriptor left.
    pub(super) fn new() -> io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self(Arc::new(Shared { bell, state: Mutex::default() })))
    }

    /// Starts a process soon.
    pub(super) fn spawn(&self, id: u64) {
        self.lock().spawn.push(id);
        self.wake();
    }

    /// Ends the thread.
    pub(super) fn quit(&self) {
        self.lock().quit = true;
        self.wake();
    }

    /// Lets it look whether something changed.
    pub(super) fn wake(&self) {
        // It can only fail because the bell rings already.
        let _rings = rustix::io::write(&self.0.bell, &1_u64.to_ne_bytes());
    }

    /// The thread's life.
    pub(super) fn serve(&self, front: &Front, program: &PathBuf, args: &[OsString]) {
        loop {
            let mut orders = self.lock();
            if orders.quit {
                return;
            }
            let spawn = std::mem::take(&mut orders.spawn);
            drop(orders);
            if spawn.is_empty() {
                self.wait(front);
            }
            for id in spawn {
                // All slots die with this thread: what goes wrong here costs one of them.
                front.spawned(id, super::carrier::caught("starting a slot", || start(program, args)));
            }
        }
    }

    fn wait(&self, front: &Front) {
        let kept = front.is_kept();
        let slots = front.slots_fd();
        let bell = PollFd::new(&self.0.bell, PollFlags::IN);
        let mut fds = vec![bell];
        if kept {
            fds.push(PollFd::new(&slots, PollFlags::IN));
        }
        // Interrupted or not: whoever called has something to look at, or looks in vain.
        let _ready = poll(&mut fds, None);
        if fds.first().is_some_and(|bell| bell.revents().contains(PollFlags::IN)) {
            let _rang = rustix::io::read(&self.0.bell, &mut [0_u8; 8]);
        }
        if kept {
            front.turn();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Orders> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts a slot's process, with nothing of this one's but its end of a socket.
fn start(program: &PathBuf, args: &[OsString]) -> io::Result<Spawned> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    rustix::io::ioctl_fionbio(ours.as_fd(), true)?;
    let (page, page_file) = Page::create()?;
    let mut command = Command::new(program);
    command.args(args).env_clear().current_dir("/");
    // Neither the terminal nor the log is theirs. What they say last is read when they have ended; until then the pipe
    // takes what it holds, and nobody waits for the other.
    let (words, says) = io::pipe()?;
    rustix::io::ioctl_fionbio(&words, true)?;
    rustix::io::ioctl_fionbio(&says, true)?;
    command.stdin(Stdio::from(theirs)).stdout(Stdio::null()).stderr(Stdio::from(says));
    // What the terminal sends to this process is not meant for them: they end with it. No session of its own: where the
    // kernel shares processors out by session, its nice value would count for nothing beside the node.
    command.process_group(0);
    let process = command.spawn()?;
    Ok(Spawned { process, socket: ours, page, page_file, words: words.into() })
}
