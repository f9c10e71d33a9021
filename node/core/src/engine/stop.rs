//! The engine's end: its user stops the node.

use super::Engine;

impl Engine {
    /// Tells workers that nobody will take what they run for this node, and falls silent.
    pub(super) fn stop(&mut self) {
        let (mut ctx, owner, ..) = self.parts();
        owner.on_stop(&mut ctx);
        self.stopped = true;
    }
}
