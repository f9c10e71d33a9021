//! The floor of everything between two nodes: two mesh adapters on two threads of this process, connected over
//! loopback as two nodes are, with the same encryption, multiplexing and framing, and nothing behind them.

use std::io::{self, Read};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::LocalSet;
use weft_core::message::{Award, Delivery, Grant};
use weft_core::{BidId, BlobId, CallId, JobId, LeaseId, Message, Outcome, Payload, PeerId, Report};
use weft_net::{Admission, BlobSink, BlobStore, Net, NetConfig, NetEvent, NetEvents, peer_id_of};

use super::BenchError;

/// How long two adapters of one process may take to connect.
const MEET_MAX: Duration = Duration::from_secs(20);
/// How long one answer, or one blob, may take.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Round trips before those that count.
const WARM_UP: usize = 100;

/// Microseconds of each round trip, which carries the messages of one small task: an award there, an outcome back.
pub(super) fn round_trips(count: usize) -> Result<Vec<f64>, BenchError> {
    measure(0, async |net, events, peer| {
        let mut took = Vec::with_capacity(count);
        for number in 0..WARM_UP + count {
            let started = Instant::now();
            net.send(peer, &award(u32::try_from(number).unwrap_or(u32::MAX)));
            while !matches!(next(events).await?, NetEvent::Received { .. }) {}
            if number >= WARM_UP {
                took.push(started.elapsed().as_secs_f64() * 1e6);
            }
        }
        Ok(took)
    })
}

/// How long a blob of `bytes` bytes takes that is neither read from nor written to anything.
pub(super) fn stream(bytes: u64) -> Result<Duration, BenchError> {
    measure(bytes, async |net, _, peer| {
        let started = Instant::now();
        let fetched = tokio::time::timeout(ANSWER_MAX, net.fetch(BlobId([7; 32]), &[peer], None)).await;
        fetched.map_err(|_late| failed("no bytes"))?.map_err(|error| failed(&error.to_string()))?;
        Ok(started.elapsed())
    })
}

/// Connects the two, and lets one of them do something. The other answers every award, and has one blob.
fn measure<T>(
    blob_bytes: u64,
    work: impl AsyncFnOnce(&Net, &mut NetEvents, PeerId) -> Result<T, BenchError>,
) -> Result<T, BenchError> {
    let mut secrets = [[0; 32]; 3];
    for secret in &mut secrets {
        getrandom::fill(secret).map_err(io::Error::from)?;
    }
    let [key, near, far] = secrets;
    let (told, address) = mpsc::channel();
    let (stop, stopped) = oneshot::channel();
    let there = thread::Builder::new().name(String::from("weft-bench-link"));
    let there = there.spawn(move || echo(key, far, blob_bytes, &told, stopped))?;
    let runtime = runtime()?;
    let measured = LocalSet::new().block_on(&runtime, async {
        let address =
            address.recv_timeout(MEET_MAX).map_err(|_ended| failed("the other side did not start"))??;
        let (net, mut events) = start(config(key, near, vec![address]), 0).await?;
        let peer = peer_id_of(&far);
        meet(&mut events).await?;
        work(&net, &mut events, peer).await
    });
    drop(stop);
    there.join().map_err(|_panic| failed("the other side panicked"))?;
    measured
}

/// The other side's thread.
fn echo(
    key: [u8; 32],
    secret: [u8; 32],
    blob_bytes: u64,
    told: &mpsc::Sender<Result<String, BenchError>>,
    mut stopped: oneshot::Receiver<()>,
) {
    let serve = async {
        let (net, mut events) = start(config(key, secret, Vec::new()), blob_bytes).await?;
        let address =
            net.listen_addresses().into_iter().next().ok_or_else(|| failed("it listens nowhere"))?;
        // The process that started this one waits for it, or has given up.
        drop(told.send(Ok(address)));
        loop {
            let event = tokio::select! {
                _dropped = &mut stopped => return Ok(()),
                event = events.next() => event,
            };
            let Some(event) = event else { return Err(failed("the network adapter broke")) };
            if let NetEvent::Received { from, message: Message::Award(award) } = event {
                net.send(from, &outcome(award));
            }
        }
    };
    let ended = runtime().and_then(|runtime| LocalSet::new().block_on(&runtime, serve));
    if let Err(error) = ended {
        drop(told.send(Err(error)));
    }
}

async fn meet(events: &mut NetEvents) -> Result<(), BenchError> {
    while !matches!(next(events).await?, NetEvent::Up { .. }) {}
    Ok(())
}

async fn next(events: &mut NetEvents) -> Result<NetEvent, BenchError> {
    let event = tokio::time::timeout(ANSWER_MAX, events.next()).await;
    event.map_err(|_late| failed("no answer"))?.ok_or_else(|| failed("the network adapter broke"))
}

async fn start(config: NetConfig, blob_bytes: u64) -> Result<(Net, NetEvents), BenchError> {
    let started = weft_net::start(config, Arc::new(OneBlob(blob_bytes))).await;
    started.map_err(|error| failed(&error.to_string()))
}

fn runtime() -> Result<Runtime, BenchError> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn config(key: [u8; 32], identity: [u8; 32], peers: Vec<String>) -> NetConfig {
    NetConfig {
        identity,
        boot: 1,
        admission: Admission::Key(key),
        listen: vec![String::from("127.0.0.1:0")],
        peers,
        mdns: false,
        peers_file: None,
    }
}

fn award(index: u32) -> Message {
    let lease = LeaseId { job: JobId(1), epoch: 0, index, attempt: 1 };
    let grants = vec![Grant { lease, input: Payload::inline(&[0; 16]) }];
    Message::Award(Award { call: CallId(1), bid: BidId(1), left: 0, grants })
}

fn outcome(award: Award) -> Message {
    let deliver = |grant: Grant| Delivery {
        lease: grant.lease,
        report: Report::bare(Outcome::Done).into(),
        memo: None,
        proof: None,
    };
    Message::Outcome(award.grants.into_iter().map(deliver).collect())
}

fn failed(what: &str) -> BenchError {
    BenchError::Floor(format!("the raw link: {what}"))
}

/// A store of one blob of zeros, which keeps nothing that it is given.
struct OneBlob(u64);

impl BlobStore for OneBlob {
    fn open(&self, _: BlobId) -> io::Result<Option<(u64, Box<dyn Read + Send>)>> {
        let zeros = io::repeat(0).take(self.0);
        Ok((self.0 > 0).then(|| (self.0, Box::new(zeros) as Box<dyn Read + Send>)))
    }

    fn create(&self, _: BlobId, _: u64) -> io::Result<Box<dyn BlobSink>> {
        Ok(Box::new(Nowhere))
    }
}

struct Nowhere;

impl BlobSink for Nowhere {
    fn write(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}
