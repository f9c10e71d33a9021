//! Sizes, times, pairs and addresses as people write them. Every parser answers a wrong text with what it expected.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::zone;

/// A size in bytes: a whole number, alone or with `K`, `M`, `G`, `T` (or `KiB` ..) for powers of 1024 and `KB`, `MB`,
/// `GB`, `TB` for powers of 1000.
///
/// # Errors
/// What was expected, when the text is no size or too big to count.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let expected = || String::from("a size such as 268435456, 512MiB or 2GiB");
    let (number, unit) = split_number(text).ok_or_else(expected)?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(expected()),
    };
    number.checked_mul(factor).ok_or_else(expected)
}

/// A time: a whole number with `ms`, `s`, `m` or `h`; a number alone counts seconds.
///
/// # Errors
/// What was expected, when the text is no time, or is none at all.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let expected = || String::from("a time such as 500ms, 30s, 5m or 1h");
    let (number, unit) = split_number(text).ok_or_else(expected)?;
    let factor_ms = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return Err(expected()),
    };
    let millis = number.checked_mul(factor_ms).filter(|millis| *millis > 0).ok_or_else(expected)?;
    Ok(Duration::from_millis(millis))
}

/// A pair `NAME=VALUE`; the name is not empty, the value may be and may hold `=`.
///
/// # Errors
/// What was expected.
pub fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        Some(_) | None => Err(String::from("NAME=VALUE")),
    }
}

/// A peer's address as a multiaddr: `IP:PORT` is turned into one, `/ip4/..` and `/ip6/..` over TCP are taken as they
/// are.
///
/// # Errors
/// What was expected.
pub fn parse_address(text: &str) -> Result<String, String> {
    let expected = || String::from("IP:PORT or a multiaddr such as /ip4/192.168.1.7/tcp/7117");
    if let Some(zoned) = zone::parse(text) {
        return zoned;
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(multiaddr(address));
    }
    socket_of(text).map(|_address| text.to_owned()).ok_or_else(expected)
}

/// This address as a multiaddr.
pub fn multiaddr(address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(ip) => format!("/ip4/{ip}/tcp/{}", address.port()),
        IpAddr::V6(ip) => format!("/ip6/{ip}/tcp/{}", address.port()),
    }
}

/// Whether nobody but this machine can reach the multiaddr.
pub(super) fn is_loopback(address: &str) -> bool {
    socket_of(address).is_some_and(|address| address.ip().is_loopback())
}

/// The IP and TCP port that a multiaddr begins with; a peer id may follow.
fn socket_of(text: &str) -> Option<SocketAddr> {
    let mut parts = text.strip_prefix('/')?.split('/');
    let ip: IpAddr = match (parts.next()?, parts.next()?) {
        ("ip4", ip) => IpAddr::V4(ip.parse().ok()?),
        ("ip6", ip) => IpAddr::V6(ip.parse().ok()?),
        _ => return None,
    };
    let port = match (parts.next()?, parts.next()?) {
        ("tcp", port) => port.parse().ok()?,
        _ => return None,
    };
    match (parts.next(), parts.next(), parts.next()) {
        (None, None, None) => Some(SocketAddr::new(ip, port)),
        (Some("p2p"), Some(id), None) if !id.is_empty() => Some(SocketAddr::new(ip, port)),
        _ => None,
    }
}

/// This machine's memory in bytes, where the kernel tells.
pub(super) fn host_memory_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

fn split_number(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim()))
}
