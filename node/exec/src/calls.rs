//! The WASI calls that this crate answers itself: time, chance, sleep and exit. Everything else of preview 1 is
//! wasmtime-wasi's.
//!
//! wasmtime-wasi sleeps inside the host call, where no epoch reaches it, and refuses exit codes of 126 and more.
//! Here a sleep of a pure task moves the virtual clock and takes no time; a sleep of an impure one ends with its
//! `Stop` or its time limit.

use std::time::{Duration, SystemTime};

use wasmtime::{Caller, Engine, Extern, Linker, Memory};
use wasmtime_wasi::p1;

use crate::guest::{End, Guest, World};

const MODULE: &str = "wasi_snapshot_preview1";

/// The wall clock of a pure task at its start: 2026-01-01T00:00:00Z, in nanoseconds since 1970.
const VIRTUAL_WALL_START_NS: u64 = 1_767_225_600_000_000_000;
/// What a reading of a pure task's clock adds to it, so that a loop that waits for time to pass ends.
pub(crate) const CLOCK_STEP_NS: u64 = 1_000;
/// Bytes of randomness between two looks at the watch.
const RANDOM_CHUNK_BYTES: usize = 64 << 10;
/// Subscriptions that one `poll_oneoff` may have: there is nothing to poll but three streams and the clocks.
const SUBSCRIPTIONS_MAX: usize = 1024;

const SUCCESS: i32 = 0;
const ERRNO_BADF: u16 = 8;
const ERRNO_FAULT: i32 = 21;
const ERRNO_INVAL: i32 = 28;
const ERRNO_IO: i32 = 29;

const CLOCK_REALTIME: i32 = 0;
const CLOCK_MONOTONIC: i32 = 1;

const SUBSCRIPTION_BYTES: usize = 48;
const EVENT_BYTES: usize = 32;
const TAG_CLOCK: u8 = 0;
const TAG_READ: u8 = 1;
const TAG_WRITE: u8 = 2;
const FLAG_ABSOLUTE: u16 = 1;

/// All that a guest may import.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    p1::add_to_linker_sync(&mut linker, |guest: &mut Guest| {
        guest.wasi.as_mut().expect("a module that imports WASI gets a context")
    })?;
    linker.allow_shadowing(true);
    linker.func_wrap(
        MODULE,
        "proc_exit",
        |mut caller: Caller<'_, Guest>, code: i32| -> wasmtime::Result<()> {
            Err(caller.data_mut().end(End::Exit(code)))
        },
    )?;
    linker.func_wrap(MODULE, "sched_yield", || SUCCESS)?;
    linker.func_wrap(MODULE, "clock_res_get", clock_res_get)?;
    linker.func_wrap(MODULE, "clock_time_get", clock_time_get)?;
    linker.func_wrap(MODULE, "random_get", random_get)?;
    linker.func_wrap(MODULE, "poll_oneoff", poll_oneoff)?;
    Ok(linker)
}

fn clock_res_get(mut caller: Caller<'_, Guest>, clock: i32, address: i32) -> wasmtime::Result<i32> {
    if !matches!(clock, CLOCK_REALTIME | CLOCK_MONOTONIC) {
        return Ok(ERRNO_INVAL);
    }
    let memory = memory(&mut caller)?;
    Ok(put(memory.data_mut(&mut caller), address, &CLOCK_STEP_NS.to_le_bytes()))
}

fn clock_time_get(
    mut caller: Caller<'_, Guest>,
    clock: i32,
    _precision: i64,
    address: i32,
) -> wasmtime::Result<i32> {
    let memory = memory(&mut caller)?;
    let (bytes, guest) = memory.data_and_store_mut(&mut caller);
    let Some(now) = guest.world.read(clock) else { return Ok(ERRNO_INVAL) };
    Ok(put(bytes, address, &now.to_le_bytes()))
}

fn random_get(mut caller: Caller<'_, Guest>, address: i32, len: i32) -> wasmtime::Result<i32> {
    let memory = memory(&mut caller)?;
    let (bytes, guest) = memory.data_and_store_mut(&mut caller);
    let Some(room) = slice(bytes, address, offset(len)) else { return Ok(ERRNO_FAULT) };
    for chunk in room.chunks_mut(RANDOM_CHUNK_BYTES) {
        if guest.world.fill(chunk).is_err() {
            return Ok(ERRNO_IO);
        }
        guest.watch.look().map_err(|end| guest.end(end))?;
    }
    Ok(SUCCESS)
}

/// Streams are always ready, so a poll that names one returns at once; a poll of clocks alone is a sleep.
fn poll_oneoff(
    mut caller: Caller<'_, Guest>,
    subscriptions: i32,
    events: i32,
    count: i32,
    count_out: i32,
) -> wasmtime::Result<i32> {
    let count = offset(count);
    if count == 0 || count > SUBSCRIPTIONS_MAX {
        return Ok(ERRNO_INVAL);
    }
    let memory = memory(&mut caller)?;
    let (bytes, guest) = memory.data_and_store_mut(&mut caller);
    let Some(asked) = slice(bytes, subscriptions, count * SUBSCRIPTION_BYTES) else { return Ok(ERRNO_FAULT) };
    let asked: Option<Vec<Subscription>> = asked
        .chunks_exact(SUBSCRIPTION_BYTES)
        .map(|bytes| Subscription::parse(bytes, &guest.world))
        .collect();
    let Some(asked) = asked else { return Ok(ERRNO_INVAL) };

    let sleep_ns = asked.iter().map(|one| one.wait_ns).min().unwrap_or(0);
    guest.sleep(sleep_ns).map_err(|end| guest.end(end))?;

    let mut ready = 0;
    for one in asked.iter().filter(|one| one.wait_ns <= sleep_ns) {
        let Some(address) = offset(events).checked_add(ready * EVENT_BYTES) else { return Ok(ERRNO_FAULT) };
        let Some(room) = slice_at(bytes, address, EVENT_BYTES) else { return Ok(ERRNO_FAULT) };
        room.copy_from_slice(&one.event());
        ready += 1;
    }
    let ready = u32::try_from(ready).unwrap_or(u32::MAX);
    Ok(put(bytes, count_out, &ready.to_le_bytes()))
}

/// One thing that a guest waits for.
struct Subscription {
    userdata: [u8; 8],
    tag: u8,
    errno: u16,
    /// How long until it is ready.
    wait_ns: u64,
}

impl Subscription {
    fn parse(bytes: &[u8], world: &World) -> Option<Self> {
        let userdata = field(bytes, 0)?;
        let [tag] = field(bytes, 8)?;
        let which = u32::from_le_bytes(field(bytes, 16)?);
        match tag {
            TAG_CLOCK => {
                let timeout = u64::from_le_bytes(field(bytes, 24)?);
                let absolute = u16::from_le_bytes(field(bytes, 40)?) & FLAG_ABSOLUTE != 0;
                let now = world.now(i32::try_from(which).ok()?)?;
                let wait_ns = if absolute { timeout.saturating_sub(now) } else { timeout };
                Some(Self { userdata, tag, errno: 0, wait_ns })
            }
            TAG_READ | TAG_WRITE => {
                let known = if tag == TAG_READ { which == 0 } else { which == 1 || which == 2 };
                Some(Self { userdata, tag, errno: if known { 0 } else { ERRNO_BADF }, wait_ns: 0 })
            }
            _ => None,
        }
    }

    fn event(&self) -> [u8; EVENT_BYTES] {
        let mut event = [0; EVENT_BYTES];
        let errno = self.errno.to_le_bytes();
        let fields = self.userdata.iter().chain(&errno).chain(std::slice::from_ref(&self.tag));
        for (to, from) in event.iter_mut().zip(fields) {
            *to = *from;
        }
        if let Some(bytes_ready) = event.get_mut(16).filter(|_| self.tag != TAG_CLOCK) {
            *bytes_ready = 1;
        }
        event
    }
}

impl World {
    /// What the monotonic clock shows, in nanoseconds; reading it moves a virtual clock.
    pub(crate) fn monotonic_ns(&mut self) -> u64 {
        self.read(CLOCK_MONOTONIC).expect("the monotonic clock exists")
    }

    /// What the wall clock shows, in nanoseconds since 1970; reading it moves a virtual clock.
    pub(crate) fn wall_ns(&mut self) -> u64 {
        self.read(CLOCK_REALTIME).expect("the wall clock exists")
    }

    /// What this clock shows, in nanoseconds; reading it moves a virtual clock. `None` for clocks that don't exist.
    fn read(&mut self, clock: i32) -> Option<u64> {
        let now = self.now(clock)?;
        self.advance(CLOCK_STEP_NS);
        Some(now)
    }

    fn now(&self, clock: i32) -> Option<u64> {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        match (self, clock) {
            (Self::Virtual { clock_ns, .. }, CLOCK_MONOTONIC) => Some(*clock_ns),
            (Self::Virtual { clock_ns, .. }, CLOCK_REALTIME) => {
                Some(VIRTUAL_WALL_START_NS.saturating_add(*clock_ns))
            }
            (Self::Real { started }, CLOCK_MONOTONIC) => Some(nanos(started.elapsed())),
            (Self::Real { .. }, CLOCK_REALTIME) => {
                Some(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, nanos))
            }
            _ => None,
        }
    }

    /// Moves a virtual clock.
    fn advance(&mut self, by_ns: u64) {
        match self {
            Self::Virtual { clock_ns, .. } => *clock_ns = clock_ns.saturating_add(by_ns),
            Self::Real { .. } => {}
        }
    }
}

impl Guest {
    /// Sleeps; on a virtual clock that takes no time.
    pub(crate) fn sleep(&mut self, sleep_ns: u64) -> Result<(), End> {
        match &self.world {
            World::Virtual { .. } => {
                self.world.advance(sleep_ns);
                Ok(())
            }
            World::Real { .. } => {
                self.watch.sleep(Duration::from_nanos(sleep_ns))
            }
        }
    }
}

fn memory(caller: &mut Caller<'_, Guest>) -> wasmtime::Result<Memory> {
    caller
        .get_export("memory")
        .and_then(Extern::into_memory)
        .ok_or_else(|| wasmtime::Error::msg("a WASI call needs the module to export its `memory`"))
}

/// A guest's number as an offset: addresses and lengths are unsigned.
fn offset(word: i32) -> usize {
    usize::try_from(word.cast_unsigned()).expect("a pointer has at least 32 bits")
}

fn slice(memory: &mut [u8], address: i32, len: usize) -> Option<&mut [u8]> {
    slice_at(memory, offset(address), len)
}

fn slice_at(memory: &mut [u8], address: usize, len: usize) -> Option<&mut [u8]> {
    memory.get_mut(address..address.checked_add(len)?)
}

fn put(memory: &mut [u8], address: i32, bytes: &[u8]) -> i32 {
    match slice(memory, address, bytes.len()) {
        Some(room) => {
            room.copy_from_slice(bytes);
            SUCCESS
        }
        None => ERRNO_FAULT,
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}
