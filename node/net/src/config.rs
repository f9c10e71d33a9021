//! Settings of the mesh adapter, and errors in them. Addresses are parsed here, once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

use crate::address::{multiaddr_of, socket_of};
use crate::zone;

/// The port that is tried first if none is configured.
pub const DEFAULT_PORT: u16 = 7117;
/// Longest name of a host, in bytes, as DNS has it.
const HOST_NAME_BYTES_MAX: usize = 253;

/// Settings of the mesh adapter.
#[derive(Clone)]
pub struct NetConfig {
    /// The node's ed25519 secret.
    pub identity: [u8; 32],
    /// Nonce of this start of the node; not 0, which peers refuse.
    pub boot: u64,
    /// Nodes that may connect.
    pub admission: Admission,
    /// Addresses to listen on, each a multiaddr or `ip:port`; port 0 chooses a free one. If empty, [`DEFAULT_PORT`] on
    /// all interfaces of both families (on loopback without a key), or any port if that is taken.
    pub listen: Vec<String>,
    /// Peers to connect to, each a multiaddr, `ip:port` or `host:port`; retried for ever, and a name is looked up
    /// again each time.
    pub peers: Vec<String>,
    /// Whether to look for peers by multicast DNS. Never done when admission is [`Admission::Loopback`].
    pub mdns: bool,
    /// File in which peers are saved; `None` saves none.
    pub peers_file: Option<PathBuf>,
}

impl std::fmt::Debug for NetConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { identity: _, boot, admission, listen, peers, mdns, peers_file } = self;
        f.debug_struct("NetConfig")
            .field("boot", boot)
            .field("admission", admission)
            .field("listen", listen)
            .field("peers", peers)
            .field("mdns", mdns)
            .field("peers_file", peers_file)
            .finish_non_exhaustive()
    }
}

/// Nodes that may connect.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// No key: only nodes on this machine; listens on loopback only.
    Loopback,
    /// Nodes that prove that they have this mesh key.
    Key([u8; 32]),
    /// Every node that can reach this one.
    Open,
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Loopback => "Loopback",
            Self::Key(_) => "Key(..)",
            Self::Open => "Open",
        })
    }
}

/// Why the adapter can't start. Nothing keeps running.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// An address is invalid.
    #[error(
        "{text:?} is no address; write ip:port (192.0.2.7:7117), host:port (anna.lan:7117) or a multiaddr \
         (/ip4/192.0.2.7/tcp/7117)"
    )]
    Address {
        /// The configured text.
        text: String,
    },
    /// Without a mesh key a node talks to its own machine only.
    #[error(
        "{address} is not on this machine, and without a mesh key only 127.0.0.1 is allowed; \
         make or join a mesh (weft init, weft join TICKET), or say --open"
    )]
    NotLoopback {
        /// The address.
        address: String,
    },
    /// A link-local address needs an interface.
    #[error("{text} is link-local, an address of one network only: {advice}")]
    LinkLocal {
        /// The configured text.
        text: String,
        /// What to configure instead.
        advice: &'static str,
    },
    /// Listening on the address failed.
    #[error("cannot listen on {address}: {cause}; {advice}")]
    Listen {
        /// The address.
        address: String,
        /// The operating system's error.
        cause: String,
        /// What to do.
        advice: String,
    },
    /// The adapter could not be built.
    #[error("cannot set up the network: {0}")]
    SetUp(String),
}

/// The addresses to listen on: the parsed list, or the default for this admission.
pub(crate) fn listen_addresses(config: &NetConfig) -> Result<Vec<SocketAddr>, NetError> {
    let ip = match config.admission {
        Admission::Loopback => Ipv4Addr::LOCALHOST,
        Admission::Key(_) | Admission::Open => Ipv4Addr::UNSPECIFIED,
    };
    if config.listen.is_empty() {
        let mut ips = vec![IpAddr::V4(ip)];
        if config.admission != Admission::Loopback && has_ipv6() {
            ips.push(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        }
        let free = ips.iter().all(|ip| is_free(SocketAddr::new(*ip, DEFAULT_PORT)).is_ok());
        let port = if free { DEFAULT_PORT } else { 0 };
        return Ok(ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect());
    }
    let mut addresses = Vec::with_capacity(config.listen.len());
    for text in &config.listen {
        let address =
            parse(text).and_then(|a| socket_of(&a)).ok_or(NetError::Address { text: text.clone() })?;
        check_loopback(config.admission, address)?;
        if zone::is_link_local(address.ip()) {
            return Err(NetError::LinkLocal { text: text.clone(), advice: zone::LISTEN_ADVICE });
        }
        let every = address.ip() == Ipv6Addr::UNSPECIFIED;
        if every && config.listen.len() > 1 && !has_ipv6() {
            tracing::info!("this machine's system has no IPv6: not listening on {address}");
            continue;
        }
        is_free(address).map_err(|error| cannot_listen(address, &error))?;
        addresses.push(address);
    }
    Ok(addresses)
}

/// The error for a failed listen, with advice.
pub(crate) fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> NetError {
    let advice = if error.kind() == std::io::ErrorKind::AddrNotAvailable {
        format!(
            "this machine has no such address; it has {}: give one of them to --listen, or {} for all",
            crate::interfaces::own_addresses(),
            if address.is_ipv4() { "0.0.0.0" } else { "[::]" },
        )
    } else if error.kind() == std::io::ErrorKind::PermissionDenied {
        String::from("ports below 1024 are for root: choose a higher one with --listen, or 0 for any")
    } else {
        String::from("choose another port with --listen, or 0 for any")
    };
    NetError::Listen { address: address.to_string(), cause: error.to_string(), advice }
}

/// The peers to connect to, parsed.
pub(crate) fn peer_addresses(config: &NetConfig) -> Result<Vec<Multiaddr>, NetError> {
    let mut addresses = Vec::with_capacity(config.peers.len());
    for text in &config.peers {
        let address = parse(text).ok_or(NetError::Address { text: text.clone() })?;
        match socket_of(&address) {
            Some(socket) => {
                check_loopback(config.admission, socket)?;
                if zone::is_link_local(socket.ip()) && zone::of(&address).is_none() {
                    return Err(NetError::LinkLocal { text: text.clone(), advice: zone::DIAL_ADVICE });
                }
            }
            // A name is resolved and checked at each attempt.
            None if name_of(&address).is_some() => {}
            None => return Err(NetError::Address { text: text.clone() }),
        }
        addresses.push(address);
    }
    Ok(addresses)
}

fn check_loopback(admission: Admission, address: SocketAddr) -> Result<(), NetError> {
    if admission == Admission::Loopback && !address.ip().is_loopback() {
        return Err(NetError::NotLoopback { address: address.to_string() });
    }
    Ok(())
}

/// libp2p shares a port with other processes that share it, so a second node would start and receive half of the
/// connections. An ordinary bind detects that.
fn is_free(address: SocketAddr) -> std::io::Result<()> {
    // As the transport binds: IPv6 only, for IPv4 has a listener of its own.
    let kind = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(kind, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(1)
}

/// Whether this operating system supports IPv6; it may still have no address of it.
fn has_ipv6() -> bool {
    is_free(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))).is_ok()
}

/// An address from text, `ip:port`, `host:port` or multiaddr; `[fe80::1%eth0]:7117` is one with a zone.
pub(crate) fn parse(text: &str) -> Option<Multiaddr> {
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Some(multiaddr_of(socket));
    }
    let named = |(host, port): (&str, &str)| {
        let port: u16 = port.parse().ok()?;
        is_host_name(host)
            .then(|| Multiaddr::empty().with(Protocol::Dns(host.into())).with(Protocol::Tcp(port)))
    };
    zone::parse(text).or_else(|| text.parse().ok()).or_else(|| text.rsplit_once(':').and_then(named))
}

/// Whether a text can be the name of a host: at most 253 letters, digits, hyphens and dots, with a letter among them, so
/// that a mistyped IP is none.
#[must_use]
pub fn is_host_name(text: &str) -> bool {
    let sound = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    (1..=HOST_NAME_BYTES_MAX).contains(&text.len())
        && text.chars().all(sound)
        && text.chars().any(|letter| letter.is_ascii_alphabetic())
        && !text.starts_with(['-', '.'])
}

/// Host name and port of a TCP multiaddr that begins with a name, whatever follows.
pub(crate) fn name_of(address: &Multiaddr) -> Option<(String, u16)> {
    let mut parts = address.iter();
    #[expect(clippy::wildcard_enum_match_arm, reason = "libp2p's enum: what is not named is no host name")]
    let name = match parts.next()? {
        Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) => name.into_owned(),
        _ => return None,
    };
    let Protocol::Tcp(port) = parts.next()? else { return None };
    is_host_name(&name).then_some((name, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(admission: Admission, listen: &[&str], peers: &[&str]) -> NetConfig {
        NetConfig {
            identity: [1; 32],
            boot: 1,
            admission,
            listen: listen.iter().map(ToString::to_string).collect(),
            peers: peers.iter().map(ToString::to_string).collect(),
            mdns: false,
            peers_file: None,
        }
    }

    #[test]
    fn both_spellings_name_one_address() {
        assert_eq!(parse("192.0.2.7:7117"), parse("/ip4/192.0.2.7/tcp/7117"));
        assert_eq!(parse("[::1]:7"), parse("/ip6/::1/tcp/7"));
        assert_eq!(parse("rubbish"), None);
    }

    #[test]
    fn a_link_local_address_needs_its_interface() {
        let open = |listen: &[&str], peers: &[&str]| config(Admission::Open, listen, peers);
        let good = open(&[], &["[fe80::1%eth0]:7117", "/ip6zone/eth0/ip6/fe80::1/tcp/7117"]);
        let parsed = peer_addresses(&good).unwrap();
        assert_eq!(parsed[0], parsed[1]);
        let error = peer_addresses(&open(&[], &["[fe80::1]:7117"])).unwrap_err();
        assert!(error.to_string().contains("[fe80::1%eth0]:7117"), "{error}");
        let error = listen_addresses(&open(&["[fe80::1%eth0]:7117"], &[])).unwrap_err();
        assert!(error.to_string().contains("[::]:7117"), "{error}");
    }

    #[test]
    fn without_a_key_only_this_machine_is_allowed() {
        let strange = config(Admission::Loopback, &["0.0.0.0:0"], &[]);
        assert!(matches!(listen_addresses(&strange), Err(NetError::NotLoopback { .. })));
        let strange = config(Admission::Loopback, &[], &["192.0.2.7:7117"]);
        assert!(matches!(peer_addresses(&strange), Err(NetError::NotLoopback { .. })));
        let local = config(Admission::Loopback, &[], &[]);
        assert!(listen_addresses(&local).unwrap().iter().all(|a| a.ip().is_loopback()));
    }

    #[test]
    fn what_is_no_address_is_named() {
        let error = peer_addresses(&config(Admission::Open, &[], &["host"])).unwrap_err();
        assert!(error.to_string().contains("\"host\""), "{error}");
        let error = peer_addresses(&config(Admission::Open, &[], &["/ip4/1.2.3.4/udp/5"])).unwrap_err();
        assert!(matches!(error, NetError::Address { .. }));
    }

    #[test]
    fn a_host_name_is_an_address_of_a_peer_and_none_to_listen_on() {
        assert_eq!(parse("anna.lan:7117"), "/dns/anna.lan/tcp/7117".parse().ok());
        assert_eq!(name_of(&parse("anna:7").unwrap()), Some(("anna".into(), 7)));
        assert_eq!(parse("192.0.2.999:7117"), None, "a mistyped IP");
        assert_eq!(parse("anna.lan"), None, "no port");
        let peers = peer_addresses(&config(Admission::Loopback, &[], &["localhost:7117"])).unwrap();
        assert_eq!(peers.len(), 1);
        assert!(listen_addresses(&config(Admission::Open, &["anna.lan:7117"], &[])).is_err());
    }

    #[test]
    fn an_address_that_this_machine_does_not_have_is_answered_with_those_that_it_has() {
        let error = listen_addresses(&config(Admission::Open, &["192.0.2.7:7117"], &[])).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("no such address") && text.contains("127.0.0.1"), "{text}");
    }

    #[test]
    fn a_secret_is_never_shown() {
        let config = config(Admission::Key([0xab; 32]), &[], &[]);
        assert!(!format!("{config:?}").contains("171"));
    }
}
