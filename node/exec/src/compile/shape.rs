//! Tracks open loops and open exception handlers in a function's body, during validation: compilers take time and
//! memory for each of them.

use wasmparser::Operator;

/// The depths of the open loops.
#[derive(Default)]
pub(super) struct Loops(Vec<u32>);

impl Loops {
    /// How many loops are open after this operator; `depth` is the height of the control stack after it.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "wasmparser's list is open; only these open or close a loop"
    )]
    pub(super) fn after(&mut self, operator: &Operator<'_>, depth: u32) -> u64 {
        match operator {
            Operator::Loop { .. } => self.0.push(depth),
            Operator::End => {
                while self.0.last().is_some_and(|open| *open > depth) {
                    self.0.pop();
                }
            }
            _ => {}
        }
        self.0.len() as u64
    }
}

/// The open exception handlers, with their depths.
#[derive(Default)]
pub(super) struct Tries {
    open: Vec<(u32, u64)>,
    handlers: u64,
    /// Open handlers at each call so far, summed.
    at_calls: u64,
}

impl Tries {
    /// The sum so far, after this operator; `depth` is the height of the control stack after it.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "wasmparser's list is open; only these open or close a `try_table`, or may throw"
    )]
    pub(super) fn after(&mut self, operator: &Operator<'_>, depth: u32) -> u64 {
        match operator {
            Operator::TryTable { try_table } => {
                let handlers = try_table.catches.len() as u64;
                self.open.push((depth, handlers));
                self.handlers += handlers;
            }
            Operator::End => {
                while let Some((_, handlers)) = self.open.pop_if(|(open, _)| *open > depth) {
                    self.handlers -= handlers;
                }
            }
            Operator::Call { .. }
            | Operator::CallIndirect { .. }
            | Operator::CallRef { .. }
            | Operator::Throw { .. }
            | Operator::ThrowRef => self.at_calls = self.at_calls.saturating_add(self.handlers),
            _ => {}
        }
        self.at_calls
    }
}
