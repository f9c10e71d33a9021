//! What this crate asks of the operating system about its own process and threads: priority, descriptors, the clock.

#[cfg(target_os = "linux")]
use std::io;

#[cfg(target_os = "linux")]
use rustix::time::{ClockId, clock_gettime};

/// What slots add to their nice value.
pub(crate) const SLOT_NICE: i32 = 5;

/// Adds to the nice value of the calling thread and of the threads that it starts: the network's thread comes before
/// guests and compilers. Linux only; elsewhere nothing happens.
pub(crate) fn lower_priority(nice: i32) {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(nice) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = nice;
}

#[cfg(target_os = "linux")]
/// The monotonic clock in microseconds, which is the same in all processes of a machine.
pub(crate) fn now_us() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let micros = time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_nsec / 1000);
    u64::try_from(micros).unwrap_or(0)
}

/// Closes whatever was left open for this process beside the three standard ones: who takes it over must find nothing.
/// To be called before anything else is opened.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "closing descriptors by their number")]
pub(crate) fn close_others() -> io::Result<()> {
    const FIRST: libc::c_int = 3;
    // SAFETY: the call touches no memory. This process was just started and has opened nothing itself, so that nothing
    // in it owns or borrows any of these descriptors.
    if unsafe { libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, 0) } == 0 {
        return Ok(());
    }
    // A kernel before 5.9 does not know it.
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
