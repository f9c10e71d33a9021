//! A machine's configuration: slots, labels, the tasks that it accepts, and how it misbehaves.

use weft_core::message::Class;
use weft_core::{Owners, PeerId};

use super::HostId;

/// The owners whose tasks a machine accepts, besides itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Guests {
    /// All owners.
    #[default]
    All,
    /// These hosts, all of them added before it.
    Only(Vec<HostId>),
    /// All but these hosts, all of them added before it.
    AllBut(Vec<HostId>),
}

impl Guests {
    /// Whether it accepts tasks of another host.
    pub(crate) fn takes(&self, owner: HostId) -> bool {
        match self {
            Self::All => true,
            Self::Only(hosts) => hosts.contains(&owner),
            Self::AllBut(hosts) => !hosts.contains(&owner),
        }
    }

    /// The same as the engine's configuration has it.
    pub(super) fn owners(&self, peer: impl Fn(&HostId) -> PeerId) -> Owners {
        match self {
            Self::All => Owners::All,
            Self::Only(hosts) => Owners::Only(hosts.iter().map(peer).collect()),
            Self::AllBut(hosts) => Owners::AllBut(hosts.iter().map(peer).collect()),
        }
    }
}

/// A machine's configuration.
#[derive(Clone, Debug)]
pub struct HostSpec {
    /// The number of single-slot tasks that it runs at once.
    pub slots: u32,
    /// Its labels, as names and values.
    pub labels: Vec<(String, String)>,
    /// The lowest class that it accepts.
    pub class_min: Class,
    /// The owners whose tasks it accepts, besides itself.
    pub guests: Guests,
    /// False results per thousand.
    pub lies_permille: u32,
    /// How much faster than the world's its clock runs, in parts per million; above -1,000,000.
    pub clock_ppm: i32,
    /// The machine that it shares with all hosts of this number, which all report the same false results; `None` for a
    /// machine of its own.
    pub machine: Option<u8>,
    /// Whether others reach it over IPv4 instead of IPv6.
    pub over_ipv4: bool,
    /// Whether its jobs may be kept on its disk.
    pub journal: bool,
}

impl HostSpec {
    /// A machine without labels.
    #[must_use]
    pub fn slots(slots: u32) -> Self {
        let (labels, class_min, guests) = (Vec::new(), Class::Scavenger, Guests::All);
        Self {
            slots,
            labels,
            class_min,
            guests,
            lies_permille: 0,
            clock_ppm: 0,
            machine: None,
            over_ipv4: false,
            journal: false,
        }
    }

    /// The same, but it accepts no task below that class.
    #[must_use]
    pub fn takes(mut self, class_min: Class) -> Self {
        self.class_min = class_min;
        self
    }

    /// The same, but it accepts only these owners' tasks.
    #[must_use]
    pub fn guests(mut self, guests: Guests) -> Self {
        self.guests = guests;
        self
    }

    /// The same, but `permille` results of a thousand are false.
    #[must_use]
    pub fn lies(mut self, permille: u32) -> Self {
        self.lies_permille = permille;
        self
    }

    /// The same on a machine that it shares with all hosts of this number.
    #[must_use]
    pub fn on(mut self, machine: u8) -> Self {
        self.machine = Some(machine);
        self
    }

    /// The same, but reached over IPv4.
    #[must_use]
    pub fn over_ipv4(mut self) -> Self {
        self.over_ipv4 = true;
        self
    }

    /// The same, but it keeps jobs on its disk, its own and those of others.
    #[must_use]
    pub fn keeps(mut self) -> Self {
        self.journal = true;
        self
    }

    /// The same with a clock that runs fast by `ppm` parts per million.
    #[must_use]
    pub fn clock(mut self, ppm: i32) -> Self {
        self.clock_ppm = ppm;
        self
    }

    /// The same with one more label.
    #[must_use]
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.push((name.into(), value.into()));
        self
    }
}
