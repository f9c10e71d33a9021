//! Faults of a swarm besides those of [`crate::fault`]: partitions of any shape, lost disks, peers that send false
//! messages, clocks that run fast or slow. The swarm draws them from its seed.

use std::time::Duration;

use crate::chance::Chance;
use crate::fault::Fault;
use crate::host::HostId;

/// Clock errors, in parts per million: none, that of a quartz crystal, and far worse than any real clock.
const CLOCKS_PPM: [i32; 8] = [0, 0, 200, -200, 20_000, -20_000, 100_000, -100_000];
/// Longest time from one partition or lost disk to the next, and longest duration of one, in milliseconds.
const EVERY_MS: u64 = 8_000;

/// The kinds of faults that a swarm has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FaultPlan {
    /// The error of each host's clock, in parts per million.
    pub(crate) clocks_ppm: Vec<i32>,
    partitions: bool,
    wipes: bool,
    /// The host that sends false messages, if any, and how many.
    liar: Option<(HostId, u64)>,
}

impl FaultPlan {
    pub(crate) fn draw(chance: &mut Chance, hosts: usize) -> Self {
        let skewed = chance.permille(400);
        let mut clock = || if skewed { CLOCKS_PPM[chance.index(CLOCKS_PPM.len())] } else { 0 };
        let clocks_ppm = (0..hosts).map(|_| clock()).collect();
        let liar = (HostId(chance.index(hosts)), chance.between(5, 200));
        Self {
            clocks_ppm,
            partitions: chance.permille(250),
            wipes: chance.permille(250),
            liar: chance.permille(300).then_some(liar),
        }
    }

    /// The faults and their times; each begins within `phase_ms`.
    pub(crate) fn plan(&self, chance: &mut Chance, hosts: usize, phase_ms: u64) -> Vec<(Duration, Fault)> {
        let mut plan = Vec::new();
        if self.partitions {
            repeat(chance, phase_ms, |chance, at, mended| plan.extend(partition(chance, hosts, at, mended)));
        }
        if self.wipes {
            repeat(chance, phase_ms, |chance, at, mended| {
                let host = HostId(chance.index(hosts));
                let told = chance.permille(500);
                plan.push((at, Fault::Kill { host, told }));
                plan.push((at, Fault::Wipe(host)));
                plan.push((mended, Fault::Restart(host)));
            });
        }
        if let Some((from, lies)) = self.liar {
            for _ in 0..lies {
                let at = Duration::from_millis(chance.below(phase_ms));
                plan.push((at, Fault::Lie { from, to: HostId(chance.index(hosts)), seed: chance.any() }));
            }
        }
        plan
    }

    pub(crate) fn line(&self) -> String {
        let Self { clocks_ppm, partitions, wipes, liar } = self;
        let liar = liar.map_or("none".into(), |(host, lies)| format!("host {} {lies} times", host.0));
        format!("clocks {clocks_ppm:?} ppm, partitions {partitions}, lost disks {wipes}, liar {liar}")
    }
}

fn repeat(chance: &mut Chance, phase_ms: u64, mut one: impl FnMut(&mut Chance, Duration, Duration)) {
    let mut at_ms = chance.between(1, EVERY_MS);
    while at_ms < phase_ms {
        let lasts_ms = chance.between(1, EVERY_MS);
        one(chance, Duration::from_millis(at_ms), Duration::from_millis(at_ms + lasts_ms));
        at_ms += chance.between(1, EVERY_MS);
    }
}

/// Cuts the links between two parts of the mesh, in one direction or both. Some hosts may belong to neither part and
/// keep all their links.
fn partition(chance: &mut Chance, hosts: usize, at: Duration, mended: Duration) -> Vec<(Duration, Fault)> {
    let both_ways = chance.permille(600);
    let bridges = chance.permille(300);
    let parts: Vec<u64> = (0..hosts).map(|_| chance.below(if bridges { 3 } else { 2 })).collect();
    let mut plan = Vec::new();
    for (from, part) in parts.iter().enumerate().filter(|(_, part)| **part == 0) {
        for (to, _) in parts.iter().enumerate().filter(|(_, other)| **other == part + 1) {
            let (from, to) = (HostId(from), HostId(to));
            plan.extend([(at, Fault::Cut { from, to }), (mended, Fault::Mend { from, to })]);
            if both_ways {
                let (from, to) = (to, from);
                plan.extend([(at, Fault::Cut { from, to }), (mended, Fault::Mend { from, to })]);
            }
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_cut_or_killed_is_mended_later() {
        for seed in 0..200 {
            let mut chance = Chance::new(seed, "cruelty");
            let fault_plan = FaultPlan::draw(&mut chance, 6);
            let mut plan = fault_plan.plan(&mut chance, 6, 20_000);
            plan.sort_by_key(|(at, _)| *at);
            for (place, (_, fault)) in plan.iter().enumerate() {
                let mended = |later: &Fault| match (*fault, *later) {
                    (Fault::Cut { from, to }, Fault::Mend { from: one, to: other }) => {
                        (from, to) == (one, other)
                    }
                    (Fault::Kill { host, .. }, Fault::Restart(other)) => host == other,
                    _ => false,
                };
                let breaks = matches!(fault, Fault::Cut { .. } | Fault::Kill { .. });
                assert!(
                    !breaks || plan[place..].iter().any(|(_, later)| mended(later)),
                    "seed {seed}: {fault:?}"
                );
            }
        }
    }
}
