//! The HTTP API: loopback only, bearer token, JSON for people and frames for the Rust client. One surface for CLI, SDK
//! and curl; it decides nothing, it turns requests into [`crate::handle::Request`]s and results into bytes.
//!
//! ```text
//!   GET  /v1/status  /v1/peers  /v1/jobs[?state=..]  /v1/jobs/{id}[?wait_ms=N]  /v1/jobs/{id}/why[?index=N]  /metrics
//!   POST /v1/jobs (frames or JSON in, frames or JSON lines out)  GET /v1/jobs/{id}/results[?from=N&limit=N&follow=BOOL]
//!   POST /v1/jobs/{id}/cancel  /v1/jobs/{id}/retry  /v1/jobs/{id}/forget  /v1/jobs/{id}/adopt[?force=BOOL&level=..]
//!   POST /v1/drain?on=BOOL  /v1/stop  PUT /v1/blobs  HEAD,GET /v1/blobs/{id}
//!   POST /v1/peers/{id}/forget
//! ```
//!
//! | bound | value | beyond it |
//! |---|---|---|
//! | connections that have not shown the token | 128 | the oldest of them closes |
//! | connections that have | 4,096, at most half of the files that the node may open | the longest idle one closes; 503 where all are at work |
//! | a request's head | 64 KiB, 64 headers, 30 s | 431, or the connection closes |
//! | an idle connection | 30 s | it closes |
//! | open job streams; waits; uploads; downloads | 2,048; 256; 512; 256: half, a sixteenth, an eighth and a sixteenth of the connections | 503 |
//! | uploads that write | 128 | the next one waits; one that brings nothing for a minute meanwhile ends with 408 |
//! | unfinished jobs | 10,000 | 503 |
//! | a frame | 1 MiB | 400 as the first frame, an `Error` frame later |
//! | the first frame | 10 s | 408 |
//! | an input inside a frame | 16 KiB | 400, an `Error` frame later |
//! | a JSON submission | 16 MiB, 100,000 inputs, 256 MiB of files with their blobs | 413, 400 |
//! | what streamed tasks printed and was not taken | 256 KiB a job | dropped: the result has it |
//! | tasks of a job unfinished or undelivered | 16,384; more of a detached one that is kept | its inputs are not read until some are |
//! | tasks of a job | 2^32 - 1 | an `Error` frame |
//! | a blob | 64 GiB, and the store's quota | 413, 507 |
//! | results that detached jobs keep | 256 MiB, 4,000,000 | ended jobs are forgotten, then 507 or an `Error` frame |

mod adopting;
mod arrivals;
mod auth;
mod blobs;
mod caller;
mod claims;
mod convert;
mod elsewhere;
mod endpoint;
mod error;
mod events;
mod finding;
mod json;
mod listing;
mod looked;
mod members;
mod metrics;
mod open_job;
mod places;
mod placing;
mod policy;
mod relay;
mod results;
mod resume;
mod room;
mod routes;
mod stream;
mod submit;
#[cfg(test)]
mod testing;
mod title;
mod verbs;
mod views;
mod why;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;
use weft_core::{Command, JobId};
use weft_net::Asked;

use crate::handle::NodeHandle;
use arrivals::Arrivals;
use elsewhere::Leaders;
use looked::Looked;
use places::{Bounds, Lasting, Place, Places};

pub use convert::MEMORY_BYTES_MAX;
pub use endpoint::{Published, bind, load_or_make_token, publish};
pub use policy::{RETRIES_MAX, TIME_MS_MAX};
pub use title::job_name_problem;

/// The head of a request, in bytes: its line and all headers.
const HEAD_BYTES_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 64;
/// What a connection buffers of each direction, in bytes.
const BUFFER_BYTES: usize = 256 << 10;
/// How long a connection may be idle, or take over a request's head.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// How long to wait after the system refused a connection for want of files or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What every route has. Shared as one: the server clones it several times for each request.
#[derive(Clone, Debug)]
struct Api(Arc<Parts>);

impl Deref for Api {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl From<Parts> for Api {
    fn from(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

/// The parts of it.
#[derive(Clone, Debug)]
struct Parts {
    handle: NodeHandle,
    token: Arc<str>,
    port: u16,
    lasting: Lasting,
    /// Who was found to lead a job that this node does not.
    leaders: Arc<Leaders>,
    /// What the disk was asked about a moment ago.
    looked: Arc<Looked>,
    /// Blobs that clients bring.
    arrivals: Arc<Arrivals>,
    orphans: mpsc::Sender<Orphan>,
}

/// A job whose submitter went away: it is cancelled, or goes on with the inputs that it has. It keeps its stream's permit until its cancellation is on its way: so there are
/// never more of them than streams, and handing one over never waits.
#[derive(Debug)]
struct Orphan {
    job: JobId,
    goes_on: bool,
    _permit: OwnedSemaphorePermit,
}

/// Serves the API until dropped, or until the node's loop has ended: to this machine, and some of it to the members of the
/// mesh, whose requests come through `asked`.
pub async fn serve(
    listener: TcpListener,
    handle: NodeHandle,
    token: String,
    asked: Option<mpsc::Receiver<Asked>>,
) {
    let bounds = Bounds::of_system();
    let (orphans, orphaned) = mpsc::channel(bounds.streams);
    let port = listener.local_addr().map_or(0, |address| address.port());
    let lasting = Lasting::new(bounds);
    let parts = Parts {
        handle: handle.clone(),
        token: token.into(),
        port,
        lasting,
        leaders: Arc::default(),
        looked: Arc::default(),
        arrivals: Arc::default(),
        orphans,
    };
    let api = Api::from(parts);
    let members = members::serve(api.clone(), asked);
    let router = routes::router(api);
    tokio::join!(accept(listener, router, Places::new(bounds)), close_orphans(handle, orphaned), members);
}

/// Closes the jobs of submitters that went away, and cancels those that don't go on.
async fn close_orphans(handle: NodeHandle, mut orphaned: mpsc::Receiver<Orphan>) {
    while let Some(Orphan { job, goes_on, _permit }) = orphaned.recv().await {
        // Not closed before it is cancelled: if its tasks so far are done, that would end it as if they were all.
        let command = if goes_on { Command::Close { job } } else { Command::Cancel { job } };
        // A node that has stopped has no jobs left to close.
        if handle.command(command).await.is_err() {
            return;
        }
    }
}

async fn accept(listener: TcpListener, router: Router, places: Arc<Places>) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(converse(stream, router.clone(), places.enter()));
                // It gets a turn to say something before others may push it out.
                tokio::task::yield_now().await;
            }
            Err(error) => {
                tracing::warn!(%error, "the API can't take a connection");
                places.make_room();
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while let Some(ended) = connections.try_join_next() {
            if let Err(error) = ended {
                crate::ports::report_panic("an API connection", error);
            }
        }
    }
}

/// Serves one connection to its end, or until its place is given to another.
async fn converse(stream: TcpStream, router: Router, place: Arc<Place>) {
    drop(stream.set_nodelay(true));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_headers(HEADERS_MAX)
        .max_buf_size(BUFFER_BYTES)
        .half_close(false);
    let routes = TowerToHyperService::new(router);
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(Arc::clone(&place));
        routes.call(request)
    });
    tokio::select! {
        served = http.serve_connection(TokioIo::new(stream), service) => {
            if let Err(error) = served {
                tracing::debug!(%error, "an API connection broke");
            }
        }
        () = place.closed() => tracing::debug!("an API connection made room for another"),
    }
}

/// A handler's answer never fails: a refusal is an answer.
type Answered = Result<axum::response::Response, error::ApiError>;

#[cfg(test)]
mod tests {
    use super::testing::{Loopless, loopless};
    use super::*;
    use crate::handle::Request as Asked;

    #[tokio::test]
    async fn half_a_job_whose_submitter_went_away_is_cancelled_and_not_closed_before() {
        let dir = tempfile::tempdir().unwrap();
        let Loopless { api, mut asked, orphans } = loopless(dir.path());
        let handle = api.handle.clone();
        let leave = async move {
            for (job, goes_on) in [(JobId(7), false), (JobId(8), true)] {
                let permit = Arc::clone(&api.lasting.streams).try_acquire_owned().unwrap();
                api.orphans.send(Orphan { job, goes_on, _permit: permit }).await.unwrap();
            }
        };
        tokio::join!(close_orphans(handle, orphans), leave);
        let mut told = Vec::new();
        while let Ok(Asked::Command(command)) = asked.try_recv() {
            told.push(format!("{command:?}"));
        }
        let wanted = [Command::Cancel { job: JobId(7) }, Command::Close { job: JobId(8) }];
        assert_eq!(told, wanted.map(|command| format!("{command:?}")));
    }
}
