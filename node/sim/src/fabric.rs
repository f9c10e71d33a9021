//! All connections of the mesh: opened, cut, silent, closed, dialled again. It knows hosts by number, and no engine.

use std::collections::BTreeMap;
use std::time::Duration;

use weft_core::{Message, Time};

use crate::chance::Chance;
use crate::host::HostId;
use crate::link::{Flight, Link, LinkId, Weather};
use crate::queue::{Event, Queue};

/// Silence after which the heartbeat closes a connection.
const SILENCE: Duration = Duration::from_secs(2);
/// Longest time until an end notices that the heartbeat closed its connection, in microseconds.
const NOTICE_US: u64 = 300_000;
/// Longest time until an end notices that a kernel closed its connection, in microseconds.
const RESET_US: u64 = 2_000;

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// The kernel of a dead process closes it.
    Reset,
    /// No frame passes, and the heartbeat closes it.
    Silence,
}

/// The network.
#[derive(Debug)]
pub(crate) struct Fabric {
    links: BTreeMap<LinkId, Link>,
    /// Per host, whether its process answers.
    answers: Vec<bool>,
    /// Per host, what is added to each of its frames, in microseconds.
    lag_us: Vec<u64>,
    pub(crate) weather: Weather,
    chance: Chance,
}

impl Fabric {
    pub(crate) fn new(weather: Weather, chance: Chance) -> Self {
        Self { links: BTreeMap::new(), answers: Vec::new(), lag_us: Vec::new(), weather, chance }
    }

    /// One more host, which does not answer yet.
    pub(crate) fn add_host(&mut self) -> HostId {
        let host = HostId(self.answers.len());
        for other in 0..host.0 {
            self.links.insert(LinkId::of(HostId(other), host), Link::default());
        }
        self.answers.push(false);
        self.lag_us.push(0);
        host
    }

    /// A host's process starts: connections of its predecessor are reset, and all hosts dial it.
    pub(crate) fn on_started(&mut self, queue: &mut Queue, host: HostId) {
        self.answers[host.0] = true;
        for link in self.links_of(host) {
            self.link(link).sides[link.side(host)].view = None;
            self.close(queue, link, Ending::Reset);
        }
    }

    /// A host's process is gone. With `told` its kernel closes its connections; otherwise they become silent.
    pub(crate) fn on_killed(&mut self, queue: &mut Queue, host: HostId, told: bool) {
        self.answers[host.0] = false;
        for link in self.links_of(host) {
            self.link(link).sides[link.side(host)].view = None;
            if told {
                self.close(queue, link, Ending::Reset);
            } else {
                self.refresh(queue, link);
            }
        }
    }

    /// A host's process is paused or resumed.
    pub(crate) fn on_paused(&mut self, queue: &mut Queue, host: HostId, paused: bool) {
        self.answers[host.0] = !paused;
        for link in self.links_of(host) {
            self.refresh(queue, link);
        }
    }

    /// Cuts or mends one direction.
    pub(crate) fn set_cut(&mut self, queue: &mut Queue, from: HostId, to: HostId, cut: bool) {
        let link = LinkId::of(from, to);
        let side = link.side(from);
        self.link(link).ways[side].cut = cut;
        if !cut {
            for (seq, message) in self.link(link).take_held(side) {
                self.launch(queue, from, to, seq, message);
            }
        }
        self.refresh(queue, link);
    }

    /// Mends all directions, removes all lags and sets the weather.
    pub(crate) fn heal(&mut self, queue: &mut Queue, weather: Weather) {
        self.weather = weather;
        self.lag_us.fill(0);
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        for LinkId(low, high) in links {
            self.set_cut(queue, low, high, false);
            self.set_cut(queue, high, low, false);
        }
    }

    /// Sets the delay that is added to each frame from or to a host, in microseconds.
    pub(crate) fn set_lag(&mut self, host: HostId, lag_us: u64) {
        self.lag_us[host.0] = lag_us;
    }

    /// A host sends a frame. Without a connection it is lost.
    pub(crate) fn send(&mut self, queue: &mut Queue, from: HostId, to: HostId, message: Message) {
        let id = LinkId::of(from, to);
        let side = id.side(from);
        let link = self.link(id);
        if !link.stands(side) {
            return;
        }
        let seq = link.number(side);
        if !link.ways[side].cut {
            self.launch(queue, from, to, seq, message);
        } else if !link.hold(side, seq, message) {
            self.close(queue, id, Ending::Silence);
        }
    }

    /// A frame reaches the other end; returns the message if that end receives it.
    pub(crate) fn on_arrive(
        &mut self,
        queue: &mut Queue,
        (from, to): (HostId, HostId),
        (epoch, seq): (u64, u64),
        message: Message,
    ) -> Option<Message> {
        let id = LinkId::of(from, to);
        let side = id.side(from);
        let link = self.link(id);
        if link.epoch != epoch || !link.stands(1 - side) {
            return None;
        }
        if !link.ways[side].cut {
            return Some(message);
        }
        if !link.hold(side, seq, message) {
            self.close(queue, id, Ending::Silence);
        }
        None
    }

    /// An end learns that its connection is open; false if that is out of date.
    pub(crate) fn on_side_up(&mut self, id: LinkId, side: usize, epoch: u64) -> bool {
        let link = self.link(id);
        let news = link.open && link.epoch == epoch;
        if news {
            link.sides[side].view = Some(epoch);
        }
        news
    }

    /// An end learns that its connection is gone; false if it knew or has a newer one.
    pub(crate) fn on_side_down(&mut self, id: LinkId, side: usize, epoch: u64) -> bool {
        let end = &mut self.link(id).sides[side];
        let news = end.view == Some(epoch);
        if news {
            end.view = None;
        }
        news
    }

    /// The heartbeat closes a connection that has been silent since then.
    pub(crate) fn on_silent(&mut self, queue: &mut Queue, id: LinkId, since: Time) {
        if self.link(id).silent == Some(since) {
            self.close(queue, id, Ending::Silence);
        }
    }

    /// One end dials; if frames pass, the connection opens and both ends learn of it within [`RESET_US`].
    pub(crate) fn on_redial(&mut self, queue: &mut Queue, id: LinkId) {
        if self.links[&id].open || !self.passes(id) {
            return;
        }
        let now = queue.now();
        let up_at = [0, 1].map(|_| now + Duration::from_micros(self.chance.below(RESET_US)));
        let link = self.link(id);
        link.reopen(up_at);
        let epoch = link.epoch;
        for (side, at) in up_at.into_iter().enumerate() {
            queue.at(at, Event::SideUp { link: id, side, epoch });
        }
    }

    /// Whether both ends consider the connection open and frames pass in this direction.
    pub(crate) fn connected(&self, from: HostId, to: HostId) -> bool {
        let id = LinkId::of(from, to);
        let link = &self.links[&id];
        link.stands(0) && link.stands(1) && !link.ways[id.side(from)].cut
    }

    /// Round trip between two hosts without losses, in microseconds.
    pub(crate) fn rtt_us(&self, one: HostId, other: HostId) -> u32 {
        let one_way = self.weather.delay_us + self.lag_us[one.0] + self.lag_us[other.0];
        u32::try_from(2 * one_way).unwrap_or(u32::MAX)
    }

    /// The hosts that a gossip reaches through open connections, and after how long.
    pub(crate) fn reach(&mut self, origin: HostId) -> Vec<(HostId, Duration)> {
        let mut best: Vec<Option<u64>> = vec![None; self.answers.len()];
        let mut done = vec![false; self.answers.len()];
        best[origin.0] = Some(0);
        while let Some((at, host)) = nearest(&best, &done) {
            done[host.0] = true;
            for next in (0..best.len()).filter(|next| !done[*next]).map(HostId).collect::<Vec<_>>() {
                if !self.connected(host, next) || self.chance.permille(self.weather.loss_permille) {
                    continue;
                }
                let hop = self.weather.delay_us + self.lag_us[host.0] + self.lag_us[next.0];
                let through = at + hop + self.chance.below(self.weather.jitter_us + 1);
                best[next.0] = Some(best[next.0].map_or(through, |known| known.min(through)));
            }
        }
        let reached = best.into_iter().enumerate().filter(|(host, _)| *host != origin.0);
        reached.filter_map(|(host, at)| Some((HostId(host), Duration::from_micros(at?)))).collect()
    }

    fn launch(&mut self, queue: &mut Queue, from: HostId, to: HostId, seq: u64, message: Message) {
        let id = LinkId::of(from, to);
        let lag_us = self.lag_us[from.0] + self.lag_us[to.0];
        let weather = Weather { delay_us: self.weather.delay_us + lag_us, ..self.weather };
        let link = self.links.get_mut(&id).expect("every pair of hosts has a link");
        let epoch = link.epoch;
        match link.flight(queue.now(), id.side(from), &weather, &mut self.chance) {
            Flight::Lands(instants) => {
                for at in instants {
                    queue.at(at, Event::Arrive { from, to, epoch, seq, message: message.clone() });
                }
            }
            Flight::Breaks => self.close(queue, id, Ending::Silence),
        }
    }

    /// Sets or clears the silence of an open connection; plans a dial for a closed one.
    fn refresh(&mut self, queue: &mut Queue, id: LinkId) {
        let passes = self.passes(id);
        let late = Duration::from_micros(self.chance.below(NOTICE_US));
        let dial = Duration::from_micros(self.chance.between(2_000, 1_000_000));
        let link = self.link(id);
        match (link.open, passes) {
            (true, true) => link.silent = None,
            (true, false) if link.silent.is_none() => {
                let since = queue.now();
                link.silent = Some(since);
                queue.after(SILENCE + late, Event::Silent { link: id, since });
            }
            (false, true) => queue.after(dial, Event::Redial { link: id }),
            (true | false, false) => {}
        }
    }

    /// Closes a connection; each end that considers it open learns of that within the time of its `ending`.
    fn close(&mut self, queue: &mut Queue, id: LinkId, ending: Ending) {
        let closed = ending == Ending::Reset;
        let notice_us = if closed { RESET_US } else { NOTICE_US };
        let lags = [0, 1].map(|_| Duration::from_micros(self.chance.below(notice_us)));
        let link = self.link(id);
        if link.open {
            link.close();
            let epoch = link.epoch;
            for (side, lag) in lags.into_iter().enumerate() {
                if link.sides[side].view == Some(epoch) {
                    queue.after(lag, Event::SideDown { link: id, side, epoch, closed });
                }
            }
        }
        self.refresh(queue, id);
    }

    fn passes(&self, id: LinkId) -> bool {
        let link = &self.links[&id];
        self.answers[id.0.0] && self.answers[id.1.0] && link.ways.iter().all(|way| !way.cut)
    }

    fn link(&mut self, id: LinkId) -> &mut Link {
        self.links.get_mut(&id).expect("every pair of hosts has a link")
    }

    fn links_of(&self, host: HostId) -> Vec<LinkId> {
        self.links.keys().copied().filter(|link| link.0 == host || link.1 == host).collect()
    }
}

/// The host nearest to the origin among those that are not done.
fn nearest(best: &[Option<u64>], done: &[bool]) -> Option<(u64, HostId)> {
    let open = best.iter().enumerate().filter(|(host, _)| !done[*host]);
    open.filter_map(|(host, at)| at.map(|at| (at, HostId(host)))).min()
}
