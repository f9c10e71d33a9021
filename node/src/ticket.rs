//! Tickets: one line of text that lets a machine into a mesh. It holds the mesh's key and where to find members, so
//! it is a secret. Text only; `weft init` and `weft join` read and write the files.
//!
//! `weft1`, then lowercase base32 of: key (32 bytes), number of addresses (1 byte), each address (a byte 4 or 6 and the
//! IP, or a byte 1, a host name's length and the name; then the TCP port, big-endian), and the first four bytes of a
//! BLAKE3 hash over all that. A ticket with one mistyped letter is refused.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::LazyLock;

use data_encoding::{Encoding, Specification};

use crate::settings::Place;

/// What every ticket of this version begins with.
pub const PREFIX: &str = "weft1";
/// Most addresses in one ticket.
pub const ADDRESSES_MAX: usize = 16;

const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz234567";
const CHECKSUM_BYTES: usize = 4;
/// Longest ticket in letters: above what [`ADDRESSES_MAX`] host names of 253 bytes need.
pub const TEXT_MAX: usize = 8192;
/// The kind of an address that is a host name.
const KIND_HOST: u8 = 1;

/// What a ticket says.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The mesh's secret.
    pub mesh_key: [u8; 32],
    /// Where members listen; at most [`ADDRESSES_MAX`] are written.
    pub addresses: Vec<Place>,
}

/// The key is left out.
impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = self.multiaddrs().join(", ");
        f.debug_struct("Ticket").field("addresses", &format_args!("[{addresses}]")).finish_non_exhaustive()
    }
}

/// Why a text is not a ticket; each says what is wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// It does not begin like one.
    #[error("not a ticket: a ticket begins with `weft1`; copy the whole line that `weft init --show` prints")]
    Prefix,
    /// A letter that no ticket has.
    #[error(
        "the ticket has a typo: `{letter}` at place {place} is not a letter of a ticket (a-z, 2-7); copy it again from \
         `weft init --show`"
    )]
    Letter {
        /// The letter.
        letter: char,
        /// Its place, from 1.
        place: usize,
    },
    /// It is far too long.
    #[error(
        "not a ticket: {letters} letters, at most {TEXT_MAX} make one; copy one line from `weft init --show`"
    )]
    Long {
        /// How many letters.
        letters: usize,
    },
    /// It is cut off, or letters were changed.
    #[error(
        "the ticket has a typo or is cut off: its checksum does not fit; copy the whole line again from \
         `weft init --show`"
    )]
    Checksum,
    /// The checksum fits and the content does not: another version made it.
    #[error(
        "the ticket's content is unknown: it was made by another version of weft; use the same version on both"
    )]
    Content,
}

impl Ticket {
    /// The addresses as multiaddrs.
    #[must_use]
    pub fn multiaddrs(&self) -> Vec<String> {
        self.addresses.iter().map(Place::multiaddr).collect()
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut addresses = Vec::new();
        let mut count = 0;
        for address in self.addresses.iter().take(ADDRESSES_MAX) {
            push_address(&mut addresses, address);
            count += 1;
        }
        let mut bytes = self.mesh_key.to_vec();
        bytes.push(count);
        bytes.extend_from_slice(&addresses);
        let checksum = checksum(&bytes);
        bytes.extend_from_slice(&checksum);
        write!(f, "{PREFIX}{}", BASE32.encode(&bytes))
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    fn from_str(text: &str) -> Result<Self, TicketError> {
        let text = text.trim();
        let letters = text.strip_prefix(PREFIX).ok_or(TicketError::Prefix)?;
        if letters.len() > TEXT_MAX {
            return Err(TicketError::Long { letters: letters.len() });
        }
        let bytes = decode(letters)?;
        let (content, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(TicketError::Checksum)?;
        if checksum(content) != *sum {
            return Err(TicketError::Checksum);
        }
        parse_content(content).ok_or(TicketError::Content)
    }
}

fn parse_content(content: &[u8]) -> Option<Ticket> {
    let (mesh_key, rest) = content.split_first_chunk::<32>()?;
    let (count, mut rest) = rest.split_first()?;
    if usize::from(*count) > ADDRESSES_MAX {
        return None;
    }
    let mut addresses = Vec::with_capacity(usize::from(*count));
    for _ in 0..*count {
        let (address, behind) = take_address(rest)?;
        addresses.push(address);
        rest = behind;
    }
    rest.is_empty().then_some(Ticket { mesh_key: *mesh_key, addresses })
}

fn push_address(bytes: &mut Vec<u8>, place: &Place) {
    let address = match place {
        Place::Ip(address) => address,
        Place::Host { name, port } => {
            bytes.push(KIND_HOST);
            bytes.push(u8::try_from(name.len()).expect("a host name has 253 bytes at most"));
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(&port.to_be_bytes());
            return;
        }
    };
    match address.ip() {
        IpAddr::V4(ip) => {
            bytes.push(4);
            bytes.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            bytes.push(6);
            bytes.extend_from_slice(&ip.octets());
        }
    }
    bytes.extend_from_slice(&address.port().to_be_bytes());
}

fn take_address(bytes: &[u8]) -> Option<(Place, &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    let (ip, rest) = match *kind {
        KIND_HOST => {
            let (len, rest) = rest.split_first()?;
            let (name, rest) = rest.split_at_checked(usize::from(*len))?;
            let (port, rest) = rest.split_first_chunk::<2>()?;
            // A name that can't be one is not looked up.
            let place = Place::host(std::str::from_utf8(name).ok()?, u16::from_be_bytes(*port))?;
            return Some((place, rest));
        }
        4 => {
            let (octets, rest) = rest.split_first_chunk::<4>()?;
            (IpAddr::V4(Ipv4Addr::from(*octets)), rest)
        }
        6 => {
            let (octets, rest) = rest.split_first_chunk::<16>()?;
            (IpAddr::V6(Ipv6Addr::from(*octets)), rest)
        }
        _ => return None,
    };
    let (port, rest) = rest.split_first_chunk::<2>()?;
    Some((Place::Ip(SocketAddr::new(ip, u16::from_be_bytes(*port))), rest))
}

fn checksum(content: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let hash = blake3::derive_key("weft 2026 ticket checksum v1", content);
    *hash.first_chunk().expect("a hash has 32 bytes")
}

/// Base32 in lower case without padding.
static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification = Specification::new();
    specification.symbols.push_str(LETTERS);
    specification.encoding().expect("32 distinct letters are an alphabet")
});

/// The bytes of these letters. The first wrong letter is named with its place; bits behind the last byte must be zero.
fn decode(text: &str) -> Result<Vec<u8>, TicketError> {
    if let Some((place, letter)) = text.chars().enumerate().find(|(_, letter)| !LETTERS.contains(*letter)) {
        return Err(TicketError::Letter { letter, place: PREFIX.len() + place + 1 });
    }
    BASE32.decode(text.as_bytes()).map_err(|_cut_off| TicketError::Checksum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket() -> Ticket {
        let mut mesh_key = [0u8; 32];
        for (place, byte) in mesh_key.iter_mut().enumerate() {
            *byte = u8::try_from(place * 7 % 256).unwrap();
        }
        let addresses = ["192.168.1.7:7117", "[fd00::7]:7118", "anna.lan:7119"];
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        Ticket { mesh_key, addresses }
    }

    #[test]
    fn a_ticket_survives_text() {
        let text = ticket().to_string();
        assert_eq!(text.parse(), Ok(ticket()));
        assert_eq!(format!("  {text}\n").parse(), Ok(ticket()));
        let bare = Ticket { addresses: Vec::new(), ..ticket() };
        assert_eq!(bare.to_string().parse(), Ok(bare));
        let multiaddrs = ["/ip4/192.168.1.7/tcp/7117", "/ip6/fd00::7/tcp/7118", "/dns/anna.lan/tcp/7119"];
        assert_eq!(ticket().multiaddrs(), multiaddrs);
        let longest = Place::host(&"a".repeat(253), 7117).unwrap();
        let long = Ticket { addresses: vec![longest; ADDRESSES_MAX], ..ticket() };
        assert_eq!(long.to_string().parse(), Ok(long));
    }

    #[test]
    fn letters_are_those_of_rfc_4648_in_lower_case() {
        assert_eq!(BASE32.encode(b"foobar"), "mzxw6ytboi");
    }

    #[test]
    fn every_mistyped_letter_is_refused() {
        let text = ticket().to_string();
        for place in 0..text.len() {
            for wrong in LETTERS.as_bytes().iter().chain(b"018-A ") {
                let mut bytes = text.clone().into_bytes();
                if bytes[place] == *wrong {
                    continue;
                }
                bytes[place] = *wrong;
                let typo = String::from_utf8(bytes).unwrap();
                assert!(typo.parse::<Ticket>().is_err(), "{typo}");
            }
        }
    }

    #[test]
    fn every_lost_doubled_or_swapped_letter_is_refused() {
        let text = ticket().to_string();
        for place in 0..text.len() {
            let mut lost = text.clone();
            let letter = lost.remove(place);
            assert!(lost.parse::<Ticket>().is_err(), "{lost}");
            let mut doubled = text.clone();
            doubled.insert(place, letter);
            assert!(doubled.parse::<Ticket>().is_err(), "{doubled}");
            let mut swapped = text.clone().into_bytes();
            if place > 0 && swapped[place] != swapped[place - 1] {
                swapped.swap(place, place - 1);
                assert!(String::from_utf8(swapped).unwrap().parse::<Ticket>().is_err());
            }
        }
    }

    #[test]
    fn a_wrong_text_says_what_is_wrong() {
        assert_eq!("hello".parse::<Ticket>(), Err(TicketError::Prefix));
        assert_eq!("weft1ab8".parse::<Ticket>(), Err(TicketError::Letter { letter: '8', place: 8 }));
        assert_eq!("weft1".parse::<Ticket>(), Err(TicketError::Checksum));
        let long = format!("weft1{}", "a".repeat(TEXT_MAX + 1));
        assert_eq!(long.parse::<Ticket>(), Err(TicketError::Long { letters: TEXT_MAX + 1 }));
    }

    #[test]
    fn a_fitting_checksum_over_nonsense_is_refused() {
        let mut bytes = vec![9u8; 40];
        bytes.extend_from_slice(&checksum(&bytes.clone()));
        let text = format!("{PREFIX}{}", BASE32.encode(&bytes));
        assert_eq!(text.parse::<Ticket>(), Err(TicketError::Content));
    }

    #[test]
    fn debug_output_keeps_the_secret() {
        assert_eq!(
            format!("{:?}", ticket()),
            "Ticket { addresses: [/ip4/192.168.1.7/tcp/7117, /ip6/fd00::7/tcp/7118, /dns/anna.lan/tcp/7119], .. }"
        );
    }
}
