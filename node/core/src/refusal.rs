//! What a job may not ask for: a pure function of the submission, for whoever wants to know before and for the engine,
//! which refuses to begin what can't be had.

use core::fmt;

use crate::input::Submission;

/// Most distinct nodes on which a task may be computed and compared.
pub const VERIFY_MAX: u32 = 15;

/// Most slots that one task may hold.
pub const TASK_SLOTS_MAX: u32 = 1024;

/// Why a job is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Refusal {
    /// Two runs of an impure task may differ, so that comparing them says nothing.
    VerifyImpure,
    /// More nodes than [`VERIFY_MAX`] were asked for.
    VerifyTooMany {
        /// How many.
        asked: u32,
    },
    /// More slots for one task than [`TASK_SLOTS_MAX`] were asked for.
    SlotsTooMany {
        /// How many.
        asked: u32,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VerifyImpure => {
                f.write_str("an impure task can't be verified: two runs of it may differ, both being right")
            }
            Self::SlotsTooMany { asked } => {
                write!(f, "a task can have {TASK_SLOTS_MAX} slots at most, not {asked}")
            }
            Self::VerifyTooMany { asked } => {
                write!(f, "a task can be verified on {VERIFY_MAX} nodes at most, not on {asked}")
            }
        }
    }
}

impl core::error::Error for Refusal {}

impl Submission {
    /// Whether the job may be had as it is.
    ///
    /// # Errors
    /// With the first thing that can't be had.
    pub fn check(&self) -> Result<(), Refusal> {
        let slots = self.needs.slots;
        if slots > TASK_SLOTS_MAX {
            return Err(Refusal::SlotsTooMany { asked: slots });
        }
        let asked = self.policy.verify;
        if asked > VERIFY_MAX {
            return Err(Refusal::VerifyTooMany { asked });
        }
        if asked > 1 && !self.program.is_pure() {
            return Err(Refusal::VerifyImpure);
        }
        Ok(())
    }
}
