//! Builds a world from a seed, hosts, a network and the mesh's settings.

use std::collections::BTreeMap;

use weft_core::MeshConfig;

use crate::chance::Chance;
use crate::coverage::Coverage;
use crate::fabric::Fabric;
use crate::host::HostSpec;
use crate::link::Weather;
use crate::queue::Queue;
use crate::record::Logs;
use crate::reference::Reference;
use crate::trace::Trace;
use crate::workload::Catalog;
use crate::world::World;

/// The settings of a world that is not built yet.
#[derive(Clone, Debug)]
pub struct Builder {
    seed: u64,
    mesh: MeshConfig,
    weather: Weather,
    hosts: Vec<HostSpec>,
    watch: Option<fn(&str)>,
    record: bool,
    ids: Option<u64>,
}

impl Builder {
    /// Adds a host.
    #[must_use]
    pub fn host(mut self, spec: HostSpec) -> Self {
        self.hosts.push(spec);
        self
    }

    /// Adds `count` hosts of `slots` slots each.
    #[must_use]
    pub fn hosts(mut self, count: usize, slots: u32) -> Self {
        self.hosts.extend(std::iter::repeat_n(HostSpec::slots(slots), count));
        self
    }

    /// Settings of the mesh other than the defaults.
    #[must_use]
    pub fn mesh(mut self, mesh: MeshConfig) -> Self {
        self.mesh = mesh;
        self
    }

    /// A network other than a quiet LAN.
    #[must_use]
    pub fn weather(mut self, weather: Weather) -> Self {
        self.weather = weather;
        self
    }

    /// A function that gets every event as one line.
    #[must_use]
    pub fn watch(mut self, watch: Option<fn(&str)>) -> Self {
        self.watch = watch;
        self
    }

    /// Peer ids from another seed; the rest of the world stays the same.
    #[must_use]
    pub fn ids(mut self, seed: u64) -> Self {
        self.ids = Some(seed);
        self
    }

    /// Keeps the log of every process: the inputs and effects of its engine.
    #[must_use]
    pub fn record(mut self) -> Self {
        self.record = true;
        self
    }

    /// Starts all hosts, which begin to dial one another.
    #[must_use]
    pub fn build(self) -> World {
        let mut world = World {
            seed: self.seed,
            mesh: self.mesh,
            queue: Queue::default(),
            fabric: Fabric::new(self.weather, Chance::new(self.seed, "network")),
            hosts: Vec::new(),
            peers: BTreeMap::new(),
            reference: Reference::default(),
            catalog: Catalog::default(),
            chance: Chance::new(self.seed, "world"),
            facts: Vec::new(),
            trace: Trace::new(),
            events: 0,
            watch: self.watch,
            ids: self.ids.map(|seed| Chance::new(seed, "ids")),
            unsigned_permille: 0,
            sync_us: 5_000,
            coverage: Coverage::default(),
            coming: Vec::new(),
            logs: self.record.then(Logs::default),
        };
        for spec in self.hosts {
            world.add_host(spec);
        }
        world
    }
}

impl World {
    /// An empty world of this seed, in a quiet LAN.
    #[must_use]
    pub fn builder(seed: u64) -> Builder {
        Builder {
            seed,
            mesh: MeshConfig::DEFAULT,
            weather: Weather::LAN,
            hosts: Vec::new(),
            watch: None,
            record: false,
            ids: None,
        }
    }
}
