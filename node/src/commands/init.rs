//! `weft init`: makes a mesh's key, and tells the ticket that lets others in.

use std::io;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::Path;

use weft_node::settings;
use weft_node::ticket::Ticket;

use super::Problem;
use super::reach::{Reach, reach};
use crate::cli::InitArgs;
use crate::render::{print, print_json, say};

const SECRET: &str = "the ticket is a secret: whoever holds it can run tasks on every machine of the mesh";

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
        say(&format!(
            "made a mesh key in {}; a node that runs there takes it up when it is started again",
            data_dir.display()
        ));
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
    // An address in 192.0.2.0/24 is nobody's: it stands for "anywhere", by the default route.
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

/// A host's address in the network of a route; `None` for routes through gateways, tunnels and containers.
fn network_of(line: &str) -> Option<Ipv4Addr> {
    const VIRTUAL: [&str; 9] = ["lo", "docker", "br-", "veth", "virbr", "tun", "tap", "wg", "tailscale"];
    let mut words = line.split_whitespace();
    let interface = words.next()?;
    // The kernel writes addresses as they lie in memory.
    let destination = u32::from_str_radix(words.next()?, 16).ok()?.to_ne_bytes();
    let gateway = words.next()?;
    let is_virtual = VIRTUAL.iter().any(|prefix| interface.starts_with(prefix));
    let network = u32::from_be_bytes(destination);
    (!is_virtual && gateway == "00000000" && network != 0).then(|| Ipv4Addr::from(network | 1))
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
    fn own_addresses_are_no_loopback() {
        assert!(own_addresses().iter().all(|address| !address.is_loopback()));
    }
}
