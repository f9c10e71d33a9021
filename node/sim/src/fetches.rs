//! How hosts fetch blobs from each other.

use std::time::Duration;

use weft_core::{BlobId, Fetched, Input, PeerId};

use crate::host::HostId;
use crate::invariants::{Scene, Violation};
use crate::queue::Event;
use crate::reference::Fact;
use crate::world::World;

impl World {
    pub(crate) fn fetch(&mut self, id: HostId, blob: BlobId, from: Vec<PeerId>) {
        let host = &self.hosts[id.0];
        let after = if host.blobs.contains(&blob) {
            Duration::ZERO
        } else if self.holds(id, blob, &from) {
            Duration::from_micros(2 * self.fabric.weather.delay_us + self.chance.between(100, 20_000))
        } else {
            Duration::from_micros(self.chance.between(1_000, 2_000_000))
        };
        let life = self.hosts[id.0].life;
        self.queue.after(after, Event::Fetched { host: id, life, blob, from });
    }

    pub(crate) fn on_fetched(
        &mut self,
        (id, life): (HostId, u32),
        blob: BlobId,
        from: &[PeerId],
    ) -> Result<(), Violation> {
        if self.hosts[id.0].life != life {
            return Ok(());
        }
        let found = self.hosts[id.0].blobs.contains(&blob) || self.holds(id, blob, from);
        let here = self.hosts[id.0].blobs.contains(&blob);
        if found && self.hosts[id.0].is_full && !here {
            return self.tell(id, Input::Fetched { blob, fetched: Fetched::NoRoom });
        }
        if found {
            self.hosts[id.0].blobs.insert(blob);
        }
        let fetched = if found { Fetched::Here } else { Fetched::Missing };
        self.tell(id, Input::Fetched { blob, fetched })
    }

    /// Whether one of these hosts has a blob and can be asked for it now.
    fn holds(&self, asker: HostId, blob: BlobId, from: &[PeerId]) -> bool {
        let known = from.iter().filter_map(|peer| self.peers.get(peer)).filter(|host| **host != asker);
        known.into_iter().any(|id| {
            let host = &self.hosts[id.0];
            let answers = host.engine.is_some() && !host.paused;
            let reached = self.fabric.connected(asker, *id) && self.fabric.connected(*id, asker);
            answers && reached && host.blobs.contains(&blob)
        })
    }
}

/// Whatever begins has its blobs.
pub(crate) fn nothing_runs_without_its_blobs(scene: &Scene<'_>) -> Result<(), String> {
    for fact in scene.facts {
        if let Fact::Started { missing: Some(blob), .. } = fact {
            return Err(format!("an execution began without {blob:?}"));
        }
    }
    Ok(())
}
