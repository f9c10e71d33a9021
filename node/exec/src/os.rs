//! Operating system calls about this process and its threads: priority, descriptors, the clock.

#[cfg(target_os = "linux")]
use std::io;

#[cfg(target_os = "linux")]
use rustix::time::{ClockId, clock_gettime};

/// Added to the nice value of slots.
pub(crate) const SLOT_NICE: i32 = 5;

/// Adds to the nice value of the calling thread and of the threads that it starts, so that the network's thread gets
/// the processor first. Does nothing on other systems than Linux.
pub(crate) fn lower_priority(nice: i32) {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(nice) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = nice;
}

#[cfg(target_os = "linux")]
/// The monotonic clock, in microseconds; the same in all processes of a machine.
pub(crate) fn now_us() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let micros = time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_nsec / 1000);
    u64::try_from(micros).unwrap_or(0)
}

/// Makes the kernel end this process before others when memory is exhausted: the score is added to its share of the
/// memory, in thousandths. Must be called while the process may open files. If it can't be set, the kernel chooses.
#[cfg(target_os = "linux")]
pub(crate) fn end_first_without_memory(score: OomScore) {
    let _said = std::fs::write("/proc/self/oom_score_adj", score.0);
}

/// A value of the kernel's `oom_score_adj`.
#[cfg(target_os = "linux")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct OomScore(&'static str);

#[cfg(target_os = "linux")]
impl OomScore {
    /// A slot: before the node.
    pub(crate) const SLOT: Self = Self("500");
    /// A compile child: before a slot, unless that one has filled the memory. A slot that does no harm must not go in
    /// place of a compiler, whose module is compiled again.
    pub(crate) const COMPILER: Self = Self("800");
}

/// Whether sending failed because the process on the other side closed its socket.
#[cfg(target_os = "linux")]
pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

/// Closes all descriptors except the three standard ones, so that an attacker in this process finds none. Must be
/// called before anything else is opened.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "closing descriptors by their number")]
pub(crate) fn close_others() -> io::Result<()> {
    const FIRST: libc::c_int = 3;
    // SAFETY: the call touches no memory. This process was just started and has opened nothing itself, so that nothing
    // in it owns or borrows any of these descriptors.
    if unsafe { libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, 0) } == 0 {
        return Ok(());
    }
    // Kernels before 5.9 don't have it.
    let mut open: Vec<libc::c_int> = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        open.extend(entry?.file_name().to_str().and_then(|name| name.parse::<libc::c_int>().ok()));
    }
    for fd in open.into_iter().filter(|fd| *fd >= FIRST) {
        // SAFETY: as above. The listing's own is closed by now, and one that is not open is refused without effect.
        unsafe { libc::close(fd) };
    }
    Ok(())
}
