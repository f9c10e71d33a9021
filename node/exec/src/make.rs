//! How code is compiled: the program's settings, how its guests are ended, and which compiler. Code of one make runs
//! only in an engine of the same make. `engine_config.rs` turns a make into wasmtime's settings.

use weft_core::{Profile, Program};

/// The compiler that made the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub enum Tier {
    /// wasmtime's Winch: compiles fast; its code runs two to three times slower.
    Baseline,
    /// wasmtime's Cranelift: compiles slowly; its code runs fast.
    Optimised,
}

/// Which engine a program needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub struct EngineKey {
    /// NaNs are canonical, which makes float-heavy code up to three times slower.
    pub portable: bool,
    /// Fuel is counted.
    pub metered: bool,
}

/// How a guest that runs too long is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub enum Interrupt {
    /// Compiled code checks an epoch in every loop: for guests on threads.
    Epochs,
    /// The process is killed, so compiled code needs no checks.
    Kill,
}

/// Everything that decides how code is compiled. Code runs only in an engine of the same make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub struct Make {
    /// The program's settings.
    pub key: EngineKey,
    /// How its guests are ended.
    pub interrupt: Interrupt,
    /// The compiler.
    pub tier: Tier,
}

impl Make {
    /// Whether baseline code may run until the optimised code is compiled. The baseline compiler has no canonical NaNs,
    /// and its fuel may differ from the optimising compiler's.
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
