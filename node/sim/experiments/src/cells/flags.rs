//! Parses the flags of `weft-experiments cells` into a study.

use super::{Owners, Study, Trouble, Work};

impl Study {
    /// The study of these flags; `None` if they are invalid.
    #[must_use]
    pub fn from_flags(flags: &[String]) -> Option<Self> {
        let mut study = Self::sparrow(1, 10_000, 95, 4_000);
        let mut flags = flags.iter();
        while let Some(flag) = flags.next() {
            if flag == "--constant" {
                study.work = Work::Constant;
                continue;
            }
            let value: u32 = flags.next()?.parse().ok()?;
            let count = usize::try_from(value).ok()?;
            match flag.as_str() {
                "--nodes" => study.nodes = value.max(1),
                "--load" => study.load_percent = value.clamp(1, 200),
                "--jobs" => study.jobs = value.max(1),
                "--tasks" => study.tasks = value.max(1),
                "--seed" => study.seed = u64::from(value),
                "--owners" => study.owners = Owners::Few(value),
                "--cell-nodes" => study.mesh.cell_nodes = value.max(1),
                "--flocks" => study.mesh.flocks = u8::try_from(value).ok()?,
                "--crash" => study.trouble = Trouble::Crash(count),
                "--silent" => study.trouble = Trouble::Silent(count),
                "--forge" => study.trouble = Trouble::Forge(count),
                "--loss" => study.trouble = Trouble::Loss(value),
                "--halves" => study.trouble = Trouble::Halves(u64::from(value)),
                _ => return None,
            }
        }
        Some(study)
    }
}
