//! Encodes and decodes the packets of discovery: a query for the service, and an answer with a node's addresses as
//! `dnsaddr=` texts. Pure. Decoded packets are untrusted.

use libp2p::Multiaddr;

/// `_p2p._udp.local`, as encoded in a packet.
const SERVICE: &[u8] = b"\x04_p2p\x04_udp\x05local\x00";
const PTR: u16 = 12;
const TXT: u16 = 16;
const IN: u16 = 1;
/// Time to live of an answer, in seconds.
const TTL_S: u32 = 60;
/// Most texts in one packet: with 255 bytes each, it passes any network in few fragments.
const TEXTS_MAX: usize = 8;
/// Most records that are decoded of one packet, and most addresses that are taken from it.
const RECORDS_MAX: usize = 64;
const ADDRESSES_MAX: usize = 32;
/// Most jumps within one name; more are a cycle.
const JUMPS_MAX: usize = 8;
const PREFIX: &[u8] = b"dnsaddr=";

/// A decoded packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet {
    /// A query for nodes.
    Query,
    /// Addresses of nodes, each with the node's id.
    Answer(Vec<Multiaddr>),
}

/// The packet that asks.
pub(super) fn query() -> Vec<u8> {
    let mut packet = header(0, 1, 0, 0);
    packet.extend_from_slice(SERVICE);
    push_u16(&mut packet, PTR);
    push_u16(&mut packet, IN);
    packet
}

/// The packets of an answer; none if there are no addresses.
pub(super) fn answers(addresses: &[Multiaddr]) -> Vec<Vec<u8>> {
    let texts: Vec<Vec<u8>> = addresses
        .iter()
        .map(|address| [PREFIX, address.to_string().as_bytes()].concat())
        .filter(|text| text.len() <= 255)
        .collect();
    texts.chunks(TEXTS_MAX).map(answer).collect()
}

fn answer(texts: &[Vec<u8>]) -> Vec<u8> {
    // The name has no meaning: the ids are in the texts.
    let name = [&[32; 1][..], &[b'w'; 32], &[0]].concat();
    let mut packet = header(0x8400, 0, 1, texts.len());
    packet.extend_from_slice(SERVICE);
    push_record(&mut packet, PTR, &name);
    for text in texts {
        packet.extend_from_slice(&name);
        let length = u8::try_from(text.len()).expect("longer ones were left out");
        push_record(&mut packet, TXT, &[&[length], text.as_slice()].concat());
    }
    packet
}

fn header(flags: u16, questions: u16, answers: u16, additional: usize) -> Vec<u8> {
    let additional = u16::try_from(additional).expect("a few");
    let mut packet = Vec::with_capacity(512);
    [0, flags, questions, answers, 0, additional].into_iter().for_each(|word| push_u16(&mut packet, word));
    packet
}

fn push_record(packet: &mut Vec<u8>, kind: u16, data: &[u8]) {
    push_u16(packet, kind);
    push_u16(packet, IN);
    packet.extend_from_slice(&TTL_S.to_be_bytes());
    push_u16(packet, u16::try_from(data.len()).expect("a name or a text"));
    packet.extend_from_slice(data);
}

fn push_u16(packet: &mut Vec<u8>, word: u16) {
    packet.extend_from_slice(&word.to_be_bytes());
}

/// Decodes a packet; `None` if it is malformed or irrelevant.
pub(super) fn parse(packet: &[u8]) -> Option<Packet> {
    let mut reader = Reader { packet, at: 2 };
    let (flags, questions) = (reader.u16()?, usize::from(reader.u16()?));
    let records = usize::from(reader.u16()?) + usize::from(reader.u16()?) + usize::from(reader.u16()?);
    if flags & 0x8000 == 0 {
        for _ in 0..questions.min(RECORDS_MAX) {
            let asked = reader.name()?.eq_ignore_ascii_case(SERVICE);
            reader.skip(4)?;
            if asked {
                return Some(Packet::Query);
            }
        }
        return None;
    }
    if questions != 0 {
        return None;
    }
    let mut addresses = Vec::new();
    for _ in 0..records.min(RECORDS_MAX) {
        let Some((kind, data)) = reader.record() else { break };
        if kind == TXT {
            texts(data).filter_map(address).for_each(|address| addresses.push(address));
        }
    }
    addresses.truncate(ADDRESSES_MAX);
    (!addresses.is_empty()).then_some(Packet::Answer(addresses))
}

fn texts(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = data.split_first()?;
        let (text, rest) = rest.split_at_checked(usize::from(*length))?;
        data = rest;
        Some(text)
    })
}

fn address(text: &[u8]) -> Option<Multiaddr> {
    std::str::from_utf8(text.strip_prefix(PREFIX)?).ok()?.parse().ok()
}

struct Reader<'a> {
    packet: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn skip(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(bytes)?;
        let skipped = self.packet.get(self.at..end)?;
        self.at = end;
        Some(skipped)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.skip(2)?.try_into().ok()?))
    }

    /// Decodes a name, following its jumps; the reader is behind it afterwards.
    fn name(&mut self) -> Option<Vec<u8>> {
        let (mut name, mut at, mut behind) = (Vec::new(), self.at, None);
        for _ in 0..=JUMPS_MAX {
            loop {
                let length = *self.packet.get(at)?;
                if length & 0xc0 == 0xc0 {
                    let low = *self.packet.get(at + 1)?;
                    behind = behind.or(Some(at + 2));
                    at = usize::from(length & 0x3f) << 8 | usize::from(low);
                    break;
                }
                let end = at + 1 + usize::from(length);
                name.extend_from_slice(self.packet.get(at..end)?);
                if length > 63 || name.len() > 255 {
                    return None;
                }
                at = end;
                if length == 0 {
                    self.at = behind.unwrap_or(at);
                    return Some(name);
                }
            }
        }
        None
    }

    fn record(&mut self) -> Option<(u16, &'a [u8])> {
        self.name()?;
        let kind = self.u16()?;
        self.skip(2 + 4)?;
        let length = self.u16()?;
        Some((kind, self.skip(usize::from(length))?))
    }
}

#[cfg(test)]
mod tests {
    use libp2p::multiaddr::Protocol;
    use proptest::prelude::*;

    use super::*;

    fn addresses(count: u16) -> Vec<Multiaddr> {
        let peer = libp2p::PeerId::random();
        let at = |port| crate::address::multiaddr_of(([192, 0, 2, 1], port).into());
        (0..count).map(|port| at(port).with(Protocol::P2p(peer))).collect()
    }

    #[test]
    fn a_query_and_its_answers_are_understood() {
        assert_eq!(parse(&query()), Some(Packet::Query));
        let said = addresses(20);
        let packets = answers(&said);
        assert!(packets.iter().all(|packet| packet.len() < 1400), "each passes in one piece");
        let mut heard = Vec::new();
        for packet in packets {
            let Some(Packet::Answer(some)) = parse(&packet) else { panic!("an answer") };
            heard.extend(some);
        }
        assert_eq!(heard, said);
        assert!(answers(&[]).is_empty());
    }

    #[test]
    fn a_compressed_name_is_the_same_name() {
        // The service's name at 12, a question that points at it.
        let mut packet = header(0, 2, 0, 0);
        packet.extend_from_slice(b"\x04_p2p\x04_udp\x06elsewh\x00");
        packet.extend_from_slice(&[0, 12, 0, 1]);
        packet.extend_from_slice(b"\x04_p2p\x04_udp\x05local\x00");
        packet.extend_from_slice(&[0, 12, 0, 1]);
        assert_eq!(parse(&packet), Some(Packet::Query));
    }

    #[test]
    fn a_name_that_goes_in_circles_ends() {
        let mut packet = header(0, 1, 0, 0);
        packet.extend_from_slice(&[0xc0, 12, 0, 12, 0, 1]);
        assert_eq!(parse(&packet), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_packet_or_none(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            drop(parse(&bytes));
        }

        #[test]
        fn a_mangled_answer_is_bounded(at in 0usize..600, byte in any::<u8>()) {
            let mut packet = answers(&addresses(8)).remove(0);
            if let Some(place) = packet.get_mut(at) {
                *place = byte;
            }
            if let Some(Packet::Answer(heard)) = parse(&packet) {
                prop_assert!(heard.len() <= ADDRESSES_MAX);
            }
        }
    }
}
