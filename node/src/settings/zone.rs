//! Link-local IPv6 addresses: each belongs to one network, so it comes with the interface that leads there, or is refused
//! with the reason.

use std::net::{Ipv6Addr, SocketAddr};

/// What to write instead.
const ADVICE: &str = "the interface that a link-local address belongs to, as in [fe80::1%eth0]:7117";
/// What to listen on instead.
pub(super) const LISTEN_ADVICE: &str =
    "[::]:7117, which means all IPv6 addresses, link-local ones among them";

/// A link-local address as a multiaddr, or what was expected; `None` for every other text.
pub(super) fn parse(text: &str) -> Option<Result<String, String>> {
    if let Some(rest) = text.strip_prefix("/ip6zone/") {
        let (zone, address) = rest.split_once('/')?;
        let port = address.strip_prefix("ip6/")?.split_once("/tcp/");
        return Some(port.and_then(|(ip, port)| multiaddr(ip, zone, port)).ok_or_else(|| ADVICE.into()));
    }
    if let Some((ip, port)) = text.strip_prefix('[').and_then(|rest| rest.split_once("]:")) {
        let (ip, zone) = ip.split_once('%').unwrap_or((ip, ""));
        return is_link_local(ip).then(|| multiaddr(ip, zone, port).ok_or_else(|| ADVICE.into()));
    }
    let ip = text.strip_prefix("/ip6/")?.split('/').next()?;
    is_link_local(ip).then(|| Err(ADVICE.into()))
}

/// Whether a multiaddr names the interface that it belongs to.
pub(super) fn has_zone(multiaddr: &str) -> bool {
    multiaddr.starts_with("/ip6zone/")
}

/// Whether an address, `[IP]:PORT`, means nothing outside of one network.
#[must_use]
pub fn is_only_local(address: &str) -> bool {
    address.parse::<SocketAddr>().is_ok_and(|address| is_link_local(&address.ip().to_string()))
}

fn is_link_local(ip: &str) -> bool {
    ip.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_unicast_link_local())
}

fn multiaddr(ip: &str, zone: &str, port: &str) -> Option<String> {
    let named = !zone.is_empty() && zone.len() <= 64 && !zone.contains(['/', '%']);
    let port: u16 = port.parse().ok()?;
    (named && is_link_local(ip)).then(|| format!("/ip6zone/{zone}/ip6/{ip}/tcp/{port}"))
}
