//! Pairs and addresses as people write them. Every parser answers a wrong text with what it expected.

use std::net::{IpAddr, SocketAddr};

use super::zone;

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

/// A peer's address as a multiaddr: `IP:PORT` and `HOST:PORT` are turned into one; `/ip4/..`, `/ip6/..`, `/dns/..`,
/// `/dns4/..` and `/dns6/..` over TCP are taken as they are.
///
/// # Errors
/// What was expected.
pub fn parse_address(text: &str) -> Result<String, String> {
    if let Some(zoned) = zone::parse(text) {
        return zoned;
    }
    if let Ok(place) = text.parse::<Place>() {
        return Ok(place.multiaddr());
    }
    let expected = || {
        let lacks = lack(text, weft_net::is_host_name);
        format!("IP:PORT, HOST:PORT or a multiaddr such as /ip4/192.168.1.7/tcp/7117{lacks}")
    };
    let known = place_of(text).is_some();
    known.then(|| text.to_owned()).ok_or_else(expected)
}

/// What is wrong about the port, if that alone is wrong; `is_name` says which names are taken in place of an IP.
fn lack(text: &str, is_name: fn(&str) -> bool) -> String {
    if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return format!("; the port is missing, as in {}", SocketAddr::new(ip, super::DEFAULT_PORT));
    }
    if is_name(text) {
        return format!("; the port is missing, as in {text}:{}", super::DEFAULT_PORT);
    }
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if is_number
        && port.parse::<u16>().is_err()
        && (is_name(host) || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok())
    {
        return format!("; a port is at most {}", u16::MAX);
    }
    String::new()
}

/// An address to listen on as a multiaddr, as [`parse_address`] has it but without names: a name may have addresses
/// that this machine does not have. One with a zone is an address, too, which can't be listened on.
///
/// # Errors
/// What was expected.
pub fn parse_own_address(text: &str) -> Result<String, String> {
    if zone::parse(text).is_some() {
        return parse_address(text);
    }
    let expected = || {
        let lacks = lack(text, |_name| false);
        format!("IP:PORT with an IP of this machine, or 0.0.0.0 for all of them{lacks}")
    };
    parse_address(text).ok().filter(|address| socket_of(address).is_some()).ok_or_else(expected)
}

/// Where a node can be reached: IP or host name, and TCP port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An address.
    Ip(SocketAddr),
    /// A name, which is looked up at each attempt.
    Host {
        /// At most 253 bytes: letters, digits, hyphens and dots.
        name: String,
        /// The TCP port.
        port: u16,
    },
}

impl Place {
    /// The place of a name, if it can be one of a host. A mistyped IP is none.
    #[must_use]
    pub fn host(name: &str, port: u16) -> Option<Self> {
        weft_net::is_host_name(name).then(|| Self::Host { name: name.to_owned(), port })
    }

    /// It as a multiaddr.
    #[must_use]
    pub fn multiaddr(&self) -> String {
        match self {
            Self::Ip(address) => multiaddr(*address),
            Self::Host { name, port } => format!("/dns/{name}/tcp/{port}"),
        }
    }
}

impl From<SocketAddr> for Place {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Host { name, port } => write!(f, "{name}:{port}"),
        }
    }
}

impl std::str::FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self::Ip(address));
        }
        let named = text.rsplit_once(':').and_then(|(name, port)| Self::host(name, port.parse().ok()?));
        named.ok_or_else(|| {
            let lacks = lack(text, weft_net::is_host_name);
            format!("expected IP:PORT or HOST:PORT, such as 192.168.1.7:7117 or anna.lan:7117{lacks}")
        })
    }
}

/// This address as a multiaddr.
pub fn multiaddr(address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(ip) => format!("/ip4/{ip}/tcp/{}", address.port()),
        IpAddr::V6(ip) => format!("/ip6/{ip}/tcp/{}", address.port()),
    }
}

/// Whether only this machine can reach the multiaddr.
pub(super) fn is_loopback(address: &str) -> bool {
    socket_of(address).is_some_and(|address| address.ip().is_loopback())
}

/// The IP and TCP port that a multiaddr begins with; a peer id may follow.
#[must_use]
pub fn socket_of(text: &str) -> Option<SocketAddr> {
    match place_of(text)? {
        Place::Ip(address) => Some(address),
        Place::Host { .. } => None,
    }
}

/// The same of a multiaddr that may begin with a host name.
fn place_of(text: &str) -> Option<Place> {
    let mut parts = text.strip_prefix('/')?.split('/');
    let (kind, host) = (parts.next()?, parts.next()?);
    let port = match (parts.next()?, parts.next()?) {
        ("tcp", port) => port.parse().ok()?,
        _ => return None,
    };
    let place = match kind {
        "ip4" => Place::Ip(SocketAddr::new(IpAddr::V4(host.parse().ok()?), port)),
        "ip6" => Place::Ip(SocketAddr::new(IpAddr::V6(host.parse().ok()?), port)),
        "dns" | "dns4" | "dns6" => Place::host(host, port)?,
        _ => return None,
    };
    match (parts.next(), parts.next(), parts.next()) {
        (None, None, None) => Some(place),
        (Some("p2p"), Some(id), None) if !id.is_empty() => Some(place),
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
