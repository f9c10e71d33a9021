//! `weft init`: makes a mesh's key, and prints the ticket that lets others in.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::path::Path;

use weft_node::settings;
use weft_node::ticket::Ticket;

use super::Problem;
use super::reach::{Reach, reach};
use crate::cli::InitArgs;
use crate::render::{print, print_json, say};

const SECRET: &str = "the ticket is a secret: its holders can run tasks on every machine of the mesh";

/// The ticket and what belongs to it, for scripts.
#[derive(serde::Serialize)]
struct Made<'a> {
    ticket: &'a str,
    addresses: Vec<String>,
    data_dir: &'a Path,
    made: bool,
}

/// Makes a key where there is none, or with `--force`; prints the ticket.
pub(crate) async fn init(data_dir: &Path, args: &InitArgs) -> Result<u8, Problem> {
    if let Some(local) = args.address.iter().map(ToString::to_string).find(|a| settings::is_only_local(a)) {
        let text = format!(
            "--address: {local} is link-local and can't be reached from other machines: give another address of this \
             machine, or leave it out, for nodes of one network find each other by mDNS"
        );
        return Err(Problem::Usage(text));
    }
    let known = settings::read_mesh_key(data_dir)?;
    let dir = data_dir.display();
    let mesh_key = match known {
        Some(key) if args.show => key,
        None if args.show => {
            let text = format!(
                "{dir} belongs to no mesh: make one with `weft init`, or join one with `weft join TICKET`"
            );
            return Err(Problem::Failed(text));
        }
        Some(_) if !args.force => {
            let text = format!(
                "{dir} belongs to a mesh already: print its ticket with `weft init --show`, or leave it and make a new \
                 one with `weft init --force`"
            );
            return Err(Problem::Failed(text));
        }
        Some(_) | None => {
            settings::load_or_make_identity(data_dir)?;
            let key = settings::write_mesh_key(data_dir, None)?;
            settings::clear_joined_peers(data_dir)?;
            key
        }
    };
    let Reach { places: addresses, unknown_port } = if args.address.is_empty() {
        reach(data_dir, args.show, &own_addresses()).await?
    } else {
        Reach { places: args.address.clone(), unknown_port: false }
    };
    if unknown_port {
        say(
            "the node listens on any free port, which this ticket can't name: print it with `weft init --show` while the \
             node runs, or choose a port with `listen` in weft.toml",
        );
    }
    let ticket = Ticket { mesh_key, addresses };
    show(&ticket, data_dir, args)
}

fn show(ticket: &Ticket, data_dir: &Path, args: &InitArgs) -> Result<u8, Problem> {
    let text = ticket.to_string();
    let addresses: Vec<String> = ticket.addresses.iter().map(ToString::to_string).collect();
    if !args.show {
        say(&format!("made a mesh key in {}; a running node uses it after a restart", data_dir.display()));
    }
    if addresses.is_empty() {
        say("no address of this machine was found: the others will look for it by mDNS; see --address");
    } else {
        say(&format!("the others will look for this machine at {}", addresses.join(", ")));
    }
    say(SECRET);
    if args.json {
        return print_json(&Made { ticket: &text, addresses, data_dir, made: !args.show }).map(|()| 0);
    }
    say("on every other machine: weft join TICKET && weft node; here: weft node");
    print(&format!("{text}\n"))?;
    Ok(0)
}

/// This machine's addresses on its networks.
fn own_addresses() -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    // An address in 192.0.2.0/24 is assigned to no machine: it leads anywhere, by the default route.
    let targets = local_networks().into_iter().chain([Ipv4Addr::new(192, 0, 2, 1)]);
    for target in targets {
        if let Ok(address) = source_address(target)
            && !address.is_loopback()
            && !address.is_unspecified()
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found.extend(own_ipv6());
    found.truncate(weft_node::ticket::ADDRESSES_MAX);
    found
}

/// From which of our addresses a packet to `target` would leave. Nothing is sent.
fn source_address(target: Ipv4Addr) -> io::Result<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect((target, 9))?;
    Ok(socket.local_addr()?.ip())
}

/// One address in each network that this machine is on, by the kernel's table of routes; empty where there is none.
fn local_networks() -> Vec<Ipv4Addr> {
    let table = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    table.lines().skip(1).filter_map(network_of).collect()
}

/// This machine's lasting IPv6 addresses, by the kernel's table; those that mean something outside of one network.
fn own_ipv6() -> Vec<IpAddr> {
    let table = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    table.lines().filter_map(ipv6_of).collect()
}

/// The address in a line of the kernel's table; `None` for what is link-local, temporary or of a virtual interface.
fn ipv6_of(line: &str) -> Option<IpAddr> {
    // Temporary, tentative, failed and deprecated ones are of no use in a ticket.
    const PASSING: u8 = 0x01 | 0x40 | 0x08 | 0x20;
    let words: Vec<_> = line.split_whitespace().collect();
    let [digits, _index, _prefix, scope, flags, interface] = words.as_slice() else { return None };
    let ip = Ipv6Addr::from(u128::from_str_radix(digits, 16).ok()?);
    let flags = u8::from_str_radix(flags, 16).ok()?;
    (*scope == "00" && flags & PASSING == 0 && !is_virtual(interface)).then_some(ip.into())
}

fn is_virtual(interface: &str) -> bool {
    const VIRTUAL: [&str; 9] = ["lo", "docker", "br-", "veth", "virbr", "tun", "tap", "wg", "tailscale"];
    VIRTUAL.iter().any(|prefix| interface.starts_with(prefix))
}

/// A host's address in the network of a route; `None` for routes through gateways, tunnels and containers.
fn network_of(line: &str) -> Option<Ipv4Addr> {
    let mut words = line.split_whitespace();
    let interface = words.next()?;
    // The kernel writes addresses as they lie in memory.
    let destination = u32::from_str_radix(words.next()?, 16).ok()?.to_ne_bytes();
    let gateway = words.next()?;
    let network = u32::from_be_bytes(destination);
    (!is_virtual(interface) && gateway == "00000000" && network != 0).then(|| Ipv4Addr::from(network | 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_networks_of_real_interfaces_count() {
        let destination = u32::from_ne_bytes([192, 168, 7, 0]);
        let line =
            |interface: &str, gateway: &str| format!("{interface}\t{destination:08X}\t{gateway}\t0001");
        assert_eq!(network_of(&line("eth0", "00000000")), Some(Ipv4Addr::new(192, 168, 7, 1)));
        assert_eq!(network_of(&line("docker0", "00000000")), None);
        assert_eq!(network_of(&line("eth0", "0107A8C0")), None);
        assert_eq!(network_of("eth0"), None);
    }

    #[test]
    fn only_lasting_ipv6_addresses_that_others_can_use_count() {
        let line = |scope: &str, flags: &str, interface: &str| {
            ipv6_of(&format!("fd770000000000000000000000000001 02 40 {scope} {flags} {interface}"))
        };
        assert_eq!(line("00", "80", "eth0"), "fd77::1".parse().ok());
        assert_eq!(line("20", "80", "eth0"), None, "link-local");
        assert_eq!(line("00", "01", "eth0"), None, "temporary");
        assert_eq!(line("00", "80", "docker0"), None);
        assert_eq!(ipv6_of("rubbish"), None);
    }

    #[test]
    fn own_addresses_are_no_loopback() {
        assert!(own_addresses().iter().all(|address| !address.is_loopback()));
    }
}
