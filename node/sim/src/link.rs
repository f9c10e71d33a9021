//! One connection between two hosts, sans-IO: which end considers it open, which direction is cut, and when a frame
//! arrives. Frames of one direction arrive in order, as with TCP: a lost one is a delay, a long loss breaks the
//! connection. Under [`Chaos`] single frames are dropped, doubled and reordered, which TCP never does and an engine must
//! tolerate.

use std::collections::BTreeMap;
use std::time::Duration;

use weft_core::{Message, Time};

use crate::chance::Chance;
use crate::host::HostId;

/// Most frames that wait for a cut direction to be mended. One more breaks the connection.
const HELD_MAX: usize = 4096;
/// Time until a lost frame is retransmitted, in microseconds; each further retransmission waits twice as long.
const RETRANSMIT_US: u64 = 50_000;
/// A frame that is lost again after this many retransmissions breaks the connection.
const LOSSES_MAX: u32 = 6;

/// A connection's name: the lower host, the higher host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LinkId(pub(crate) HostId, pub(crate) HostId);

impl LinkId {
    pub(crate) fn of(one: HostId, other: HostId) -> Self {
        assert_ne!(one, other, "a host has no link to itself");
        Self(one.min(other), one.max(other))
    }

    /// The end that this host is: 0 or 1.
    pub(crate) fn side(self, host: HostId) -> usize {
        usize::from(host == self.1)
    }

    /// The host at an end.
    pub(crate) fn host(self, side: usize) -> HostId {
        if side == 0 { self.0 } else { self.1 }
    }
}

/// What a network does to frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// Delay of one direction, in microseconds.
    pub delay_us: u64,
    /// Most that chance adds to the delay, in microseconds.
    pub jitter_us: u64,
    /// Frames per thousand that are lost and retransmitted; for gossip, lost hops per thousand.
    pub loss_permille: u32,
    /// Faults that TCP excludes.
    pub chaos: Chaos,
}

impl Weather {
    /// A quiet LAN: 100 to 120 microseconds one way, nothing lost.
    pub const LAN: Self = Self { delay_us: 100, jitter_us: 20, loss_permille: 0, chaos: Chaos::NONE };
}

/// Faults of single frames that TCP excludes, each per thousand frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chaos {
    /// Dropped.
    pub drop_permille: u32,
    /// Delivered twice.
    pub twice_permille: u32,
    /// Delayed by up to half a second, so that later frames overtake it.
    pub late_permille: u32,
}

impl Chaos {
    /// No such faults.
    pub const NONE: Self = Self { drop_permille: 0, twice_permille: 0, late_permille: 0 };
}

/// When a frame arrives.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flight {
    /// At these times; none when it was dropped.
    Lands(Vec<Time>),
    /// Never: the connection breaks.
    Breaks,
}

/// A connection.
#[derive(Debug, Default)]
pub(crate) struct Link {
    /// Counts how often it was opened.
    pub(crate) epoch: u64,
    pub(crate) open: bool,
    /// While open: since when no frame passes in at least one direction.
    pub(crate) silent: Option<Time>,
    pub(crate) sides: [Side; 2],
    pub(crate) ways: [Way; 2],
}

/// The state of one end.
#[derive(Debug, Default)]
pub(crate) struct Side {
    /// The epoch that this end considers open.
    pub(crate) view: Option<u64>,
    /// When this end learns of the current epoch.
    pub(crate) up_at: Time,
}

/// One direction; way 0 leads from side 0 to side 1.
#[derive(Debug, Default)]
pub(crate) struct Way {
    pub(crate) cut: bool,
    last: Time,
    sent: u64,
    held: BTreeMap<u64, Message>,
}

impl Link {
    /// Whether that end may send in the current epoch.
    pub(crate) fn stands(&self, side: usize) -> bool {
        self.open && self.sides[side].view == Some(self.epoch)
    }

    /// Opens the next epoch; the ends learn of it at these times.
    pub(crate) fn reopen(&mut self, up_at: [Time; 2]) {
        assert!(!self.open, "only a closed connection is opened");
        self.open = true;
        self.epoch += 1;
        self.silent = None;
        for (side, up_at) in self.sides.iter_mut().zip(up_at) {
            side.up_at = up_at;
        }
        for way in &mut self.ways {
            way.last = Time::ZERO;
            way.held.clear();
        }
    }

    /// Closes the connection; frames in flight are lost.
    pub(crate) fn close(&mut self) {
        self.open = false;
        self.silent = None;
        for way in &mut self.ways {
            way.held.clear();
        }
    }

    /// The next frame's number on the way from that end.
    pub(crate) fn number(&mut self, side: usize) -> u64 {
        self.ways[side].sent += 1;
        self.ways[side].sent
    }

    /// When a frame that is sent now arrives.
    pub(crate) fn flight(
        &mut self,
        now: Time,
        side: usize,
        weather: &Weather,
        chance: &mut Chance,
    ) -> Flight {
        if chance.permille(weather.chaos.drop_permille) {
            return Flight::Lands(Vec::new());
        }
        let Some(delay) = tcp_delay(weather, chance) else { return Flight::Breaks };
        let earliest = self.sides[1 - side].up_at;
        let way = &mut self.ways[side];
        let lands = if chance.permille(weather.chaos.late_permille) {
            (now + delay + Duration::from_micros(chance.below(500_000))).max(earliest)
        } else {
            way.last = (now + delay).max(way.last).max(earliest);
            way.last
        };
        let mut instants = vec![lands];
        if chance.permille(weather.chaos.twice_permille) {
            instants.push(lands + Duration::from_micros(chance.below(500_000)));
        }
        Flight::Lands(instants)
    }

    /// Holds a frame until the direction is mended. False when more than [`HELD_MAX`] are held.
    pub(crate) fn hold(&mut self, side: usize, seq: u64, message: Message) -> bool {
        let held = &mut self.ways[side].held;
        held.insert(seq, message);
        held.len() <= HELD_MAX
    }

    /// Takes the held frames of the direction from that end, in order.
    pub(crate) fn take_held(&mut self, side: usize) -> BTreeMap<u64, Message> {
        std::mem::take(&mut self.ways[side].held)
    }
}

/// How long a frame takes with its retransmissions; `None` when the connection breaks.
fn tcp_delay(weather: &Weather, chance: &mut Chance) -> Option<Duration> {
    let mut delay_us = weather.delay_us + chance.below(weather.jitter_us + 1);
    let mut losses = 0;
    while chance.permille(weather.loss_permille) {
        if losses == LOSSES_MAX {
            return None;
        }
        delay_us += RETRANSMIT_US << losses;
        losses += 1;
    }
    Some(Duration::from_micros(delay_us))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lands(weather: Weather, frames: usize) -> Vec<Time> {
        let (mut link, mut chance) = (Link::default(), Chance::new(1, "link"));
        link.reopen([Time(5), Time(9)]);
        let mut all = Vec::new();
        for _ in 0..frames {
            match link.flight(Time(1), 0, &weather, &mut chance) {
                Flight::Lands(instants) => all.extend(instants),
                Flight::Breaks => return all,
            }
        }
        all
    }

    #[test]
    fn a_stream_is_late_but_in_order() {
        let all = lands(Weather { loss_permille: 300, ..Weather::LAN }, 100);
        assert!(all.is_sorted());
        assert!(all.last() > all.first());
    }

    #[test]
    fn chaos_breaks_the_order() {
        let chaos = Chaos { drop_permille: 100, twice_permille: 100, late_permille: 100 };
        assert!(!lands(Weather { chaos, ..Weather::LAN }, 100).is_sorted());
    }

    #[test]
    fn no_frame_lands_before_its_receiver_knows_the_connection() {
        let all = lands(Weather { delay_us: 0, jitter_us: 0, ..Weather::LAN }, 3);
        assert_eq!(all, [Time(9), Time(9), Time(9)]);
    }
}
