//! The operator's wish to stop, as a value that can be waited for. Does not know where the wish comes from.

use tokio::sync::watch;

/// Tells every [`Stop`] made with it; clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Stopper(watch::Sender<bool>);

/// Whether the run is to stop.
#[derive(Debug, Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

/// A pair; dropping the [`Stopper`] is no wish to stop.
pub(crate) fn pair() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    /// Wishes it; says whether that was the first time.
    pub(crate) fn stop(&self) -> bool {
        !self.0.send_replace(true)
    }
}

impl Stop {
    /// Whether it was wished.
    pub(crate) fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is wished.
    pub(crate) async fn requested(&self) {
        if self.0.clone().wait_for(|stop| *stop).await.is_err() {
            std::future::pending().await
        }
    }
}
