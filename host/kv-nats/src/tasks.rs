//! What runs in the background for a store, until nobody has the store any more.

use std::sync::{Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// Tasks that end with this.
#[derive(Debug)]
pub(crate) struct Tasks {
    runtime: Handle,
    tasks: Mutex<Vec<AbortHandle>>,
}

impl Tasks {
    /// None yet; those to come run on this runtime.
    pub(crate) fn on(runtime: &Handle) -> Self {
        Self {
            runtime: runtime.clone(),
            tasks: Mutex::default(),
        }
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let task = self.runtime.spawn(task).abort_handle();
        self.tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(task);
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        let tasks = self.tasks.get_mut();
        for task in tasks.unwrap_or_else(PoisonError::into_inner) {
            task.abort();
        }
    }
}
