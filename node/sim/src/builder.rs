//! A world before its first instant: which hosts, which network, which seed.

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

/// A world before its first instant.
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
    /// One more host.
    #[must_use]
    pub fn host(mut self, spec: HostSpec) -> Self {
        self.hosts.push(spec);
        self
    }

    /// So many more hosts with so many slots each.
    #[must_use]
    pub fn hosts(mut self, count: usize, slots: u32) -> Self {
        self.hosts.extend(std::iter::repeat_n(HostSpec::slots(slots), count));
        self
    }

    /// Other agreements than the defaults.
    #[must_use]
    pub fn mesh(mut self, mesh: MeshConfig) -> Self {
        self.mesh = mesh;
        self
    }

    /// Another weather than a quiet LAN.
    #[must_use]
    pub fn weather(mut self, weather: Weather) -> Self {
        self.weather = weather;
        self
    }

    /// Every event is told to this function, as one line.
    #[must_use]
    pub fn watch(mut self, watch: Option<fn(&str)>) -> Self {
        self.watch = watch;
        self
    }

    /// Other peer ids than the seed's own; nothing else of the world changes by it.
    #[must_use]
    pub fn ids(mut self, seed: u64) -> Self {
        self.ids = Some(seed);
        self
    }

    /// Every process's log is kept: what its engine was told and answered.
    #[must_use]
    pub fn record(mut self) -> Self {
        self.record = true;
        self
    }

    /// All hosts start now and begin to dial one another.
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
