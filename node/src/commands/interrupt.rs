//! Ctrl-C, received by a thread of its own: the program ends whatever the rest of it waits for.

use std::time::Duration;

use tokio::sync::watch;

use super::{EXIT_INTERRUPTED, Problem};

/// How long an interrupted verb may take to tidy up before the process ends all the same. Longer than a node may take to
/// cancel the job.
const GRACE: Duration = Duration::from_secs(4);

/// Tells when Ctrl-C came.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt {
    came: watch::Receiver<bool>,
}

impl Interrupt {
    /// Listens from now on. A first Ctrl-C is told; the process ends with the second one, or [`GRACE`] after the first
    /// if it still runs then, as it would with a stderr that takes no more.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub(crate) fn listen() -> Result<Self, Problem> {
        let (sender, came) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Problem::Runtime)?;
        let thread = std::thread::Builder::new().name("interrupt".into());
        thread.spawn(move || runtime.block_on(hear(sender))).map_err(Problem::Runtime)?;
        Ok(Self { came })
    }

    /// Returns when Ctrl-C came; at once if it came before.
    pub(crate) async fn came(&self) {
        let mut came = self.came.clone();
        if came.wait_for(|came| *came).await.is_err() {
            // Signals can't be heard here; the system's own answer to Ctrl-C holds then.
            std::future::pending::<()>().await;
        }
    }
}

async fn hear(sender: watch::Sender<bool>) {
    if tokio::signal::ctrl_c().await.is_err() {
        return;
    }
    sender.send_replace(true);
    drop(tokio::time::timeout(GRACE, tokio::signal::ctrl_c()).await);
    end();
}

#[expect(
    clippy::disallowed_methods,
    clippy::exit,
    reason = "the main thread hangs in a write that may never end: no destructor of its would ever run"
)]
fn end() {
    std::process::exit(i32::from(EXIT_INTERRUPTED));
}
