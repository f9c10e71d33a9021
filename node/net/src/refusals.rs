//! Limits reports of refused nodes: one a minute for one address and reason, and one an hour for a whole foreign mesh,
//! which may have as many nodes as this one. Nodes of this mesh whose version is too far away are remembered while they try.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

const QUIET: Duration = Duration::from_secs(60);
/// Most addresses that are distinguished; beyond it nothing is reported until old ones expire.
const KEPT_MAX: usize = 256;
const QUIET_MESH: Duration = Duration::from_secs(3600);
/// Most foreign meshes that are distinguished; beyond it they are not reported until old ones expire.
const MESHES_MAX: usize = 16;

/// Most addresses of nodes whose version is too far away; further ones are not reported.
const APART_MAX: usize = 16;
/// A node whose version was too far away is gone, or was upgraded, when it has not tried for this long: longer than the
/// longest pause between two tries.
const APART_QUIET: Duration = Duration::from_secs(150);

#[derive(Default)]
pub(crate) struct Refusals {
    told: BTreeMap<(Option<IpAddr>, String), Instant>,
    meshes: BTreeMap<u32, Instant>,
    /// When a node of this mesh was last refused for its version.
    apart: BTreeMap<IpAddr, Instant>,
}

impl Refusals {
    /// Whether to report this refusal. The IP only counts, for a dialler's port is new each time.
    pub(crate) fn is_news(&mut self, ip: Option<IpAddr>, reason: &str, now: Instant) -> bool {
        self.told.retain(|_, at| now - *at < QUIET);
        let key = (ip, String::from(reason));
        if self.told.contains_key(&key) || self.told.len() >= KEPT_MAX {
            return false;
        }
        self.told.insert(key, now);
        true
    }

    /// Whether to report that a node of this mesh was refused for its version: once, until it has not tried for long.
    pub(crate) fn is_newly_apart(&mut self, ip: IpAddr, now: Instant) -> bool {
        let has_room = self.apart.len() < APART_MAX || self.apart.contains_key(&ip);
        has_room && self.apart.insert(ip, now).is_none()
    }

    /// Takes the addresses from which no such node has tried for long.
    pub(crate) fn no_longer_apart(&mut self, now: Instant) -> Vec<IpAddr> {
        self.apart.extract_if(.., |_, at| now - *at >= APART_QUIET).map(|(ip, _)| ip).collect()
    }

    /// Whether to report a node of this foreign mesh.
    pub(crate) fn is_new_mesh(&mut self, mesh: u32, now: Instant) -> bool {
        self.meshes.retain(|_, at| now - *at < QUIET_MESH);
        if self.meshes.contains_key(&mesh) || self.meshes.len() >= MESHES_MAX {
            return false;
        }
        self.meshes.insert(mesh, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_minute_for_one_reason() {
        let mut refusals = Refusals::default();
        let (now, ip) = (Instant::now(), Some(IpAddr::from([127, 0, 0, 1])));
        assert!(refusals.is_news(ip, "key", now));
        assert!(!refusals.is_news(ip, "key", now));
        assert!(refusals.is_news(ip, "version", now));
        assert!(refusals.is_news(ip, "key", now + QUIET));
    }

    #[test]
    fn one_an_hour_for_a_foreign_mesh_and_a_bounded_number_of_them() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        assert!(refusals.is_new_mesh(1, now));
        assert!(!refusals.is_new_mesh(1, now + QUIET_MESH / 2));
        assert!(refusals.is_new_mesh(1, now + QUIET_MESH));
        let told = (0..1000).filter(|mesh| refusals.is_new_mesh(*mesh, now + QUIET_MESH)).count();
        assert_eq!(told, MESHES_MAX - 1);
    }

    #[test]
    fn nodes_of_far_versions_are_remembered_while_they_try_and_are_bounded() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        let ip = |last: u8| IpAddr::from([192, 0, 2, last]);
        assert_eq!((0..=255).filter(|last| refusals.is_newly_apart(ip(*last), now)).count(), APART_MAX);
        assert!(!refusals.is_newly_apart(ip(1), now + APART_QUIET / 2));
        assert_eq!(refusals.no_longer_apart(now + APART_QUIET).len(), APART_MAX - 1);
        assert_eq!(refusals.no_longer_apart(now + APART_QUIET * 3 / 2), [ip(1)]);
    }

    #[test]
    fn many_outsiders_are_bounded() {
        let mut refusals = Refusals::default();
        let now = Instant::now();
        for i in 0..1000u32 {
            refusals.is_news(Some(IpAddr::from(i.to_be_bytes())), "key", now);
        }
        assert_eq!(refusals.told.len(), KEPT_MAX);
    }
}
