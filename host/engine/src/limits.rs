//! What one component may use, each with a default that suits voicemail on a small machine.

use std::time::{Duration, Instant};

use starling_telemetry::Limit;

use crate::request::Progress;

/// How far requests are kept apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// An instance for each request, and a new one for the next. Nothing in the guest outlives its request.
    Request,
    /// An instance serves one request after another, never two at once. What a guest keeps in its statics outlives the
    /// request; what one request does to the instance, by a trap, a loop or a flood of memory, meets no other.
    #[default]
    Instance,
    /// An instance serves up to [`Limits::instance_concurrency_max`] requests at once, and they share its fate. For
    /// components that mostly wait. One with the interface of WASI 0.2 serves one at a time all the same.
    Shared,
}

/// Bounds on a component's instances and on what one request may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How far requests are kept apart.
    pub isolation: Isolation,
    /// Instances of one component that may be busy at once, over all event loops. Further requests wait for
    /// [`queue_timeout`](Self::queue_timeout).
    pub instances_max: u32,
    /// Requests that an instance serves at once, where they share one.
    pub instance_concurrency_max: usize,
    /// Requests that an instance serves, one after another, before it is replaced.
    pub instance_requests_max: usize,
    /// How long an instance without work is kept.
    pub instance_idle: Duration,
    /// An instance whose linear memory has grown past this many bytes is replaced after its request.
    pub instance_memory_kept_max: usize,
    /// Linear memory of one instance, in bytes.
    pub memory_bytes_max: usize,
    /// Entries of one instance's tables.
    pub table_entries_max: usize,
    /// Handles (streams, buckets, requests …) that one instance may hold at once.
    pub handles_max: usize,
    /// Operations on stores that one request may do. What a component does on its timer is not counted.
    pub store_operations_max: u64,
    /// Bytes of keys and values that one request may read from its stores and write to them.
    pub store_bytes_max: u64,
    /// Requests to other servers that one version of a component may have under way at once.
    pub outbound_requests_max: usize,
    /// Time from the start of a request, or from the last piece of its body that came, to the head of its response.
    pub request_timeout: Duration,
    /// Time that a request may take in all until the head of its response, however steadily its body comes.
    pub upload_timeout: Duration,
    /// Time from the head of a response to its last byte.
    pub response_timeout: Duration,
    /// Time that a guest may compute without once waiting for something, in steps of
    /// [`TICK`](crate::guard::TICK).
    pub cpu_burst_max: Duration,
    /// How long a request waits for an instance when all are busy.
    pub queue_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            isolation: Isolation::default(),
            instances_max: 256,
            instance_concurrency_max: 16,
            instance_requests_max: 1_000,
            instance_idle: Duration::from_secs(10),
            instance_memory_kept_max: 16 << 20,
            memory_bytes_max: 128 << 20,
            table_entries_max: 100_000,
            handles_max: 10_000,
            // The longest legitimate request moves 16 MiB of audio in pieces of 256 KiB, an operator's a component of 64 MiB.
            store_operations_max: 10_000,
            store_bytes_max: 256 << 20,
            outbound_requests_max: 64,
            request_timeout: Duration::from_secs(5),
            upload_timeout: Duration::from_secs(120),
            response_timeout: Duration::from_secs(300),
            cpu_burst_max: Duration::from_secs(2),
            queue_timeout: Duration::from_secs(1),
        }
    }
}

impl Limits {
    /// Requests that an instance serves before it is replaced.
    pub(crate) fn requests_of_an_instance(&self) -> usize {
        match self.isolation {
            Isolation::Request => 1,
            Isolation::Instance | Isolation::Shared => self.instance_requests_max,
        }
    }

    /// The limit that a request has reached that began then, and whose body comes like this.
    pub(crate) fn request_over(
        &self,
        began: Instant,
        progress: Option<&Progress>,
    ) -> Option<Limit> {
        let piece = progress.and_then(Progress::last);
        let last = piece.map_or(began, |piece| piece.max(began));
        if last.elapsed() >= self.request_timeout {
            return Some(Limit::RequestTimeout);
        }
        (began.elapsed() >= self.upload_timeout).then_some(Limit::UploadTimeout)
    }
}
