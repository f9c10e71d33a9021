//! Who may use the API: holders of the token on this machine, and no web page of another origin. The Host check is what
//! keeps a name that resolves to loopback (DNS rebinding) from reaching us through a browser.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Extension;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};

use super::error::ApiError;
use super::places::{Place, Visit};
use super::{Api, HEAD_BYTES_MAX};

/// Passes a request on, or refuses it.
pub(super) async fn check(
    State(api): State<Api>,
    Extension(place): Extension<Arc<Place>>,
    request: Request,
    next: Next,
) -> Response {
    let admitted = check_head(&request).and_then(|()| admit(request.headers(), api.port, &api.token));
    let visit = admitted.and_then(|()| place.begin().ok_or_else(crowded));
    match visit {
        Ok(visit) => next.run(request).await.map(|body| Body::new(Told { body, _visit: visit })),
        Err(error) => error.into_response(),
    }
}

fn crowded() -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "all connections of the API are in use")
        .help("end some of the programs that wait for this node")
}

/// The answer's body, which holds the request's visit until it was told or given up.
struct Told {
    body: Body,
    _visit: Visit,
}

impl HttpBody for Told {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The parser bounds what it buffers, and reads more than that at once: what came of it is counted here.
fn check_head(request: &Request) -> Result<(), ApiError> {
    let line = request.method().as_str().len()
        + request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
    if line + headers.sum::<usize>() > HEAD_BYTES_MAX {
        return Err(ApiError::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "the request's head is too long",
        )
        .expected(format!("at most {} KiB", HEAD_BYTES_MAX >> 10)));
    }
    Ok(())
}

fn admit(headers: &HeaderMap, port: u16, token: &str) -> Result<(), ApiError> {
    let host = only(headers, &HOST)?;
    if !host.is_some_and(|host| is_ours(host, port)) {
        return Err(ApiError::new(StatusCode::FORBIDDEN, "a Host that is not this API's")
            .expected(format!("127.0.0.1:{port}, localhost:{port} or [::1]:{port}")));
    }
    if let Some(origin) = only(headers, &ORIGIN)?
        && !origin.strip_prefix("http://").is_some_and(|host| is_ours(host, port))
    {
        return Err(ApiError::new(StatusCode::FORBIDDEN, "a page of another origin")
            .expected(format!("no Origin, or http://127.0.0.1:{port}")));
    }
    let given = only(headers, &AUTHORIZATION)?.and_then(|value| value.strip_prefix("Bearer "));
    if given.is_some_and(|given| is_same(given.trim().as_bytes(), token.as_bytes())) {
        return Ok(());
    }
    Err(ApiError::new(StatusCode::UNAUTHORIZED, "the token is missing or wrong")
        .expected("authorization: Bearer TOKEN")
        .help("the token is in api.json in the node's data directory"))
}

/// The value of a header that may be there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ApiError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match (value.to_str(), values.next()) {
        (Ok(text), None) => Ok(Some(text)),
        (Ok(_), Some(_)) | (Err(_), _) => {
            Err(ApiError::bad(format!("the header {name} twice, or not as text")))
        }
    }
}

fn is_ours(host: &str, port: u16) -> bool {
    let Some((name, given)) = host.rsplit_once(':') else { return false };
    given.parse() == Ok(port)
        && ["127.0.0.1", "localhost", "[::1]"].contains(&name.to_ascii_lowercase().as_str())
}

/// Compares without telling by its running time how much is right.
fn is_same(given: &[u8], token: &[u8]) -> bool {
    given.len() == token.len() && given.iter().zip(token).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, axum::http::HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn only_this_machine_with_the_token_is_admitted() {
        let token = (AUTHORIZATION, "Bearer abc");
        let admits = |pairs: &[_]| admit(&headers(pairs), 80, "abc").is_ok();
        for host in ["127.0.0.1:80", "localhost:80", "LOCALHOST:80", "[::1]:80"] {
            assert!(admits(&[(HOST, host), token.clone()]), "{host}");
        }
        for host in ["127.0.0.1", "127.0.0.1:81", "evil.example:80", "localhost.evil.example:80", ""] {
            assert!(!admits(&[(HOST, host), token.clone()]), "{host}");
        }
        let host = (HOST, "127.0.0.1:80");
        assert!(!admits(std::slice::from_ref(&token)));
        assert!(!admits(&[host.clone(), host.clone(), token.clone()]));
        assert!(admits(&[host.clone(), (ORIGIN, "http://localhost:80"), token.clone()]));
        for origin in ["http://evil.example", "null", "https://127.0.0.1:80", "http://127.0.0.1:8080"] {
            assert!(!admits(&[host.clone(), (ORIGIN, origin), token.clone()]), "{origin}");
        }
        for wrong in ["Bearer abd", "Bearer abcd", "Bearer ", "abc", "Basic abc"] {
            assert!(!admits(&[host.clone(), (AUTHORIZATION, wrong)]), "{wrong}");
        }
    }
}
