//! Link-local IPv6 addresses: each is valid on one network only, so it needs the interface that leads there, its zone.
//! As text `[fe80::1%eth0]:7117`, as a multiaddr `/ip6zone/eth0/ip6/fe80::1/tcp/7117`. A zone has a meaning on this
//! machine only and is never sent to other nodes.

use std::borrow::Cow;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

use crate::address::{multiaddr_of, socket_of};

/// Longest name of an interface, in bytes; Linux allows 15.
const NAME_BYTES_MAX: usize = 64;

pub(crate) const DIAL_ADVICE: &str = "say by which interface, as in [fe80::1%eth0]:7117";
pub(crate) const LISTEN_ADVICE: &str =
    "listen on [::]:7117, which means all IPv6 addresses, these among them";

/// Whether it is a link-local IPv6 address.
pub(crate) fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => false,
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// `[IP%ZONE]:PORT`.
pub(crate) fn parse(text: &str) -> Option<Multiaddr> {
    let (host, port) = text.strip_prefix('[')?.split_once("]:")?;
    let (ip, zone) = host.split_once('%')?;
    let ip: Ipv6Addr = ip.parse().ok()?;
    let named = !zone.is_empty() && zone.len() <= NAME_BYTES_MAX && !zone.contains(['/', '%']);
    if !named || !ip.is_unicast_link_local() {
        return None;
    }
    let bare = multiaddr_of(SocketAddr::new(ip.into(), port.parse().ok()?));
    Some(with(&bare, zone))
}

/// The zone of an address.
pub(crate) fn of(address: &Multiaddr) -> Option<String> {
    let Protocol::Ip6zone(zone) = address.iter().next()? else { return None };
    Some(zone.into_owned())
}

/// The address with this zone in place of its own.
pub(crate) fn with(address: &Multiaddr, zone: &str) -> Multiaddr {
    let head = Multiaddr::empty().with(Protocol::Ip6zone(Cow::Owned(zone.to_owned())));
    without(address).iter().fold(head, Multiaddr::with)
}

/// The address without its zone, for other nodes.
pub(crate) fn without(address: &Multiaddr) -> Multiaddr {
    address.iter().filter(|part| !matches!(part, Protocol::Ip6zone(_))).collect()
}

/// Where to connect for an address with a zone; `None` when it has none.
pub(crate) fn socket(address: &Multiaddr) -> Option<io::Result<SocketAddr>> {
    let zone = of(address)?;
    let Some(SocketAddr::V6(socket)) = socket_of(address) else { return None };
    Some(index(&zone).map(|index| SocketAddrV6::new(*socket.ip(), socket.port(), 0, index).into()))
}

fn index(zone: &str) -> io::Result<u32> {
    if let Ok(index) = zone.parse() {
        return Ok(index);
    }
    let found = if_addrs::get_if_addrs()?.into_iter().find(|interface| interface.name == zone);
    let missing =
        || io::Error::new(io::ErrorKind::AddrNotAvailable, format!("no interface is called {zone}"));
    found.and_then(|interface| interface.index).ok_or_else(missing)
}

/// The interface that has this local address.
pub(crate) fn that_has(ip: IpAddr) -> Option<String> {
    let interfaces = if_addrs::get_if_addrs().ok()?;
    interfaces.into_iter().find(|interface| interface.ip() == ip).map(|interface| interface.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_one_and_the_zone_comes_off() {
        let address = parse("[fe80::1%eth0]:7117").unwrap();
        assert_eq!(address, "/ip6zone/eth0/ip6/fe80::1/tcp/7117".parse().unwrap());
        assert_eq!(of(&address).as_deref(), Some("eth0"));
        let bare: Multiaddr = "/ip6/fe80::1/tcp/7117".parse().unwrap();
        assert_eq!(without(&address), bare);
        assert_eq!(with(&bare, "eth0"), address);
        assert_eq!(of(&bare), None);
        assert_eq!(socket_of(&address), "[fe80::1]:7117".parse().ok());
    }

    #[test]
    fn only_link_local_addresses_have_zones() {
        for text in
            ["[fe80::1%]:1", "[2001:db8::1%eth0]:1", "fe80::1%eth0:1", "[fe80::1%a/b]:1", "[fe80::1%eth0]"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_interface_that_is_not_there_is_named() {
        let address = parse("[fe80::1%nosuch0]:7117").unwrap();
        let error = socket(&address).unwrap().unwrap_err();
        assert!(error.to_string().contains("nosuch0"), "{error}");
        let by_number = parse("[fe80::1%7]:7117").unwrap();
        assert_eq!(socket(&by_number).unwrap().unwrap(), "[fe80::1%7]:7117".parse().unwrap());
    }
}
