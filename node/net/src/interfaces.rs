//! Chooses the addresses of this machine that are told to other nodes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use libp2p::Multiaddr;

use crate::address::socket_of;
use crate::zone;

/// Name prefixes of container bridges and tunnels: their addresses are unreachable from other machines, or lead to
/// another machine.
const VIRTUAL: [&str; 16] = [
    "docker",
    "virbr",
    "lxcbr",
    "lxdbr",
    "podman",
    "cni",
    "flannel",
    "cilium",
    "vmnet",
    "vboxnet",
    "tun",
    "tap",
    "utun",
    "wg",
    "zt",
    "tailscale",
];

/// The addresses to tell, among those that are listened on: none of virtual interfaces, link-local ones only without
/// others, loopback only if nothing else is left.
pub(crate) fn worth_telling(listening: &[Multiaddr]) -> Vec<Multiaddr> {
    let names: BTreeMap<IpAddr, String> = match if_addrs::get_if_addrs() {
        Ok(interfaces) => interfaces.into_iter().map(|i| (i.ip(), i.name)).collect(),
        Err(error) => {
            tracing::debug!(%error, "interfaces can't be listed");
            BTreeMap::new()
        }
    };
    choose(listening, |ip| names.get(&ip).is_some_and(|name| is_virtual(name)))
}

/// This machine's addresses with their interfaces, for people; at most a dozen.
pub(crate) fn own_addresses() -> String {
    let all = if_addrs::get_if_addrs().unwrap_or_default();
    let named = all.iter().take(12).map(|i| format!("{} ({})", i.ip(), i.name));
    let text = named.collect::<Vec<_>>().join(", ");
    if text.is_empty() { String::from("none that can be listed") } else { text }
}

/// An address of this machine; a link-local one with its interface.
pub(crate) fn zoned(address: &Multiaddr) -> Multiaddr {
    let ip = socket_of(address).map(|socket| socket.ip()).filter(|ip| zone::is_link_local(*ip));
    ip.and_then(zone::that_has).map_or_else(|| address.clone(), |zone| zone::with(address, &zone))
}

/// Whether to show it to people: there are as many link-local addresses of virtual interfaces as containers.
pub(crate) fn is_for_people(address: &Multiaddr) -> bool {
    zone::of(address).is_none_or(|zone| !is_virtual(&zone) && !zone.starts_with("veth"))
}

fn choose(listening: &[Multiaddr], is_virtual: impl Fn(IpAddr) -> bool) -> Vec<Multiaddr> {
    // Rank, lowest first: loopback, virtual, link-local, the rest. Only the best kind is told.
    let worth = |address: &Multiaddr| match socket_of(address).map(|socket| socket.ip()) {
        Some(ip) if ip.is_loopback() => 1,
        Some(ip) if is_virtual(ip) => 2,
        Some(ip) if zone::is_link_local(ip) => 3,
        Some(_) => 4,
        None => 0,
    };
    let best = listening.iter().map(worth).max().unwrap_or(0);
    listening.iter().filter(|address| worth(address) == best).cloned().collect()
}

/// Whether an interface is a bridge of containers or a tunnel, by its name.
pub(crate) fn is_virtual(name: &str) -> bool {
    // Docker's own networks: br- and twelve hexadecimal digits.
    let bridge = name.strip_prefix("br-").is_some_and(|id| id.len() == 12);
    bridge || VIRTUAL.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtual_interfaces_and_loopback_come_last() {
        let all: Vec<Multiaddr> = ["/ip4/127.0.0.1/tcp/1", "/ip4/172.17.0.1/tcp/1", "/ip4/192.0.2.1/tcp/1"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        let docker = |ip: IpAddr| ip.to_string().starts_with("172.");
        assert_eq!(choose(&all, docker), all[2..]);
        assert_eq!(choose(&all[..2], docker), all[1..2]);
        assert_eq!(choose(&all[..1], docker), all[..1]);
        let link_local: Multiaddr = "/ip6/fe80::1/tcp/1".parse().unwrap();
        let none = |_: IpAddr| false;
        assert_eq!(choose(&[all[2].clone(), link_local.clone()], none), all[2..]);
        assert_eq!(choose(&[all[0].clone(), link_local.clone()], none), [link_local]);
    }

    #[test]
    fn names_are_told_apart() {
        for name in ["docker0", "br-0123456789ab", "tun0", "wg0", "tailscale0", "virbr0"] {
            assert!(is_virtual(name), "{name}");
        }
        for name in ["eth0", "enp3s0", "wlan0", "br-lan", "br0", "veth0"] {
            assert!(!is_virtual(name), "{name}");
        }
    }
}
