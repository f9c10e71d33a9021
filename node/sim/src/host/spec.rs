//! What a simulated machine is before it starts: slots, labels, whose tasks it takes, how it lies, and where it is.

use weft_core::message::Class;
use weft_core::{Owners, PeerId};

use super::HostId;

/// Whose tasks a machine takes, beside its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Guests {
    /// Everybody's.
    #[default]
    All,
    /// Of these hosts, all of which were there before it.
    Only(Vec<HostId>),
    /// Of all but these hosts, all of which were there before it.
    AllBut(Vec<HostId>),
}

impl Guests {
    /// Whether it takes tasks of another host.
    pub(crate) fn takes(&self, owner: HostId) -> bool {
        match self {
            Self::All => true,
            Self::Only(hosts) => hosts.contains(&owner),
            Self::AllBut(hosts) => !hosts.contains(&owner),
        }
    }

    /// The same in an engine's words.
    pub(super) fn owners(&self, peer: impl Fn(&HostId) -> PeerId) -> Owners {
        match self {
            Self::All => Owners::All,
            Self::Only(hosts) => Owners::Only(hosts.iter().map(peer).collect()),
            Self::AllBut(hosts) => Owners::AllBut(hosts.iter().map(peer).collect()),
        }
    }
}

/// What a machine is.
#[derive(Clone, Debug)]
pub struct HostSpec {
    /// Tasks that it runs at once.
    pub slots: u32,
    /// Its labels.
    pub labels: Vec<(String, String)>,
    /// The lowest class that it takes.
    pub class_min: Class,
    /// Whose tasks it takes, beside its own.
    pub guests: Guests,
    /// Of a thousand answers so many are false.
    pub lies_permille: u32,
    /// How much faster than the world's its clock runs, in millionths; above -1,000,000.
    pub clock_ppm: i32,
    /// The machine that it shares with all hosts of this number, whose lies are the same; `None` for one of its own.
    pub machine: Option<u8>,
    /// Others reach it over IPv4, and not over IPv6.
    pub over_ipv4: bool,
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
        }
    }

    /// The same, but it takes nothing below that class.
    #[must_use]
    pub fn takes(mut self, class_min: Class) -> Self {
        self.class_min = class_min;
        self
    }

    /// The same, but it takes only these owners' tasks.
    #[must_use]
    pub fn guests(mut self, guests: Guests) -> Self {
        self.guests = guests;
        self
    }

    /// The same, but so many of a thousand answers are false.
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

    /// The same with a clock that runs so many millionths too fast.
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
