//! Clocks and waiting. A sleep of a pure task advances the virtual clock and takes no time; a sleep of an impure task
//! ends early at its `Stop` or time limit. Streams and files are always ready.

use wasmtime::Linker;

use super::abi::{Errno, fill};
use super::call::{Call, calls};
use super::fail::Answer;
use super::ram::Word;
use super::table::Descriptor;
use super::version::{Subscriptions, Version};
use crate::guest::Guest;
use crate::world::{CLOCK_STEP_NS, World};

/// Most subscriptions of one `poll_oneoff`: as many as descriptors may be open.
const SUBSCRIPTIONS_MAX: Word = 1024;
const EVENT_BYTES: usize = 32;

const CLOCK_REALTIME: u32 = 0;
const CLOCK_MONOTONIC: u32 = 1;
/// The first number that is no clock. The two clocks of processor time are not supported.
const CLOCKS_ALL: u32 = 4;

const TAG_CLOCK: u8 = 0;
const TAG_READ: u8 = 1;
const TAG_WRITE: u8 = 2;
const FLAG_ABSOLUTE: u16 = 1;
const EVENT_HANGUP: u8 = 1;

pub(super) fn link(linker: &mut Linker<Guest>, version: Version) -> wasmtime::Result<()> {
    calls! { linker, version,
        clock_res_get(clock: u32, out: u32);
        clock_time_get(clock: u32, precision: u64, out: u32);
        poll_oneoff(subscriptions: u32, events: u32, count: u32, out: u32);
    }
    Ok(())
}

impl Call<'_> {
    fn clock_res_get(&mut self, clock: u32, out: Word) -> Answer {
        peek(&self.guest.world, clock)?;
        self.ram.put_u64(out, CLOCK_STEP_NS)
    }

    fn clock_time_get(&mut self, clock: u32, _precision: u64, out: Word) -> Answer {
        peek(&self.guest.world, clock)?;
        let world = &mut self.guest.world;
        let now = if clock == CLOCK_REALTIME { world.wall_ns() } else { world.monotonic_ns() };
        self.ram.put_u64(out, now)
    }

    /// A poll with a stream or a file returns at once; a poll of clocks only is a sleep.
    fn poll_oneoff(&mut self, subscriptions: Word, events: Word, count: Word, out: Word) -> Answer {
        if count == 0 || count > SUBSCRIPTIONS_MAX {
            return Err(Errno::INVAL.into());
        }
        let layout = self.version.subscriptions();
        let asked = (0..count)
            .map(|index| {
                let address = subscriptions.checked_add(index * layout.bytes).ok_or(Errno::OVERFLOW)?;
                let span = self.ram.span(address, layout.bytes)?;
                let bytes = self.ram.bytes(span)?.to_vec();
                self.subscription(&bytes, layout)
            })
            .collect::<Answer<Vec<Subscription>>>()?;
        let sleep_ns = asked.iter().map(|one| one.wait_ns).min().unwrap_or(0);
        self.guest.sleep(sleep_ns)?;

        let mut address = events;
        let mut ready = 0;
        for one in asked.iter().filter(|one| one.wait_ns <= sleep_ns) {
            self.ram.put(address, &one.event())?;
            address = address.checked_add(32).ok_or(Errno::OVERFLOW)?;
            ready += 1;
        }
        self.ram.put_u32(out, ready)
    }

    fn subscription(&mut self, bytes: &[u8], layout: Subscriptions) -> Answer<Subscription> {
        let userdata = field(bytes, 0);
        let [tag] = field(bytes, 8);
        let which = u32::from_le_bytes(field(bytes, 16));
        let ready = Subscription { userdata, tag, wait_ns: 0, at_end: false };
        match tag {
            TAG_CLOCK => {
                let clock = u32::from_le_bytes(field(bytes, layout.clock));
                let timeout = u64::from_le_bytes(field(bytes, layout.timeout));
                let absolute = u16::from_le_bytes(field(bytes, layout.flags)) & FLAG_ABSOLUTE != 0;
                let now = peek(&self.guest.world, clock).map_err(|_no_clock| Errno::INVAL)?;
                let wait_ns = if absolute { timeout.saturating_sub(now) } else { timeout };
                Ok(Subscription { wait_ns, ..ready })
            }
            TAG_READ => Ok(Subscription { at_end: self.is_at_end(which)?, ..ready }),
            TAG_WRITE => match self.wasi().table.get(which)? {
                Descriptor::Output | Descriptor::Errors | Descriptor::File(_) => Ok(ready),
                Descriptor::Input { .. } | Descriptor::Directory(_) => Err(Errno::BADF.into()),
            },
            _ => Err(Errno::INVAL.into()),
        }
    }

    /// Whether a readable file is at its end.
    fn is_at_end(&mut self, fd: u32) -> Answer<bool> {
        let (inode, position) = match self.wasi().table.get(fd)? {
            Descriptor::Input { .. } => return Ok(false),
            Descriptor::File(file) => (file.inode, file.position),
            Descriptor::Output | Descriptor::Errors | Descriptor::Directory(_) => {
                return Err(Errno::BADF.into());
            }
        };
        let (vfs, _) = self.vfs()?;
        Ok(vfs.stat(inode)?.size <= position)
    }
}

/// The current time of this clock, in nanoseconds.
fn peek(world: &World, clock: u32) -> Result<u64, Errno> {
    match clock {
        CLOCK_REALTIME => Ok(world.peek_wall_ns()),
        CLOCK_MONOTONIC => Ok(world.peek_monotonic_ns()),
        clock if clock < CLOCKS_ALL => Err(Errno::BADF),
        _ => Err(Errno::INVAL),
    }
}

/// One event that a guest waits for.
struct Subscription {
    userdata: [u8; 8],
    tag: u8,
    /// Time until it is ready, in nanoseconds.
    wait_ns: u64,
    at_end: bool,
}

impl Subscription {
    fn event(&self) -> [u8; EVENT_BYTES] {
        let mut event = [0; EVENT_BYTES];
        fill(&mut event, 0, &self.userdata);
        fill(&mut event, 10, &[self.tag]);
        if self.tag != TAG_CLOCK {
            // Bytes available: at least one.
            fill(&mut event, 16, &[1]);
            fill(&mut event, 24, &[if self.at_end { EVENT_HANGUP } else { 0 }]);
        }
        event
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let field = bytes.get(at..at + N).and_then(|field| field.try_into().ok());
    field.expect("the fields lie inside a subscription")
}
