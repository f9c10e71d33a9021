//! Addresses of settings: how many there may be, and where a node listens by default.

use super::{ADDRESSES_MAX, DEFAULT_PORT, SettingsError, parse_own_address, text, wrong, zone};

pub(super) fn addresses(
    key: &'static str,
    given: &[String],
    parse: fn(&str) -> Result<String, String>,
) -> Result<Vec<String>, SettingsError> {
    if given.len() > ADDRESSES_MAX {
        return Err(wrong(key, format!("{} addresses", given.len()), format!("at most {ADDRESSES_MAX}")));
    }
    let parse = |text: &String| parse(text).map_err(|expected| wrong(key, text.as_str(), expected));
    given.iter().map(parse).collect()
}

pub(super) fn listen_of(given: Option<Vec<String>>, admitted: bool) -> Result<Vec<String>, SettingsError> {
    let Some(given) = given.filter(|given| !given.is_empty()) else {
        if !admitted {
            return Ok(vec!["/ip4/127.0.0.1/tcp/0".into()]);
        }
        return Ok(["/ip4/0.0.0.0", "/ip6/::"].map(|any| format!("{any}/tcp/{DEFAULT_PORT}")).into());
    };
    let listen = addresses("listen", &given, parse_own_address)?;
    if let Some(zoned) = listen.iter().find(|address| zone::has_zone(address)) {
        return Err(wrong("listen", zoned.as_str(), zone::LISTEN_ADVICE));
    }
    match listen.iter().find(|address| !text::is_loopback(address)) {
        Some(address) if !admitted => Err(SettingsError::Exposed { address: address.clone(), origin: None }),
        Some(_) | None => Ok(listen),
    }
}
