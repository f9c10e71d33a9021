//! The child process that runs tasks for a node: `weft slot`. It runs one guest at a time on a thread of its own; the
//! main thread is a watchdog. Before its first guest it drops all rights that it does not need.
//!
//! Its standard input is the socket to its node; it ends with the node. The node decides which task runs here and what
//! happens to one that was not finished (see `crate::pool`).
//!
//! ```text
//!   node ==socket==> runner (guest thread): claim, run, report ==socket==> node
//!     '---- page ----' watchdog (main thread): time limit, what waits behind a long run, the node's life
//! ```

pub(crate) mod confine;
mod escape;
mod loaded;
pub(crate) mod page;
mod payload;
mod runner;
mod shared;
pub(crate) mod socket;
mod swap;
mod watchdog;
pub(crate) mod wire;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use crate::os::{OomScore, SLOT_NICE, close_others, end_first_without_memory, lower_priority};
use crate::sandbox::Sandbox;

pub use confine::{Confinement, Fence};
pub use escape::try_escape;

use page::Page;
use shared::{Slot, complain};
use socket::{Broken, Incoming, Outgoing};
use swap::Swaps;
use wire::{FromSlot, PROTOCOL, TO_SLOT_BYTES_MAX, TO_SLOT_CLAIM_MAX, ToSlot};

/// Stack of the guest's thread, in bytes: for the guest and the host.
const STACK_BYTES: usize = 8 << 20;

/// Runs tasks for the node that started this process, until the node ends. For a hidden subcommand of a binary, which
/// must call it before it starts a thread.
#[must_use]
pub fn slot_main() -> ExitCode {
    match serve() {
        Ok(()) | Err(Broken::Closed) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), Broken> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(io::Error::from)?;
    close_others()?;
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let mut incoming = Incoming::new(TO_SLOT_BYTES_MAX);
    let (page, memory_max_bytes) = begin(&mut incoming, &socket)?;
    let swaps = Swaps::open();
    let made =
        Sandbox::for_slot(memory_max_bytes).and_then(|sandbox| sandbox.make_engines().map(|()| sandbox));
    let sandbox = match made {
        Ok(sandbox) => sandbox,
        Err(error) => {
            let mut out = Outgoing::default();
            out.push(&FromSlot::Failed(error.to_string()), []);
            out.send(&socket)?;
            return Ok(());
        }
    };
    let swaps = if sandbox.relies_on_no_swap() { swaps } else { Swaps::ignored() };
    let slot = Arc::new(Slot {
        socket,
        page,
        out: Mutex::default(),
        current: Mutex::default(),
        asleep: AtomicBool::new(false),
        stop: OnceLock::new(),
        over: AtomicBool::new(false),
        swaps,
    });
    run(&slot, sandbox, incoming)
}

/// Receives the first message of the node.
fn begin(incoming: &mut Incoming, socket: &OwnedFd) -> Result<(Page, u64), Broken> {
    let word = loop {
        match incoming.next::<ToSlot, TO_SLOT_CLAIM_MAX>()? {
            Some(word) => break word,
            None => incoming.receive(socket)?,
        };
    };
    let ToSlot::Begin { protocol: PROTOCOL, memory_max_bytes } = word else {
        return Err(Broken::Protocol("the node has another protocol version"));
    };
    let page = Page::map(incoming.file()?)?;
    // The node may have died before the death signal was set.
    let parent = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get().cast_unsigned());
    if parent != page.node() {
        return Err(Broken::Closed);
    }
    Ok((page, memory_max_bytes))
}

/// Drops rights step by step: engines need to open a file, threads need to be started.
fn run(slot: &Arc<Slot>, sandbox: Sandbox, incoming: Incoming) -> Result<(), Broken> {
    lower_priority(SLOT_NICE);
    end_first_without_memory(OomScore::SLOT);
    let landlock = confine::landlock();
    // Host functions of the runtime that wait need a timer thread, which can't be started later.
    let timers = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build()?;
    let watchdog = thread::current();
    let (go, ready) = std::sync::mpsc::sync_channel::<()>(1);
    let theirs = Arc::clone(slot);
    thread::Builder::new().name("weft-guest".into()).stack_size(STACK_BYTES).spawn(move || {
        let _timers = timers.enter();
        // An error means that the process ends before its first guest.
        if ready.recv().is_ok()
            && let Err(error) = runner::Runner::new(&theirs, sandbox, incoming, watchdog.clone()).serve()
            && !matches!(error, Broken::Closed)
        {
            complain(&error.to_string());
        }
        theirs.over.store(true, Ordering::SeqCst);
        watchdog.unpark();
    })?;
    confine::limit_resources();
    let seccomp = confine::seccomp();
    let confinement = Confinement { seccomp, landlock };
    let mut out = slot.out();
    out.push(&FromSlot::Ready { protocol: PROTOCOL, confinement }, []);
    slot.flush(&mut out)?;
    drop(out);
    if go.send(()).is_err() {
        return Err(Broken::Protocol("the guest's thread is gone"));
    }
    watchdog::watch(slot);
    Ok(())
}
