//! On which machine a peer is, from the address of its connection: what the engine counts votes by.

use std::net::{IpAddr, Ipv6Addr};

use weft_core::Host;

/// The machine at a peer's address, a multiaddr: this one if it is loopback or an address that this node listens on. Of
/// an IPv6 address the first 64 bits count, since a machine gives itself any of the others; all link-local ones are one.
#[must_use]
pub(crate) fn host_of(address: &str, own: &[String]) -> Host {
    let Some(ip) = ip_of(address) else { return Host::Unknown };
    if ip.is_loopback() || own.iter().any(|own| ip_of(own) == Some(ip)) {
        return Host::Here;
    }
    Host::At(network(ip).octets())
}

/// The address itself, if it is one.
fn ip_of(multiaddr: &str) -> Option<IpAddr> {
    let mut parts = multiaddr.split('/');
    parts.find(|part| matches!(*part, "ip4" | "ip6"))?;
    let text = parts.next()?;
    let ip: IpAddr = text.split_once('%').map_or(text, |(ip, _scope)| ip).parse().ok()?;
    Some(ip.to_canonical())
}

/// What of an address a machine has to itself.
fn network(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) if ip.is_unicast_link_local() => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_told_by_its_address_however_that_is_written() {
        let own = ["/ip4/10.0.0.7/tcp/7117".to_owned(), "/ip6/fd00::7/tcp/7117".to_owned()];
        let at = |text: &str| Host::At(text.parse::<Ipv6Addr>().unwrap().octets());
        let table = [
            ("/ip4/10.0.0.8/tcp/40000/p2p/12D3KooW", at("::ffff:10.0.0.8")),
            ("/ip6/::ffff:10.0.0.8/tcp/1", at("::ffff:10.0.0.8")),
            ("/ip6/fd00::8/tcp/1", at("fd00::")),
            ("/ip6/2001:db8:0:1::8/tcp/1", at("2001:db8:0:1::")),
            ("/ip6/2001:db8:0:1:abcd::9/tcp/1", at("2001:db8:0:1::")),
            ("/ip6/2001:db8:0:2::8/tcp/1", at("2001:db8:0:2::")),
            ("/ip6zone/eth0/ip6/fe80::8/tcp/1", at("fe80::")),
            ("/ip6/fe80:0:0:7::8/tcp/1", at("fe80::")),
            ("/ip6/fe80::8%eth0/tcp/1", at("fe80::")),
            ("/ip4/127.0.0.1/tcp/1", Host::Here),
            ("/ip4/127.9.9.9/tcp/1", Host::Here),
            ("/ip6/::1/tcp/1", Host::Here),
            ("/ip4/10.0.0.7/tcp/40000", Host::Here),
            ("/ip6/::ffff:10.0.0.7/tcp/40000", Host::Here),
            ("/ip6/fd00::7/tcp/40000", Host::Here),
            ("/dns4/cleo.lan/tcp/7117", Host::Unknown),
            ("", Host::Unknown),
            ("/ip4/300.0.0.1", Host::Unknown),
        ];
        for (address, host) in table {
            assert_eq!(host_of(address, &own), host, "{address}");
        }
    }
}
