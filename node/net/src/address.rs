//! Converts between socket addresses and multiaddrs.

use std::net::{IpAddr, SocketAddr};

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

/// The address as a multiaddr.
pub(crate) fn multiaddr_of(socket: SocketAddr) -> Multiaddr {
    Multiaddr::empty().with(socket.ip().into()).with(Protocol::Tcp(socket.port()))
}

/// IP and port of a TCP multiaddr, whatever follows and in whatever zone; `None` for any other kind.
pub(crate) fn socket_of(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter().skip_while(|part| matches!(part, Protocol::Ip6zone(_)));
    let first = parts.next()?;
    let ip: IpAddr = if let Protocol::Ip4(ip) = first {
        ip.into()
    } else if let Protocol::Ip6(ip) = first {
        ip.into()
    } else {
        return None;
    };
    let Protocol::Tcp(port) = parts.next()? else { return None };
    Some(SocketAddr::new(ip, port))
}
