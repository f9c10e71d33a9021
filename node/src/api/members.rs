//! The API as other members have it: the routes of jobs and no others, without a token, for the mesh's key admitted them.
//! What comes here is answered by this node alone and never passed on, so that requests can't go in circles.

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, Request, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{body, middleware};
use futures::StreamExt as _;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use weft_net::{ApiHead, ApiReply, ApiRequest, Asked};

use super::caller::Caller;
use super::elsewhere::keepers_of;
use super::error::{self, ApiError};
use super::places::{Bounds, Lasting};
use super::submit::JOB_HEADER;
use super::{Api, Parts, finding, listing, routes};

/// Where a member asks which job is meant, and whether this node leads it.
pub(super) const LEAD_PATH: &str = "/v1/lead";

/// Jobs in one answer, and nodes that keep one of them; more are not looked at.
pub(super) const KNOWN_MAX: usize = 8;

/// What a node says of a job that it leads or keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    /// The job's id.
    pub(super) job: String,
    /// Whether the node leads it: has its results, and can change it.
    pub(super) leads: bool,
    /// Since which epoch, of a job at level `mesh`; the greater one is right where two nodes say that they lead.
    pub(super) epoch: u32,
    /// The nodes that keep it, if there are several: their ids.
    pub(super) keepers: Vec<String>,
}

/// Answers members until dropped; without requests to come, it waits for ever.
pub(super) async fn serve(api: Api, asked: Option<mpsc::Receiver<Asked>>) {
    let Some(mut asked) = asked else { return };
    // Apart from the places of clients: neither takes those of the other.
    let lasting = Lasting::new(Bounds::of_members());
    let router = router(Parts { lasting, ..Parts::clone(&api) }.into());
    // One a request that the network holds open, and so bounded there.
    let mut answers = JoinSet::new();
    loop {
        tokio::select! {
            question = asked.recv() => match question {
                Some(question) => drop(answers.spawn(answer(router.clone(), question))),
                None => return,
            },
            Some(_ended) = answers.join_next() => {}
        }
    }
}

/// The routes that members have: all that is not here is refused.
fn router(api: Api) -> Router {
    Router::new()
        .route(&format!("{LEAD_PATH}/{{id}}"), get(lead))
        .route("/v1/jobs", get(listing::jobs))
        .merge(routes::of_jobs())
        .fallback(async || {
            ApiError::new(StatusCode::FORBIDDEN, "that is not for other nodes")
                .expected("a route of jobs: list, read, cancel, retry, forget")
        })
        .layer(middleware::from_fn(error::unless_panicked))
        .with_state(api)
}

async fn answer(router: Router, question: Asked) {
    let Asked { from, request, reply } = question;
    let response = match http_of(request) {
        Ok(mut request) => {
            request.extensions_mut().insert(Caller::Member(from));
            let answered = TowerToHyperService::new(router).call(request).await;
            answered.unwrap_or_else(|never| match never {})
        }
        Err(error) => error.into_response(),
    };
    // An asker that is gone needs no answer.
    drop(reply.send(reply_of(response)));
}

/// A member's request, if it is one.
fn http_of(request: ApiRequest) -> Result<Request<Body>, ApiError> {
    let ApiRequest { method, target, accept, content_type, body } = request;
    if !target.starts_with('/') {
        return Err(ApiError::bad("a request for no path"));
    }
    let headers = [(ACCEPT, accept), (CONTENT_TYPE, content_type)];
    let mut built = Request::builder().method(method.as_str()).uri(target);
    for (name, value) in headers.into_iter().filter(|(_, value)| !value.is_empty()) {
        built = built.header(name, value);
    }
    built.body(Body::from(body)).map_err(|error| ApiError::bad(format!("no request: {error}")))
}

fn reply_of(response: Response) -> ApiReply {
    let (head, body) = response.into_parts();
    let names: [&HeaderName; 3] = [&CONTENT_TYPE, &JOB_HEADER, &RETRY_AFTER];
    let headers = names.into_iter().filter_map(|name| {
        let value = head.headers.get(name)?.to_str().ok()?;
        Some((name.as_str().to_owned(), value.to_owned()))
    });
    let head = ApiHead { status: head.status.as_u16(), headers: headers.collect() };
    let body =
        body.into_data_stream().map(|part: Result<body::Bytes, _>| part.map_err(std::io::Error::other));
    ApiReply { head, body: Box::pin(body) }
}

/// Which jobs of this node are meant.
async fn lead(State(api): State<Api>, Path(name): Path<String>) -> Json<Vec<Known>> {
    // Without its loop the node knows no epochs, and ends.
    let views = api.handle.snapshot().await.map(|snapshot| snapshot.jobs).unwrap_or_default();
    let known = finding::fitting(&api, &name).into_iter().filter_map(|job| {
        let summary = api.handle.jobs().summary(job)?;
        let epoch = views.iter().find(|view| view.job == job).map_or(0, |view| view.epoch);
        let keepers = keepers_of(&summary).iter().map(ToString::to_string).collect();
        Some(Known { job: job.to_string(), leads: summary.here().is_ok(), epoch, keepers })
    });
    Json(known.collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use weft_core::{JobId, PeerId};

    use super::super::testing::{loopless, meta};
    use super::*;
    use crate::jobs::{JobMeta, Title};

    const MEMBER: PeerId = PeerId([2; 32]);

    /// The API of a node whose loop is not there, with one job.
    fn api(dir: &std::path::Path) -> Api {
        let api = loopless(dir).api;
        let title = Title { name: String::from("on friday/1"), labels: BTreeMap::new() };
        let meta = JobMeta { title: Arc::new(title), ..meta() };
        api.handle.jobs().create(JobId(0xa7c3_72ed_eab4_6585), meta).unwrap();
        api
    }

    async fn asked(router: &Router, method: &str, target: &str) -> (u16, String) {
        let request =
            ApiRequest { method: method.to_owned(), target: target.to_owned(), ..ApiRequest::default() };
        let (reply, replied) = tokio::sync::oneshot::channel();
        answer(router.clone(), Asked { from: MEMBER, request, reply }).await;
        let ApiReply { head, body } = replied.await.unwrap();
        let parts: Vec<_> = body.map(|part| part.unwrap().to_vec()).collect().await;
        (head.status, String::from_utf8(parts.concat()).unwrap())
    }

    #[tokio::test]
    async fn members_have_the_routes_of_jobs_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let router = router(api(dir.path()));
        for (method, target) in [
            ("GET", "/v1/status"),
            ("GET", "/v1/peers"),
            ("POST", "/v1/stop"),
            ("POST", "/v1/drain?on=true"),
            ("PUT", "/v1/blobs"),
            ("GET", "/metrics"),
            ("GET", "/v1/jobs/a7c372edeab46585/../../stop"),
            ("GET", "/"),
        ] {
            let (status, said) = asked(&router, method, target).await;
            assert!(
                status == 403 && said.contains("not for other nodes"),
                "{method} {target}: {status} {said}"
            );
        }
        // A job is not handed in through another node, and what is no request is refused.
        assert_eq!(asked(&router, "POST", "/v1/jobs").await.0, 405);
        for target in ["", "stop", "http://127.0.0.1/v1/jobs", "/\u{0}", "/ /"] {
            let (status, said) = asked(&router, "GET", target).await;
            assert!(status == 400 || status == 403, "{target:?}: {status} {said}");
        }
        assert_eq!(asked(&router, "G T", "/v1/jobs").await.0, 400);
    }

    #[tokio::test]
    async fn which_jobs_are_led_here_is_told_by_id_beginning_and_name() {
        let dir = tempfile::tempdir().unwrap();
        let router = router(api(dir.path()));
        let led = r#"[{"job":"a7c372edeab46585","leads":true,"epoch":0,"keepers":[]}]"#;
        for name in ["a7c372edeab46585", "a7C3", "on%20friday%2F1"] {
            assert_eq!(
                asked(&router, "GET", &format!("/v1/lead/{name}")).await,
                (200, led.to_owned()),
                "{name}"
            );
        }
        for name in ["b7c372edeab46585", "b", "monday"] {
            assert_eq!(
                asked(&router, "GET", &format!("/v1/lead/{name}")).await,
                (200, String::from("[]")),
                "{name}"
            );
        }
        // Who asks for a list of everybody's would be asked again.
        assert_eq!(asked(&router, "GET", "/v1/jobs?mesh=true").await.0, 400);
    }
}
