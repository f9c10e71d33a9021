//! Keeps an outsider that knocks all day from filling the node's ears: one report a minute for one address and reason.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

const QUIET: Duration = Duration::from_secs(60);
/// Addresses that are kept apart; beyond it nothing is reported until old ones lapse.
const KEPT_MAX: usize = 256;

#[derive(Default)]
pub(crate) struct Refusals {
    told: BTreeMap<(Option<IpAddr>, String), Instant>,
}

impl Refusals {
    /// Whether this one is news. A dialler's port is new each time, so the IP alone counts.
    pub(crate) fn is_news(&mut self, ip: Option<IpAddr>, reason: &str, now: Instant) -> bool {
        self.told.retain(|_, at| now - *at < QUIET);
        let key = (ip, String::from(reason));
        if self.told.contains_key(&key) || self.told.len() >= KEPT_MAX {
            return false;
        }
        self.told.insert(key, now);
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
    fn many_outsiders_are_bounded() {
        let mut refusals = Refusals::default();
        let now = Instant::now();
        for i in 0..1000u32 {
            refusals.is_news(Some(IpAddr::from(i.to_be_bytes())), "key", now);
        }
        assert_eq!(refusals.told.len(), KEPT_MAX);
    }
}
