//! The framed stream to a peer: hello, reading, writing, heartbeats. A link reports Up at its start and Down at its
//! end, each exactly once; the driver starts it, may stop it, and gets the reason of its end.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::Stream;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use weft_core::PeerId;

use crate::caught::caught;
use crate::event::NetEvent;
use crate::frame::{Frames, HELLO_FRAME_BYTES, NetFrame, PADDING_BYTES_MAX, Told, parse_hello};
use crate::inbox::Door;
use crate::outbox::{LAST_PING, Outbox};
use crate::versions::Spoken;

/// Period of heartbeats. Any byte from the peer counts as a sign of life.
const BEAT: Duration = Duration::from_millis(500);
/// Heartbeat periods without a sign of life after which the peer counts as gone.
const SILENT_BEATS_MAX: u32 = 4;
/// The round trip is measured at least once in this many periods.
const PING_BEATS_MAX: u32 = 4;
/// A round trip is reported again after this time, or when it changed by a fifth.
const RTT_EVERY: Duration = Duration::from_secs(5);
const READ_BYTES: usize = 64 << 10;
/// A large packet without an answer for this long, while small ones were answered, counts as lost.
const SWALLOWED: Duration = Duration::from_secs(1);

/// News of a link for the driver.
pub(crate) enum LinkNews {
    /// The peer sent addresses of peers.
    Addresses {
        /// The sending peer.
        from: PeerId,
        /// The addresses.
        told: Vec<Told>,
    },
    /// The peer asks for this node's gossip subscription.
    Resubscribe,
    /// Large packets pass to this peer and back.
    Passes(PeerId),
}

/// Why a link ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing was received for too long.
    Silent,
    /// The peer closed it, or the connection broke.
    Closed(String),
    /// The peer violated the protocol.
    Malformed(String),
    /// The peer opened a new one.
    Replaced,
    /// The receiver of events was dropped.
    Unheard,
    /// This node's own code panicked.
    Fault(String),
}

impl End {
    fn reason(&self) -> String {
        match self {
            Self::Silent => format!("silent for {} ms", BEAT.as_millis() * u128::from(SILENT_BEATS_MAX)),
            Self::Closed(why) => format!("connection closed: {why}"),
            Self::Malformed(why) => format!("it broke the protocol: {why}"),
            Self::Replaced => String::from("it connected anew"),
            Self::Unheard => String::from("this node is stopping"),
            Self::Fault(why) => why.clone(),
        }
    }
}

/// Exchanges hellos and returns the peer's boot nonce. Has no timeout.
pub(crate) async fn greet<S>(stream: &mut S, boot: u64) -> io::Result<u64>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(&NetFrame::Hello(boot).encode()).await?;
    stream.flush().await?;
    let mut bytes = [0; HELLO_FRAME_BYTES];
    stream.read_exact(&mut bytes).await?;
    parse_hello(&bytes).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not a hello"))
}

/// A link; [`Link::run`] runs it to its end.
pub(crate) struct Link {
    pub(crate) peer: PeerId,
    /// The peer's boot nonce.
    pub(crate) boot: u64,
    /// What is spoken with it.
    pub(crate) spoken: Spoken,
    /// Where the peer is, for people.
    pub(crate) address: String,
    pub(crate) outbox: Arc<Outbox>,
    /// Heartbeats happen at this instant and whole periods after it: one wake-up of the node serves all links.
    pub(crate) rhythm: Instant,
    /// Ends the link.
    pub(crate) stop: Arc<Notify>,
    pub(crate) door: Door,
    /// Whether to probe, once small frames were answered, if large packets pass too.
    pub(crate) probe: bool,
    pub(crate) news: mpsc::Sender<LinkNews>,
}

/// What a link knows about large packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// Nothing.
    Unknown,
    /// They pass.
    Passes,
    /// Small frames were answered, and large ones not until the link ended.
    Swallows,
}

/// State that reader and heartbeat share.
#[derive(Default)]
struct Pulse {
    heard: Cell<bool>,
    /// The node is slow to take the peer's messages: silence is then this node's fault.
    delivering: Cell<bool>,
    /// The ping that was not answered yet.
    asked: Cell<Option<(u64, Instant)>>,
    told: Cell<Option<(u32, Instant)>>,
    /// The ping behind the padding, and when it was sent.
    padded: Cell<Option<(u64, Instant)>>,
    passed: Cell<bool>,
}

impl Pulse {
    /// The result at the link's end.
    fn path(&self, end: &End) -> Path {
        let broke = matches!(end, End::Silent | End::Closed(_));
        match self.padded.get() {
            Some(_) if self.passed.get() => Path::Passes,
            Some((_, at)) if broke && at.elapsed() >= SWALLOWED => Path::Swallows,
            Some(_) | None => Path::Unknown,
        }
    }
}

impl Link {
    /// Runs the link: Up, messages, Down. Returns why it ended, and what it knows about its path.
    pub(crate) async fn run(self, stream: Stream) -> (End, Path) {
        let Self { peer, boot, ref address, .. } = self;
        let up = NetEvent::Up { peer, boot, address: address.clone() };
        if self.door.tell(up).await.is_err() {
            return (End::Unheard, Path::Unknown);
        }
        let pulse = Pulse::default();
        let end = caught("a link", self.converse(stream, &pulse)).await;
        let end = end.unwrap_or_else(|panicked| End::Fault(panicked.to_string()));
        // If the receiver was dropped, Down is not needed.
        let closed = matches!(end, End::Closed(_));
        drop(self.door.tell(NetEvent::Down { peer, reason: end.reason(), closed }).await);
        let path = pulse.path(&end);
        (end, path)
    }

    /// Reader, writer and heartbeat run concurrently: a peer that does not read must not keep this node from reading,
    /// or both would deadlock with full windows.
    async fn converse(&self, stream: Stream, pulse: &Pulse) -> End {
        let (mut reading, mut writing) = stream.split();
        tokio::select! {
            end = self.read(&mut reading, pulse) => end,
            end = self.write(&mut writing) => end,
            end = self.beat(pulse) => end,
            why = self.door.faulty() => End::Malformed(why),
            () = self.stop.notified() => End::Replaced,
        }
    }

    async fn read<R: AsyncRead + Unpin>(&self, reading: &mut R, pulse: &Pulse) -> End {
        let mut frames = Frames::default();
        let mut bytes = vec![0; READ_BYTES];
        loop {
            let read = match reading.read(&mut bytes).await {
                Ok(0) => return End::Closed(String::from("by the peer")),
                Ok(read) => read,
                Err(error) => return End::Closed(error.to_string()),
            };
            pulse.heard.set(true);
            frames.feed(bytes.get(..read).unwrap_or_default());
            if let Err(end) = self.take_all(&mut frames, pulse).await {
                return end;
            }
        }
    }

    async fn take_all(&self, frames: &mut Frames, pulse: &Pulse) -> Result<(), End> {
        loop {
            match frames.next() {
                Ok(Some(frame)) => self.take(frame, pulse).await?,
                Ok(None) => return Ok(()),
                Err(error) if self.spoken.is_newer && error.is_of_kind() => self.door.count_unknown(),
                Err(error) => return Err(End::Malformed(error.to_string())),
            }
        }
    }

    async fn take(&self, frame: NetFrame, pulse: &Pulse) -> Result<(), End> {
        match frame {
            NetFrame::Hello(_) => return Err(End::Malformed(String::from("a second hello"))),
            NetFrame::Ping(number) => self.outbox.push_urgent(NetFrame::Pong(number).encode()),
            NetFrame::Pong(LAST_PING) => self.outbox.on_delivered(),
            NetFrame::Pong(number) => self.measure(number, pulse),
            NetFrame::Addresses(told) => self.tell(LinkNews::Addresses { from: self.peer, told }),
            NetFrame::Resubscribe => self.tell(LinkNews::Resubscribe),
            NetFrame::Padding(_) => {}
            NetFrame::Message(bytes) => {
                pulse.delivering.set(true);
                let sent = self.door.deliver(bytes).await;
                pulse.delivering.set(false);
                sent.ok().ok_or(End::Unheard)?;
            }
        }
        Ok(())
    }

    /// May be dropped if the driver is slow: it is repeated.
    fn tell(&self, news: LinkNews) {
        if self.news.try_send(news).is_err() {
            tracing::debug!(peer = ?self.peer, "the driver is behind; an address list was dropped");
        }
    }

    fn measure(&self, number: u64, pulse: &Pulse) {
        if pulse.padded.get().is_some_and(|(padded, _)| padded == number) {
            pulse.passed.set(true);
            self.tell(LinkNews::Passes(self.peer));
        }
        let Some((asked, at)) = pulse.asked.get() else { return };
        if asked != number {
            return;
        }
        pulse.asked.set(None);
        let now = Instant::now();
        let rtt_us = u32::try_from((now - at).as_micros()).unwrap_or(u32::MAX);
        let stale = pulse.told.get().is_none_or(|(told_us, told_at)| {
            now - told_at >= RTT_EVERY || rtt_us.abs_diff(told_us) > told_us / 5
        });
        if stale && self.door.hint(NetEvent::Rtt { peer: self.peer, rtt_us }) {
            pulse.told.set(Some((rtt_us, now)));
        }
    }

    /// Writes batch after batch with one flush each; while one is written the next is collected.
    async fn write<W: AsyncWrite + Unpin>(&self, writing: &mut W) -> End {
        let mut batch = Vec::new();
        loop {
            batch.clear();
            self.outbox.next_batch(&mut batch).await;
            if let Err(error) = writing.write_all(&batch).await {
                return End::Closed(error.to_string());
            }
            if let Err(error) = writing.flush().await {
                return End::Closed(error.to_string());
            }
            // Frees the memory of a long message.
            batch.shrink_to(READ_BYTES);
        }
    }

    /// Counts periods, not time: a process that was stopped for a minute has missed one. A ping is sent when nothing
    /// else was sent: answers to the peer's pings are signs of life too, so of two idle nodes one pings and one
    /// answers.
    async fn beat(&self, pulse: &Pulse) -> End {
        let mut beats = on_rhythm(self.rhythm, BEAT);
        let mut number = 0u64;
        let mut silent = 0;
        let mut unmeasured = PING_BEATS_MAX;
        loop {
            silent = if pulse.heard.take() || pulse.delivering.get() { 0 } else { silent + 1 };
            // The first beat is immediate, before anything can have been received.
            if silent > SILENT_BEATS_MAX {
                return End::Silent;
            }
            unmeasured += 1;
            // A round trip was measured: small packets pass.
            if self.probe && pulse.padded.get().is_none() && pulse.told.get().is_some() {
                number += 1;
                pulse.padded.set(Some((number, Instant::now())));
                self.outbox.ping(NetFrame::Padding(PADDING_BYTES_MAX).encode());
                self.outbox.ping(NetFrame::Ping(number).encode());
            }
            if !self.outbox.has_spoken() || unmeasured >= PING_BEATS_MAX {
                (number, unmeasured) = (number + 1, 0);
                pulse.asked.set(Some((number, Instant::now())));
                self.outbox.ping(NetFrame::Ping(number).encode());
            }
            beats.tick().await;
        }
    }
}

/// Ticks at this instant and whole periods after it, from the next such instant on. A late tick does not shift the
/// others, and of several missed ticks only one is delivered.
pub(crate) fn on_rhythm(rhythm: Instant, period: Duration) -> Interval {
    let passed_us = rhythm.elapsed().as_micros() % period.as_micros();
    let passed = Duration::from_micros(u64::try_from(passed_us).unwrap_or(0));
    let mut ticks = tokio::time::interval_at(Instant::now() + period - passed, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}
