//! Refusals: what was wrong, what would have been taken, what to do; with the status code.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use weft_client::api::ErrorBody;
use weft_core::Refusal;

use super::json;
use crate::handle::{NoResults, NodeStopped, NotChanged};
use crate::jobs::{Moved, NoSuchJob, NotAccepted, TableFull};

/// A refusal. Nothing was changed by the request, unless its stream had begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    status: StatusCode,
    body: ErrorBody,
    /// Asking again soon may help.
    is_passing: bool,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self {
            status,
            body: ErrorBody { error: error.into(), expected: None, help: None },
            is_passing: false,
        }
    }

    /// As another node told it.
    pub(super) fn told(status: StatusCode, body: ErrorBody) -> Self {
        Self { status, body, is_passing: false }
    }

    /// It passes by itself: clients ask again.
    pub(super) fn soon(self) -> Self {
        Self { is_passing: true, ..self }
    }

    pub(super) fn bad(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    pub(super) fn not_found(what: &str, name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("no {what} {name}"))
    }

    /// The node is told to end.
    pub(super) fn stopping(what: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, format!("this node is told to stop, and {what}"))
            .help("wait until it has ended and start it again, or use another node")
    }

    pub(super) fn is_not_found(&self) -> bool {
        self.status == StatusCode::NOT_FOUND
    }

    /// Whether it passes by itself. It then breaks a stream off and is not told on it, where it would look like the end.
    pub(super) fn is_passing(&self) -> bool {
        self.is_passing
    }

    pub(super) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.body.expected = Some(expected.into());
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.body.help = Some(help.into());
        self
    }

    pub(super) fn into_body(self) -> ErrorBody {
        self.body
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, json::answer(&self.body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = axum::http::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(axum::http::header::WWW_AUTHENTICATE, scheme);
        }
        if self.is_passing {
            let seconds = axum::http::HeaderValue::from_static("1");
            response.headers_mut().insert(axum::http::header::RETRY_AFTER, seconds);
        }
        response
    }
}

/// Answers a request whose handler panicked; the connection would close without an answer otherwise.
pub(super) async fn unless_panicked(request: Request, next: Next) -> Response {
    match weft_net::caught("an API request", next.run(request)).await {
        Ok(response) => response,
        Err(panicked) => ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, panicked.to_string())
            .help("the node goes on; its log on standard error says more")
            .into_response(),
    }
}

impl From<NodeStopped> for ApiError {
    fn from(error: NodeStopped) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl From<NoSuchJob> for ApiError {
    fn from(error: NoSuchJob) -> Self {
        Self::new(StatusCode::NOT_FOUND, error.to_string())
            .help("the longest ended jobs are forgotten first; `weft jobs` lists those that are known")
    }
}

impl From<Moved> for ApiError {
    fn from(error: Moved) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()).soon()
    }
}

impl From<NotAccepted> for ApiError {
    fn from(error: NotAccepted) -> Self {
        match error {
            NotAccepted::Unknown(error) => error.into(),
            NotAccepted::Moved(moved) => moved.into(),
            NotAccepted::Over => Self::new(StatusCode::CONFLICT, error.to_string()),
            NotAccepted::Refused(reason) => Self::new(StatusCode::SERVICE_UNAVAILABLE, reason),
            NotAccepted::NotRetried(reason) => Self::new(status_of(&reason), reason.to_string()),
            NotAccepted::JournalFailed { .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
                    .help("hand it in at another node if it must not wait for that")
            }
        }
    }
}

/// The status of a refused retry.
fn status_of(reason: &Refusal) -> StatusCode {
    match reason {
        Refusal::DiskLow => StatusCode::INSUFFICIENT_STORAGE,
        Refusal::JobGoesOn | Refusal::LogOutdated => StatusCode::CONFLICT,
        Refusal::VerifyImpure
        | Refusal::VerifyTooMany { .. }
        | Refusal::SlotsTooMany { .. }
        | Refusal::ParentsTooMany { .. }
        | Refusal::ParentTwice { .. }
        | Refusal::ParentItself
        | Refusal::ParentUnknown { .. }
        | Refusal::NoNodeTakes(_)
        | Refusal::InputTooLong { .. }
        | Refusal::JournalFailed
        | Refusal::JobOver
        | Refusal::TooFewKeepers { .. }
        | Refusal::ParentNotKept { .. }
        | Refusal::ParentsKeptApart { .. }
        | Refusal::ResultsOfSeveral { .. }
        | Refusal::TakesResults
        | Refusal::GathersNothing
        | Refusal::ResultsNotKept { .. }
        | Refusal::BlobMissing { .. } => StatusCode::SERVICE_UNAVAILABLE,
    }
}

impl From<NoResults> for ApiError {
    fn from(error: NoResults) -> Self {
        let text = error.to_string();
        match error {
            NoResults::Unknown(error) => error.into(),
            NoResults::Moved(moved) => moved.into(),
            NoResults::NotKept(_) => Self::new(StatusCode::CONFLICT, text)
                .help("submit it detached, or with level disk, to read its results again"),
            NoResults::Unreadable(_) | NoResults::Missing { .. } => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, text)
            }
        }
    }
}

impl From<NotChanged> for ApiError {
    fn from(error: NotChanged) -> Self {
        let text = error.to_string();
        match error {
            NotChanged::Unknown(error) => error.into(),
            NotChanged::Moved(moved) => moved.into(),
            NotChanged::NotEnded(_) => {
                Self::new(StatusCode::CONFLICT, text).help("wait for its end, or cancel it first")
            }
            NotChanged::NotKept(_) | NotChanged::AllDone(_) | NotChanged::Changing(_) => {
                Self::new(StatusCode::CONFLICT, text)
            }
            NotChanged::JournalFailed(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, text),
            NotChanged::Late { .. } => Self::new(StatusCode::SERVICE_UNAVAILABLE, text)
                .help("look at the job later: this may be void by then, and is safe to ask for again"),
            NotChanged::DiskLow(_) => Self::new(StatusCode::INSUFFICIENT_STORAGE, text),
            NotChanged::Refused(error) => error.into(),
            NotChanged::Unreadable(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, text),
            NotChanged::Stopped(error) => error.into(),
        }
    }
}

impl From<TableFull> for ApiError {
    fn from(error: TableFull) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
            .help("cancel some, or wait until some end")
    }
}

impl From<weft_blobs::Error> for ApiError {
    fn from(error: weft_blobs::Error) -> Self {
        // That enum may grow; what is not known here is the disk's fault until shown otherwise.
        let status = if error.is_disk_full() || matches!(error, weft_blobs::Error::Full { .. }) {
            StatusCode::INSUFFICIENT_STORAGE
        } else if matches!(error, weft_blobs::Error::Busy { .. }) {
            StatusCode::SERVICE_UNAVAILABLE
        } else if matches!(error, weft_blobs::Error::TooLong { .. }) {
            StatusCode::PAYLOAD_TOO_LARGE
        } else if error.is_senders_fault() || matches!(error, weft_blobs::Error::Source(_)) {
            StatusCode::BAD_REQUEST
        } else {
            StatusCode::INTERNAL_SERVER_ERROR
        };
        Self::new(status, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn;
    use axum::routing::get;
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;

    use super::*;

    #[tokio::test]
    async fn a_request_whose_handler_panics_is_answered() {
        async fn broken() -> &'static str {
            panic!("a fault of the handler")
        }
        let router = Router::new().route("/", get(broken)).layer(from_fn(unless_panicked));
        let response = TowerToHyperService::new(router).call(Request::new(Body::empty())).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
        let said: ErrorBody = serde_json::from_slice(&body).unwrap();
        assert!(said.error.ends_with("a fault of the handler"), "{said:?}");
    }
}
