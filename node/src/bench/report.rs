//! What was measured, as plain data: the same for tables and JSON.

use std::fmt;

use serde::Serialize;

use super::BenchArgs;

/// Everything that one bench measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The machine and the nodes.
    pub setup: SetUp,
    /// What came out.
    pub rows: Vec<Row>,
}

/// What the figures were measured on.
#[derive(Clone, Debug, Serialize)]
pub struct SetUp {
    /// Version of weft.
    pub version: &'static str,
    /// Node processes.
    pub nodes: usize,
    /// Slots of each node, in order; the client speaks to the first.
    pub slots: Vec<u32>,
    /// Cores of this machine.
    pub cores: usize,
    /// Cores that the slots can keep busy: what efficiency is measured against.
    pub cores_used: usize,
    /// Whether less was done than for a measurement.
    pub quick: bool,
    /// Whether weft was built without optimisation.
    pub debug: bool,
}

impl SetUp {
    pub(super) fn new(args: &BenchArgs, cores: usize, slots: Vec<u32>) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            nodes: slots.len(),
            cores,
            cores_used: cores_used(cores, &slots),
            slots,
            quick: args.quick,
            debug: cfg!(debug_assertions),
        }
    }
}

/// Cores that these slots can keep busy.
pub(super) fn cores_used(cores: usize, slots: &[u32]) -> usize {
    let slots: u32 = slots.iter().sum();
    cores.min(usize::try_from(slots).unwrap_or(usize::MAX)).max(1)
}

impl fmt::Display for SetUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slots: Vec<String> = self.slots.iter().map(ToString::to_string).collect();
        write!(
            f,
            "{} node processes on loopback with {} slots, {} cores",
            self.nodes,
            slots.join("+"),
            self.cores
        )
    }
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What was measured.
    pub what: &'static str,
    /// The median of the rounds.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// Which way is better.
    pub better: Better,
    /// The lowest round.
    pub low: f64,
    /// The highest round.
    pub high: f64,
    /// How many rounds.
    pub rounds: usize,
    /// The same without a mesh; `None` where nothing is the same.
    pub floor: Option<Floor>,
    /// Value over floor, the median of the rounds.
    pub ratio: Option<f64>,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
}

/// What a figure can't be better than.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Floor {
    /// The median of the rounds, in the row's unit.
    pub value: f64,
    /// What was done instead.
    pub what: &'static str,
}

/// The rounds of one row as they come.
#[derive(Clone, Debug, Default)]
pub(super) struct Rounds {
    values: Vec<f64>,
    floors: Vec<f64>,
}

impl Rounds {
    pub(super) fn add(&mut self, value: f64, floor: Option<f64>) {
        self.values.push(value);
        self.floors.extend(floor);
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn row(
        &self,
        what: &'static str,
        unit: &'static str,
        better: Better,
        floor: &'static str,
    ) -> Row {
        let ratios: Vec<f64> =
            self.values.iter().zip(&self.floors).map(|(value, floor)| value / floor).collect();
        Row {
            what,
            value: median(&self.values),
            unit,
            better,
            low: self.values.iter().copied().fold(f64::INFINITY, f64::min),
            high: self.values.iter().copied().fold(0.0, f64::max),
            rounds: self.values.len(),
            floor: (!self.floors.is_empty()).then(|| Floor { value: median(&self.floors), what: floor }),
            ratio: (!ratios.is_empty()).then(|| median(&ratios)),
        }
    }
}

/// The middle one; 0 of none.
pub(super) fn median(values: &[f64]) -> f64 {
    percentile(values, 50)
}

/// The value that `percent` of the values are not above; 0 if there are none.
pub(super) fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(place).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_taken_round_by_round() {
        let mut rounds = Rounds::default();
        // A machine that is busy in the second round slows both.
        for (value, floor) in [(50.0, 100.0), (10.0, 20.0), (60.0, 120.0)] {
            rounds.add(value, Some(floor));
        }
        let row = rounds.row("tasks", "1/s", Better::Higher, "direct");
        assert_eq!((row.value, row.low, row.high, row.rounds), (50.0, 10.0, 60.0, 3));
        assert_eq!((row.floor, row.ratio), (Some(Floor { value: 100.0, what: "direct" }), Some(0.5)));
    }

    #[test]
    fn a_row_without_a_floor_has_no_ratio() {
        let mut rounds = Rounds::default();
        rounds.add(1.0, None);
        let row = rounds.row("tasks", "1/s", Better::Higher, "none");
        assert_eq!((row.floor, row.ratio), (None, None));
    }

    #[test]
    fn percentiles_of_few_and_of_many() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!((percentile(&hundred, 50), percentile(&hundred, 99)), (51.0, 100.0));
        assert_eq!((median(&[3.0, 1.0, 2.0]), median(&[])), (2.0, 0.0));
    }

    #[test]
    fn slots_beyond_the_cores_use_no_more_than_there_are() {
        assert_eq!(cores_used(2, &[1, 1, 1]), 2);
        assert_eq!(cores_used(8, &[2, 1]), 3);
    }
}
