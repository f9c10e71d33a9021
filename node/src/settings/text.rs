//! Pairs and addresses as people write them. Every parser answers a wrong text with what it expected.

use std::net::{IpAddr, SocketAddr};

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
