//! The ends of tasks that an engine reported in one step.

use super::Scene;
use crate::reference::{End, Fact};

pub(crate) fn ends<'a>(scene: &'a Scene<'_>) -> impl Iterator<Item = &'a End> {
    scene.facts.iter().filter_map(|fact| match fact {
        Fact::Ended(end) => Some(end),
        Fact::JobEnded(_)
        | Fact::GivenUp(_)
        | Fact::Named { .. }
        | Fact::Awarded(_)
        | Fact::Started { .. }
        | Fact::Printed { .. }
        | Fact::Sent { .. }
        | Fact::Parted { .. }
        | Fact::Excused { .. }
        | Fact::Restarted(_)
        | Fact::GivenBack { .. }
        | Fact::Lost { .. }
        | Fact::GaveUp { .. }
        | Fact::Published { .. } => None,
    })
}
