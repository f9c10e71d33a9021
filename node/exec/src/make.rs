//! Names how code is compiled: the settings that a program wishes, how its guests are ended, and which compiler. Code of
//! one make runs only in the engine of the same make. `engine_config.rs` turns a make into wasmtime's settings.

use weft_core::{Profile, Program};

/// Which compiler made the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub enum Tier {
    /// The one that is done soon; its code is two to three times slower.
    Baseline,
    /// The one whose code is fast.
    Optimised,
}

/// Which engine a program needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub struct EngineKey {
    /// Canonical NaNs: up to three times slower on float-heavy code.
    pub portable: bool,
    /// Counts fuel.
    pub metered: bool,
}

/// How a guest that runs too long is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub enum Interrupt {
    /// It looks at an epoch in every loop: for guests on threads.
    Epochs,
    /// Its process is killed: nothing is added to its code.
    Kill,
}

/// All that decides how code is compiled: code of one make runs in the engine of the same make only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub struct Make {
    /// What the program wishes.
    pub key: EngineKey,
    /// How its guests are ended.
    pub interrupt: Interrupt,
    /// Which compiler.
    pub tier: Tier,
}

impl Make {
    /// Whether the baseline compiler may stand in until the optimised code is there. It has no canonical NaNs, and its
    /// fuel need not be counted as the other's is, to the last unit.
    pub(crate) fn has_baseline(self) -> bool {
        !self.key.portable && !self.key.metered
    }
}

impl EngineKey {
    pub(crate) fn of(program: &Program) -> Self {
        let portable = match program.profile {
            Profile::Portable => true,
            Profile::Pure | Profile::Impure => false,
        };
        Self { portable, metered: program.limits.fuel.is_some() }
    }

    pub(crate) const ALL: [Self; 4] = [
        Self { portable: false, metered: false },
        Self { portable: false, metered: true },
        Self { portable: true, metered: false },
        Self { portable: true, metered: true },
    ];

    pub(crate) const PLAIN: Self = Self { portable: false, metered: false };
}
