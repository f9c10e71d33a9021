//! One socket for each network and family: shares the port of multicast DNS with other processes, joins the group on
//! its interface only, and sends there only.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

const PORT: u16 = 5353;
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
/// Receivers drop packets with another hop count, which come from other networks.
const HOPS: u32 = 255;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    V4,
    V6,
}

/// An interface and one of its address families.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Network {
    pub(super) name: String,
    index: u32,
    family: Family,
    /// Address of this family that sends.
    first: IpAddr,
    /// All addresses of the interface.
    pub(super) ips: Vec<IpAddr>,
}

impl Network {
    /// The multicast group's address.
    pub(super) fn group(&self) -> SocketAddr {
        match self.family {
            Family::V4 => (GROUP_V4, PORT).into(),
            Family::V6 => SocketAddrV6::new(GROUP_V6, PORT, 0, self.index).into(),
        }
    }
}

/// The networks of this machine, without loopback and interfaces that are down.
pub(super) fn networks() -> BTreeMap<(u32, Family), Network> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::debug!(%error, "interfaces can't be listed");
        Vec::new()
    });
    let mut all: BTreeMap<u32, (String, Vec<IpAddr>)> = BTreeMap::new();
    for interface in interfaces {
        let (ip, Some(index)) = (interface.ip(), interface.index) else { continue };
        if !ip.is_loopback() && interface.is_oper_up() {
            all.entry(index).or_insert_with(|| (interface.name, Vec::new())).1.push(ip);
        }
    }
    let mut networks = BTreeMap::new();
    for (index, (name, mut ips)) in all {
        ips.sort_unstable();
        for family in [Family::V4, Family::V6] {
            let first = ips.iter().find(|ip| ip.is_ipv4() == (family == Family::V4));
            if let Some(first) = first.copied() {
                let network = Network { name: name.clone(), index, family, first, ips: ips.clone() };
                networks.insert((index, family), network);
            }
        }
    }
    networks
}

pub(super) fn open(network: &Network) -> io::Result<UdpSocket> {
    let domain = if network.family == Family::V4 { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    match network.first {
        IpAddr::V4(ip) => {
            // Otherwise it would receive packets of every network that any socket of this machine joined.
            #[cfg(target_os = "linux")]
            socket.set_multicast_all_v4(false)?;
            socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)).into())?;
            socket.join_multicast_v4(&GROUP_V4, &ip)?;
            socket.set_multicast_if_v4(&ip)?;
            socket.set_multicast_loop_v4(true)?;
            socket.set_multicast_ttl_v4(HOPS)?;
        }
        IpAddr::V6(_) => {
            socket.set_only_v6(true)?;
            #[cfg(target_os = "linux")]
            socket.set_multicast_all_v6(false)?;
            socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT)).into())?;
            socket.join_multicast_v6(&GROUP_V6, network.index)?;
            socket.set_multicast_if_v6(network.index)?;
            socket.set_multicast_loop_v6(true)?;
            socket.set_multicast_hops_v6(HOPS)?;
        }
    }
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}
