//! Replays the log of an engine, real or simulated, on a fresh engine and compares the effects, byte for byte. Driven
//! by `weft-sim replay` and by tests with real processes; it reads no file itself.

use std::collections::BTreeMap;
use std::fmt;

use weft_core::log::{End, Header, LogError, Reader, Record, Step, encode_effects};
use weft_core::{CellMessage, Command, Effect, Engine, Fetched, Gossip, Input, Message, Time};

/// A log that was replayed to its end or to the wanted step.
#[derive(Debug)]
pub struct Replayed {
    /// The log's header: node, configuration, version, random seed.
    pub header: Header,
    /// The number of replayed inputs.
    pub steps: u64,
    /// The number of compared effects; none differed.
    pub effects: u64,
    /// The time of the last input.
    pub last: Time,
    /// The number of inputs by [`kind()`].
    pub kinds: BTreeMap<&'static str, u64>,
    /// Why the replay ended.
    pub end: LogEnd,
    /// The engine after the last step.
    pub engine: Engine,
}

/// Why a replay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogEnd {
    /// The wanted number of steps was reached.
    Wanted,
    /// The log has an end record.
    Said(End),
    /// Its writer was killed between two records.
    Killed,
    /// Its writer was killed within a record; the log has this many bytes of it.
    Torn(usize),
}

impl fmt::Display for LogEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wanted => f.write_str("up to the wanted step"),
            Self::Said(end) => write!(f, "to the log's end: {end}"),
            Self::Killed => f.write_str("to the log's end: its writer was killed"),
            Self::Torn(bytes) => write!(f, "to the last complete record: {bytes} bytes after it are torn"),
        }
    }
}

/// Why a replay failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayError {
    /// The log can't be read.
    Log(LogError),
    /// The engine's effects differ from the recorded ones.
    Differs(Box<Difference>),
}

/// The first step whose effects differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The step's number, from 1.
    pub number: u64,
    /// The recorded input and effects.
    pub step: Step,
    /// The effects of the replay.
    pub again: Vec<Effect>,
    /// The version that recorded the log, if it differs from this one.
    pub version: Option<String>,
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let difference = match self {
            Self::Log(error) => return write!(f, "{error}"),
            Self::Differs(difference) => difference,
        };
        let Difference { number, step, again, version } = &**difference;
        writeln!(f, "step {number} at {:?} differs: {:?}", step.at, step.input)?;
        let effects = [("recorded", &step.effects), ("replayed", again)];
        for (name, effects) in effects {
            writeln!(f, "{name}: {} effects", effects.len())?;
            effects.iter().try_for_each(|effect| writeln!(f, "    -> {effect:?}"))?;
        }
        match version {
            Some(version) => write!(f, "the log is of version {version}, this is {VERSION}"),
            None => write!(f, "the log is of this version, {VERSION}"),
        }
    }
}

impl std::error::Error for ReplayError {}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Replays a log, at most `until` steps of it; `tell` is called with each step before the engine handles it.
///
/// # Errors
/// When the bytes are not a log, or the engine's effects differ from the recorded ones. A torn end is not an error.
pub fn replay(
    bytes: &[u8],
    until: Option<u64>,
    mut tell: impl FnMut(u64, &Step),
) -> Result<Replayed, ReplayError> {
    let (header, mut reader) = Reader::open(bytes).map_err(ReplayError::Log)?;
    let mut engine = header.engine();
    let (mut steps, mut effects, mut last) = (0, 0, Time::ZERO);
    let mut kinds: BTreeMap<&'static str, u64> = BTreeMap::new();
    let end = loop {
        if until == Some(steps) {
            break LogEnd::Wanted;
        }
        let step = match reader.read() {
            Ok(Some(Record::Step(step))) => step,
            Ok(Some(Record::End(end))) => break LogEnd::Said(end),
            Ok(None) => break LogEnd::Killed,
            Err(LogError::Torn { bytes }) => break LogEnd::Torn(bytes),
            Err(error) => return Err(ReplayError::Log(error)),
        };
        steps += 1;
        tell(steps, &step);
        let again: Vec<Effect> = engine.handle(step.at, step.input.clone()).collect();
        if encode_effects(&again) != encode_effects(&step.effects) {
            let version = Some(header.version.clone()).filter(|version| version != VERSION);
            return Err(ReplayError::Differs(Box::new(Difference { number: steps, step, again, version })));
        }
        *kinds.entry(kind(&step.input)).or_default() += 1;
        effects += again.len() as u64;
        last = step.at;
    };
    Ok(Replayed { header, steps, effects, last, kinds, end, engine })
}

/// An input's kind in a few words: the name under which [`crate::Coverage`] counts it.
#[must_use]
pub fn kind(input: &Input) -> &'static str {
    match input {
        Input::Command(Command::Submit(_)) => "a job is submitted",
        Input::Command(Command::Extend { .. }) => "a job is extended",
        Input::Command(Command::ExtendEnded { .. }) => "a job is extended by ended tasks",
        Input::Command(Command::Close { .. }) => "a job is closed",
        Input::Command(Command::Cancel { .. }) => "a job is cancelled",
        Input::Command(Command::Drain(_)) => "draining is switched",
        Input::Command(Command::GiveBack) => "what runs is given back",
        Input::Command(Command::Forget(_)) => "a peer is forgotten",
        Input::Command(Command::Stop) => "a node is stopped",
        Input::Command(Command::Retry(_)) => "a job is tried again",
        Input::Command(Command::ForgetJob { .. }) => "a job is forgotten",
        Input::PeerUp { .. } => "a peer comes",
        Input::PeerDown { closed: true, .. } => "a connection is closed",
        Input::PeerDown { closed: false, .. } => "a peer falls silent",
        Input::Rtt { .. } => "a round trip is measured",
        Input::Received { message, .. } => message_kind(message),
        Input::Heard { gossip, .. } => gossip_kind(gossip),
        Input::Ran(_) => "executions end",
        Input::Printed { .. } => "a task prints here",
        Input::Signed { .. } => "receipts are signed",
        Input::Fetched { fetched: Fetched::Here, .. } => "a blob is here",
        Input::Fetched { fetched: Fetched::Missing, .. } => "a blob can't be had",
        Input::Fetched { fetched: Fetched::Wrong, .. } => "a blob of other content came",
        Input::Fetched { fetched: Fetched::NoRoom, .. } => "there is no room for a blob",
        Input::Compiling { .. } => "modules are compiled",
        Input::Mesh { .. } => "the mesh's size is told",
        Input::Wake => "time alone moves on",
        Input::Persisted { .. } => "records are on the disk",
        Input::JournalFailed => "the journal fails",
        Input::DiskLow(_) => "room for records ends or comes",
        Input::Restore(_) => "a job is restored",
        Input::RestoreKept { .. } => "a job of the mesh is restored",
        Input::BlobLost { .. } => "bytes of a kept job are gone",
        Input::RestoreGone { .. } => "jobs that are gone are named",
        Input::LogRead { .. } => "records are read",
        Input::Gathered { .. } => "results are made into an input",
        Input::Recalled { .. } => "a log is recalled",
        Input::Remembered(_) => "known results are read back",
        Input::Retained(_) => "outcomes are read back",
    }
}

fn message_kind(message: &Message) -> &'static str {
    match message {
        Message::Call(_) => "a call comes",
        Message::Withdraw(_) => "a call is withdrawn",
        Message::Bid(_) => "a bid comes",
        Message::Decline(_) => "a decline comes",
        Message::Award(_) => "an award comes",
        Message::Release(_) => "a bid is released",
        Message::Refuse { .. } => "an award is refused",
        Message::Stopped { .. } => "a task was stopped for want of memory",
        Message::GivenBack { .. } => "tasks are given back by a node that drains",
        Message::Renew(_) => "leases are renewed",
        Message::Outcome(_) => "outcomes come",
        Message::Ack(_) => "outcomes are acknowledged",
        Message::Cancel(_) => "leases are cancelled",
        Message::Printed { .. } => "a remote task prints",
        Message::Credit(_) => "credit comes",
        Message::Ended { .. } => "outcomes come with credit",
        Message::Assign(_) => "tasks come on credit",
        Message::Custody(_) => "members of a trio talk",
        Message::Lead(_) => "a leader is named",
        Message::AskHolding(_) => "a leader asks what is held",
        Message::Holding(_) => "a worker says what it holds",
        Message::AskEnds(_) => "a node asks how jobs ended",
        Message::JobEnds(_) => "a node says how jobs ended",
        Message::Cell(CellMessage::Advertise { .. }) => "a bid is advertised",
        Message::Cell(CellMessage::Request(_)) => "bids are requested",
        Message::Cell(CellMessage::Waits { .. }) => "a matchmaker has no bid yet",
        Message::Cell(CellMessage::FlockRequest { .. }) => "a matchmaker is short of bids",
        Message::Cell(CellMessage::Flock { .. }) => "bids are passed on",
        Message::Cell(CellMessage::Match(_)) => "a worker is matched",
        Message::Cell(CellMessage::Claim { .. }) => "a claim comes",
    }
}

fn gossip_kind(gossip: &Gossip) -> &'static str {
    match gossip {
        Gossip::Capacity(_) => "gossip: capacity",
        Gossip::Outcome { .. } => "gossip: an outcome",
        Gossip::Renew { .. } => "gossip: renewals",
        Gossip::Ack { .. } => "gossip: acknowledgements",
        Gossip::Known(_) => "gossip: known results",
        Gossip::Matchmaker { .. } => "gossip: a matchmaker serves",
    }
}
