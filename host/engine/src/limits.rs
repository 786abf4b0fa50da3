//! What one component may use, each with a default that suits voicemail on a small machine.

use std::time::Duration;

/// Bounds on a component's instances and on what one request may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Instances of one component that may be busy at once, over all event loops. Further requests wait for
    /// [`queue_timeout`](Self::queue_timeout).
    pub instances_max: u32,
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
            instances_max: 256,
            instance_requests_max: 1_000,
            instance_idle: Duration::from_secs(10),
            instance_memory_kept_max: 16 << 20,
            memory_bytes_max: 128 << 20,
            table_entries_max: 100_000,
            handles_max: 10_000,
            request_timeout: Duration::from_secs(5),
            upload_timeout: Duration::from_secs(120),
            response_timeout: Duration::from_secs(300),
            cpu_burst_max: Duration::from_secs(2),
            queue_timeout: Duration::from_secs(1),
        }
    }
}
