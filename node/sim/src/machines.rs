//! Which hosts are on one machine, as their addresses tell: mostly each has its own. A machine whose owner holds the mesh
//! key can be as many members as it likes, all in league.

use std::collections::BTreeSet;

use weft_core::{Host, PeerId, Verified};

use crate::chance::Chance;
use crate::host::{HostId, HostSpec};
use crate::invariants::{Scene, ends, ensure};
use crate::reference::End;
use crate::world::World;

/// The machine of the league, by number.
const LEAGUE: u8 = 200;

/// In some swarms hosts share machines, and in some a league of liars does, who tell the same lies: further hosts, so
/// that the others are what they were.
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
}

/// How many machines have an honest host of these and no liar at all: so many votes may be counted on.
pub(crate) fn honest<'a>(fitting: impl Iterator<Item = (usize, &'a HostSpec)>, all: &[HostSpec]) -> usize {
    let liars: BTreeSet<u64> =
        all.iter().enumerate().filter(|(_, host)| host.lies_permille > 0).map(key).collect();
    let machines: BTreeSet<u64> = fitting.map(key).filter(|machine| !liars.contains(machine)).collect();
    machines.len()
}

/// A machine by number: a shared one, or the host's own.
pub(crate) fn key((place, host): (usize, &HostSpec)) -> u64 {
    host.machine.map_or(1000 + place as u64, u64::from)
}

impl World {
    /// Where `other` is, as `host` sees it.
    pub(crate) fn place_of(&self, host: HostId, other: HostId) -> Host {
        let machine = |id: HostId| key((id.0, &self.hosts[id.0].spec));
        if machine(host) == machine(other) {
            return Host::Here;
        }
        let mut address = [0; 16];
        address[8..].copy_from_slice(&machine(other).to_be_bytes());
        Host::At(address)
    }
}

/// However many members a machine is, one of them votes. On the owner's own machine more may, while there is no other.
pub(crate) fn invariant_a_host_address_has_one_vote(scene: &Scene<'_>) -> Result<(), String> {
    let machine = |peer: &PeerId| scene.reference.machines.get(peer).copied();
    for End { job, index, verified, .. } in ends(scene) {
        let Some(Verified { agreed, differed }) = verified else { continue };
        let mut voted = BTreeSet::new();
        for worker in agreed.iter().chain(differed) {
            let own = machine(worker) == machine(&scene.host.peer);
            ensure(own || voted.insert(machine(worker)), || {
                format!("a machine votes twice about {job:?} task {index}: {verified:?}")
            })?;
        }
    }
    Ok(())
}
