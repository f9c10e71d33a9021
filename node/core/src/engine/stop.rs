//! How the engine ends when its user stops the node.

use super::Engine;

impl Engine {
    /// Tells workers to stop this node's tasks; afterwards no input has an effect.
    pub(super) fn stop(&mut self) {
        let (mut ctx, owner, ..) = self.parts();
        owner.on_stop(&mut ctx);
        self.stopped = true;
    }
}
