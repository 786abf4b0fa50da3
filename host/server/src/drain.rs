//! Going without dropping a request.
//!
//! A host that is told to go passes through two steps. In [`Stage::Noticed`] it accepts no new connections, and
//! each response on an open one says `connection: close`, so a client that keeps sending is told in time. In
//! [`Stage::Closing`] idle connections are closed and those in flight end with their request. Closing idle ones
//! at once would race with requests already on the wire.

use tokio::sync::watch;

/// How far a host has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// In service.
    Serving,
    /// New connections are refused; open ones hear of it with their next response.
    Noticed,
    /// Every connection closes as soon as it is idle.
    Closing,
}

/// Tells a host to go. Dropping it tells so too.
#[derive(Debug)]
pub struct Drain(watch::Sender<Stage>);

/// The listening end of a [`Drain`].
#[derive(Clone, Debug)]
pub struct Draining(watch::Receiver<Stage>);

/// A pair of ends: one tells the host to go, the other is given to its [`Server`](crate::Server).
pub fn drain() -> (Drain, Draining) {
    let (sender, receiver) = watch::channel(Stage::Serving);
    (Drain(sender), Draining(receiver))
}

impl Drain {
    /// Begins: no new connections from here on.
    pub fn notice(&self) {
        self.0.send_replace(Stage::Noticed);
    }

    /// Closes what is idle.
    pub fn close(&self) {
        self.0.send_replace(Stage::Closing);
    }
}

impl Draining {
    /// Whether the host has been told to go.
    pub fn noticed(&self) -> bool {
        *self.0.borrow() >= Stage::Noticed
    }

    /// Waits until the host is told to go.
    pub(crate) async fn wait_noticed(&mut self) {
        let _ = self.0.wait_for(|stage| *stage >= Stage::Noticed).await;
    }

    /// Waits until connections are to close.
    pub(crate) async fn wait_closing(&mut self) {
        let _ = self.0.wait_for(|stage| *stage >= Stage::Closing).await;
    }
}
