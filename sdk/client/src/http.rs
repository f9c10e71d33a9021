//! Connections to the node: HTTP/1.1 over loopback, a few kept warm. Knows status codes and tokens, not jobs.
//!
//! A connection belongs to one exchange at a time. It goes back to the pool when the answer was read to its end; when
//! it is dropped before, its socket closes, which the node takes as "the answer is no longer wanted".

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::api::{Endpoint, ErrorBody};
use crate::error::Error;

/// Idle connections kept; a further one is closed.
const IDLE_MAX: usize = 8;
/// An idle connection is not used again after this time; the node closes it after a longer one.
const IDLE_TIME: Duration = Duration::from_secs(20);
/// A node on this machine that does not take a connection within this time hangs.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// How long the answer to a question may take that the node answers at once.
const ANSWER_TIME: Duration = Duration::from_secs(20);
/// Longest answer that is read into memory as JSON; a longer one is [`Error::Protocol`].
const JSON_BYTES_MAX: usize = 64 << 20;
/// Longest reason of a refusal; a longer one is left out.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// Why an answer is not whole, and what to do.
const NODE_IS_GONE: &str = "the node ended, or closed it, before its answer was whole; look at the node's log, start the \
                            node again if it does not run, and ask again";

/// What a request carries.
pub(crate) type Body = UnsyncBoxBody<Bytes, Error>;

/// No body.
pub(crate) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// These bytes as body.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// What a request is about, to say what was not found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About<'a> {
    pub(crate) what: &'static str,
    pub(crate) name: &'a str,
}

/// A request, before it has an address.
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) accept: Option<&'static str>,
    pub(crate) body: Body,
    pub(crate) about: About<'a>,
    /// How long the whole answer may take; `None` for what takes as long as work does.
    pub(crate) within: Option<Duration>,
}

impl<'a> Call<'a> {
    pub(crate) fn get(path: impl Into<String>, about: About<'a>) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            content_type: None,
            accept: None,
            body: empty(),
            about,
            within: None,
        }
    }

    /// The same, answered soon or not at all.
    pub(crate) fn soon(self) -> Self {
        Self { within: Some(ANSWER_TIME), ..self }
    }

    pub(crate) fn post(path: impl Into<String>, about: About<'a>) -> Self {
        Self { method: Method::POST, ..Self::get(path, about) }
    }
}

/// The node of one data directory, and the connections to it.
#[derive(Debug)]
pub(crate) struct Http {
    data_dir: PathBuf,
    endpoint: Mutex<Endpoint>,
    idle: Mutex<Vec<(Connection, Instant)>>,
}

/// One connection; dropping it closes the socket.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Body>,
    /// It had been idle before its exchange.
    warm: bool,
    /// Holds the task that drives the connection, and ends it when dropped.
    _driver: JoinSet<()>,
}

/// An answer of which nothing but the head was read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) content_length: Option<u64>,
    /// A refusal that passes by itself.
    is_passing: bool,
    pub(crate) body: Incoming,
    pub(crate) connection: Connection,
}

impl Http {
    /// Finds the node of a data directory and connects to it.
    pub(crate) async fn open(data_dir: &Path) -> Result<Self, Error> {
        let endpoint = read_endpoint(data_dir)?;
        let http = Self {
            data_dir: data_dir.to_owned(),
            endpoint: Mutex::new(endpoint.clone()),
            idle: Mutex::default(),
        };
        let connection = http.dial(&endpoint).await?;
        http.give_back(connection);
        Ok(http)
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Sends a request and waits for the head of its answer. A refusal comes as its error.
    pub(crate) async fn send(&self, call: Call<'_>) -> Result<Answer, Error> {
        let about = call.about;
        self.taken(self.exchange(call).await?, about).await
    }

    /// As [`Http::send`]; `None` when the node has no room for it now, though it may have later.
    pub(crate) async fn send_if_room(&self, call: Call<'_>, is_last: bool) -> Result<Option<Answer>, Error> {
        let about = call.about;
        let answer = self.exchange(call).await?;
        if answer.status == StatusCode::SERVICE_UNAVAILABLE && !is_last {
            return Ok(None);
        }
        self.taken(answer, about).await.map(Some)
    }

    /// The answer, or the error that a refusal is.
    async fn taken(&self, answer: Answer, about: About<'_>) -> Result<Answer, Error> {
        if answer.status.is_success() {
            return Ok(answer);
        }
        // The connection ends here: the node may have refused a body that is still on its way.
        let Answer { status, content_length: _, is_passing, body, connection: _connection } = answer;
        let body = Limited::new(body, ERROR_BYTES_MAX).collect().await;
        let body: Option<ErrorBody> =
            body.ok().and_then(|body| serde_json::from_slice(&body.to_bytes()).ok());
        if let (true, Some(ErrorBody { error, expected: _, help })) = (is_passing, &body) {
            return Err(Error::NotNow { what: error.clone(), help: help.clone() });
        }
        Err(self.refusal(status, body, about))
    }

    /// Sends a request and reads its answer as JSON.
    pub(crate) async fn json<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, Error> {
        of_json(&self.whole(call).await?)
    }

    /// Reads an answer to its end as JSON.
    pub(crate) async fn json_of<T: DeserializeOwned>(&self, answer: Answer) -> Result<T, Error> {
        of_json(&self.collect(answer).await?)
    }

    /// Sends a request of which nothing but success matters.
    pub(crate) async fn done(&self, call: Call<'_>) -> Result<(), Error> {
        self.whole(call).await.map(|_bytes| ())
    }

    /// Sends a request and reads its answer to the end, in the time that it may take.
    async fn whole(&self, call: Call<'_>) -> Result<Bytes, Error> {
        let within = call.within;
        let exchange = async { self.collect(self.send(call).await?).await };
        match within {
            None => exchange.await,
            Some(time) => {
                tokio::time::timeout(time, exchange).await.unwrap_or_else(|_| Err(self.silent(time)))
            }
        }
    }

    /// A node that takes connections and does not answer.
    fn silent(&self, waited: Duration) -> Error {
        let endpoint = self.endpoint();
        let reason = format!(
            "it took the connection and sent no answer within {} s; look at its log, and at what the machine is \
             busy with; if the node (process {}) hangs, end that process and start it again",
            waited.as_secs(),
            endpoint.pid
        );
        Error::Unreachable { address: endpoint.address, reason }
    }

    /// Reads an answer to its end and keeps the connection.
    async fn collect(&self, answer: Answer) -> Result<Bytes, Error> {
        let Answer { status: _, content_length: _, is_passing: _, body, connection } = answer;
        let body = Limited::new(body, JSON_BYTES_MAX).collect().await;
        let bytes = body.map_err(|error| broken_body(&*error))?.to_bytes();
        self.give_back(connection);
        Ok(bytes)
    }

    /// Takes back a connection whose answer was read to its end.
    pub(crate) fn give_back(&self, connection: Connection) {
        let mut idle = self.idle.lock().expect("no thread panics while it holds this lock");
        if idle.len() < IDLE_MAX && !connection.sender.is_closed() {
            idle.push((connection, Instant::now()));
        }
    }

    async fn exchange(&self, call: Call<'_>) -> Result<Answer, Error> {
        let Call { method, path, content_type, accept, body, about: _, within: _ } = call;
        let mut request = Request::builder().method(method).uri(path);
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        if let Some(accept) = accept {
            request = request.header(hyper::header::ACCEPT, accept);
        }
        let mut request =
            request.body(body).map_err(|error| Error::refused(error.to_string(), "a plain name"))?;
        loop {
            let mut connection = self.connection().await?;
            self.address(&mut request)?;
            let mut failed = match connection.sender.try_send_request(request).await {
                Ok(response) => return Ok(answer_of(response, connection)),
                Err(failed) => failed,
            };
            match failed.take_message() {
                // A warm connection that the node has just closed; nothing of the request was sent.
                Some(unsent) if connection.warm => request = unsent,
                Some(_) | None => return Err(broken(failed.error())),
            }
        }
    }

    /// Where the node was when it was spoken to last.
    fn endpoint(&self) -> Endpoint {
        self.endpoint.lock().expect("no thread panics while it holds this lock").clone()
    }

    /// Writes into the request where it goes and who asks.
    fn address(&self, request: &mut Request<Body>) -> Result<(), Error> {
        let endpoint = self.endpoint();
        let value = |text: &str| {
            HeaderValue::from_str(text)
                .map_err(|_other| Error::protocol("api.json has letters that no header takes"))
        };
        request.headers_mut().insert(HOST, value(&endpoint.address)?);
        request.headers_mut().insert(AUTHORIZATION, value(&format!("Bearer {}", endpoint.token))?);
        Ok(())
    }

    /// A connection that is ready for a request: a warm one, or a new one.
    async fn connection(&self) -> Result<Connection, Error> {
        while let Some((mut connection, since)) = self.take_idle() {
            if since.elapsed() < IDLE_TIME && connection.sender.ready().await.is_ok() {
                return Ok(Connection { warm: true, ..connection });
            }
        }
        let endpoint = self.endpoint();
        match self.dial(&endpoint).await {
            Ok(connection) => Ok(connection),
            Err(error) => {
                // A node that was restarted listens elsewhere, and says so in the same place.
                let fresh = read_endpoint(&self.data_dir)?;
                if fresh == endpoint {
                    return Err(error);
                }
                let connection = self.dial(&fresh).await?;
                *self.endpoint.lock().expect("no thread panics while it holds this lock") = fresh;
                Ok(connection)
            }
        }
    }

    fn take_idle(&self) -> Option<(Connection, Instant)> {
        self.idle.lock().expect("no thread panics while it holds this lock").pop()
    }

    async fn dial(&self, endpoint: &Endpoint) -> Result<Connection, Error> {
        let address = &endpoint.address;
        let unreachable = |reason: String| Error::Unreachable { address: address.clone(), reason };
        let stream = match tokio::time::timeout(CONNECT_TIME, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => stream,
            // The file outlived a node that was killed.
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                return Err(Error::NoNode { data_dir: self.data_dir.clone() });
            }
            Ok(Err(error)) => return Err(unreachable(error.to_string())),
            Err(_) => return Err(unreachable(format!("no connection within {CONNECT_TIME:?}"))),
        };
        stream.set_nodelay(true).map_err(|error| unreachable(error.to_string()))?;
        let shaken = handshake(TokioIo::new(stream)).await;
        let (sender, driver) = shaken.map_err(|error| unreachable(error.to_string()))?;
        let mut tasks = JoinSet::new();
        // Its error reaches the caller that waits for the answer.
        tasks.spawn(async move { drop(driver.await) });
        Ok(Connection { sender, warm: false, _driver: tasks })
    }

    fn refusal(&self, status: StatusCode, body: Option<ErrorBody>, about: About<'_>) -> Error {
        if status == StatusCode::UNAUTHORIZED {
            return Error::Unauthorized { data_dir: self.data_dir.clone() };
        }
        // The job is there, a task of it is not: the answer says which it has.
        let is_task = body.as_ref().is_some_and(|body| body.error.starts_with("no task "));
        if status == StatusCode::NOT_FOUND && !is_task {
            let help = body.and_then(|body| body.help);
            return Error::NotFound { what: about.what, name: about.name.to_owned(), help };
        }
        match body {
            Some(ErrorBody { error, expected, help }) => Error::Refused { what: error, expected, help },
            None => Error::protocol(format!("status {status} without a reason")),
        }
    }
}

fn of_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| Error::protocol(error.to_string()))
}

/// The error of a refusal that came inside a stream.
pub(crate) fn refused(ErrorBody { error, expected, help }: ErrorBody) -> Error {
    Error::Refused { what: error, expected, help }
}

/// An exchange broke. What HTTP noticed of it tells a user nothing: the node is on this machine, so it ended, or closed the
/// connection. A fault of our own body is told as it is.
pub(crate) fn broken(error: &hyper::Error) -> Error {
    let reason = if error.is_user() { reason_of(error) } else { String::from(NODE_IS_GONE) };
    Error::Broken { reason }
}

/// The same of an answer that is read as a whole, which may be too long instead.
fn broken_body(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Error {
    let of_http = error.downcast_ref::<hyper::Error>().map(broken);
    of_http.unwrap_or_else(|| Error::Broken { reason: error.to_string() })
}

/// The whole chain of causes: hyper's own words alone say little.
fn reason_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn answer_of(response: Response<Incoming>, connection: Connection) -> Answer {
    let (head, body) = response.into_parts();
    let length = head.headers.get(hyper::header::CONTENT_LENGTH);
    let content_length = length.and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    let is_passing = head.headers.contains_key(hyper::header::RETRY_AFTER);
    Answer { status: head.status, content_length, is_passing, body, connection }
}

fn read_endpoint(data_dir: &Path) -> Result<Endpoint, Error> {
    let path = data_dir.join("api.json");
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::NoNode { data_dir: data_dir.to_owned() });
        }
        Err(source) => return Err(Error::File { path, source }),
    };
    serde_json::from_slice(&text).map_err(|error| Error::File { path, source: error.into() })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// What is said of a node that sends this and ends.
    async fn said_of(answer: &'static str) -> String {
        let data_dir = tempfile::tempdir().expect("there is room");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it listens");
        let endpoint = serde_json::json!({ "address": address.to_string(), "token": "t", "pid": 1 });
        std::fs::write(data_dir.path().join("api.json"), endpoint.to_string()).expect("there is room");
        let node = async move {
            let (mut stream, _) = listener.accept().await.expect("it is dialled");
            let mut asked = [0; 4096];
            let _bytes = stream.read(&mut asked).await.expect("it is asked");
            stream.write_all(answer.as_bytes()).await.expect("it is read");
        };
        let ask = async {
            let http = Http::open(data_dir.path()).await.expect("it is there");
            let about = About { what: "job", name: "1" };
            http.whole(Call::get("/v1/jobs/1", about)).await.expect_err("it is not whole").to_string()
        };
        tokio::join!(node, ask).1
    }

    #[tokio::test]
    async fn a_node_that_ended_is_told_in_words_of_users_and_with_what_to_do() {
        let answers = [
            "",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n{\"a\"\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{}",
        ];
        for answer in answers {
            let said = said_of(answer).await;
            assert_eq!(said, format!("the connection to the node broke: {NODE_IS_GONE}"), "{answer:?}");
        }
    }
}
