//! What slots a node has, and how its loop waits for them. The pool itself is the sandbox's.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use weft_exec::{PoolConfig, Slots};

use crate::settings::{self, Settings, SlotKind};

/// Something that becomes readable when slot processes have something to say.
pub(crate) type Readable = AsyncFd<OwnedFd>;

/// The slots that the settings ask for.
pub(crate) fn config(settings: &Settings) -> PoolConfig {
    let kind = match settings.slot_kind {
        SlotKind::Thread => Slots::Threads,
        // The program of this process, even after the file on the disk was replaced.
        SlotKind::Process => {
            Slots::Processes { program: "/proc/self/exe".into(), args: vec![settings::SLOT_WORD.into()] }
        }
    };
    PoolConfig {
        slots: settings.slots,
        kind,
        cache_dir: Some(settings.data_dir.join("modules")),
        memory_max_bytes: settings.memory_bytes,
        module_max_bytes: settings.module_bytes,
    }
}

/// Registers the descriptor of slot processes with the runtime; threads have none.
pub(crate) fn wait_for(fd: Option<OwnedFd>) -> io::Result<Option<Readable>> {
    #[expect(
        deprecated,
        reason = "what replaces it is unsafe; this descriptor is owned, and is not replaced elsewhere"
    )]
    let register = |fd| AsyncFd::with_interest(fd, Interest::READABLE);
    fd.map(register).transpose()
}

/// Ready when slot processes have something to say. Readiness is given back before it is acted on, so that what comes
/// meanwhile is not lost.
pub(crate) async fn readable(slots: Option<&Readable>) {
    match slots {
        Some(fd) => match fd.readable().await {
            Ok(mut ready) => ready.clear_ready(),
            // The runtime ends; so does the loop.
            Err(_over) => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}
