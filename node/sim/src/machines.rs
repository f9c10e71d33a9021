//! Which hosts share a machine, and so an address; most have their own. The owner of a machine that holds the mesh key
//! can run any number of colluding members on it, some reached over IPv4, the others over IPv6.

use std::collections::BTreeSet;

use weft_core::{Host, PeerId, Verified};

use crate::chance::Chance;
use crate::host::{HostId, HostSpec};
use crate::invariants::{Scene, ends, ensure};
use crate::reference::End;
use crate::world::World;

/// The number of the machine of the colluding liars.
const LEAGUE: u8 = 200;
/// The machine of an owner that has mates.
const MATES: u8 = 100;

/// In some swarms hosts share machines, and in some a group of colluding liars does, which all report the same false
/// results. The liars are added hosts, so that the others stay the same.
pub(crate) fn draw(seed: u64, hosts: &mut Vec<HostSpec>) {
    let chance = &mut Chance::new(seed, "machines");
    let shared_permille = [0, 0, 0, 500][chance.index(4)];
    for host in hosts.iter_mut() {
        let machine = chance.index(3);
        host.machine = chance.permille(shared_permille).then(|| u8::try_from(machine).unwrap_or(0));
    }
    if chance.permille(150) {
        let league = HostSpec { machine: Some(LEAGUE), ..HostSpec::slots(chance.small(1, 3)).lies(1000) };
        hosts.extend(std::iter::repeat_n(league, chance.index(4) + 2));
    }
    draw_mates(&mut Chance::new(seed, "mates"), hosts);
    draw_families(&mut Chance::new(seed, "families"), hosts);
}

/// In some swarms further hosts are on the machine of a host with users: all of them together have one vote.
fn draw_mates(chance: &mut Chance, hosts: &mut Vec<HostSpec>) {
    if !chance.permille(200) {
        return;
    }
    let owner = chance.index(hosts.len());
    let machine = *hosts[owner].machine.get_or_insert(MATES);
    let mate = HostSpec::slots(chance.small(1, 3)).on(machine);
    hosts.extend(std::iter::repeat_n(mate, chance.index(2) + 1));
}

/// In half of the swarms all hosts are reached over IPv6, in a quarter over IPv4, in the others each over one of the two,
/// independent of its machine.
fn draw_families(chance: &mut Chance, hosts: &mut [HostSpec]) {
    let ipv4_permille = [0, 0, 600, 1000][chance.index(4)];
    hosts.iter_mut().for_each(|host| host.over_ipv4 = chance.permille(ipv4_permille));
}

/// The number of honest votes that an owner can count on: machines with no liar and with one of these hosts that votes.
pub(crate) fn honest<'a>(
    owner: usize,
    fitting: impl Iterator<Item = (usize, &'a HostSpec)>,
    all: &[HostSpec],
) -> usize {
    let own = all.get(owner).map(|host| key((owner, host)));
    let elsewhere = |host: &(usize, &HostSpec)| Some(key(*host)) != own;
    let any_ipv4 = all.iter().enumerate().filter(elsewhere).any(|(_, host)| host.over_ipv4);
    let votes = |host: &(usize, &HostSpec)| !elsewhere(host) || host.1.over_ipv4 == any_ipv4;
    let liars: BTreeSet<u64> =
        all.iter().enumerate().filter(|(_, host)| host.lies_permille > 0).map(key).collect();
    let machines: BTreeSet<u64> =
        fitting.filter(votes).map(key).filter(|machine| !liars.contains(machine)).collect();
    machines.len()
}

/// A machine by number: a shared one, or the host's own.
pub(crate) fn key((place, host): (usize, &HostSpec)) -> u64 {
    host.machine.map_or(1000 + place as u64, u64::from)
}

impl World {
    /// The address of `other`, as `host` sees it.
    pub(crate) fn place_of(&self, host: HostId, other: HostId) -> Host {
        let machine = |id: HostId| key((id.0, &self.hosts[id.0].spec));
        if machine(host) == machine(other) {
            return Host::Here;
        }
        let number = machine(other).to_be_bytes();
        let mut address = [0; 16];
        if self.hosts[other.0].spec.over_ipv4 {
            address[10..12].fill(0xff);
            address[12..].copy_from_slice(&number[4..]);
        } else {
            address[0] = 0xfd;
            address[1..8].copy_from_slice(&number[1..]);
        }
        Host::At(address)
    }
}

/// A machine has one vote, for any number of members and of ways to reach it. On the owner's own machine more members
/// may vote while the owner is connected to no other machine.
pub(crate) fn invariant_a_host_address_has_one_vote(scene: &Scene<'_>) -> Result<(), String> {
    let machine = |peer: &PeerId| scene.reference.machines.get(peer).copied();
    let alone = scene.host.places.values().all(|place| *place == Host::Here);
    for End { job, index, verified, .. } in ends(scene) {
        let Some(Verified { agreed, differed }) = verified else { continue };
        let mut voted = BTreeSet::new();
        for worker in agreed.iter().chain(differed) {
            let exempt = alone && machine(worker) == machine(&scene.host.peer);
            ensure(exempt || voted.insert(machine(worker)), || {
                format!("a machine votes twice about {job:?} task {index}: {verified:?}")
            })?;
        }
    }
    Ok(())
}
