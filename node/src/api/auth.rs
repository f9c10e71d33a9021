//! Who may ask: whoever has the token, from this machine, and no web page of another origin. The Host check is what
//! keeps a name that resolves to loopback (DNS rebinding) from reaching us through a browser.

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Api;
use super::error::ApiError;

/// Passes a request on, or refuses it.
pub(super) async fn check(State(api): State<Api>, request: Request, next: Next) -> Response {
    match admit(request.headers(), api.port, &api.token) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
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
