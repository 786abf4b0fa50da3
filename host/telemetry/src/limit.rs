//! The limits of a host that something can run into, and how often that has happened.
//!
//! Engine and server count, each what it enforces; the composition root makes the one [`LimitCounts`] that they share,
//! and exposes it. Where no limit is reached, nothing of this is touched.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Declares the limits, each with the key that sets it.
macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $name:ident = $key:literal,)+) => {
        /// A limit that something has run into.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Limit {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Limit {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The key that sets it in the table `[limits]` of `edge.toml`.
            pub const fn key(self) -> &'static str {
                match self {
                    $(Self::$name => $key),+
                }
            }
        }
    };
}

limits! {
    /// A guest gave no response in time.
    RequestTimeout = "request_timeout_ms",
    /// A request took too long in all until its response.
    UploadTimeout = "upload_timeout_ms",
    /// A client sent its request's body too slowly.
    UploadRate = "upload_bytes_per_second_min",
    /// A response took too long.
    ResponseTimeout = "response_timeout_ms",
    /// A guest computed for too long without waiting.
    CpuBurst = "cpu_burst_ms_max",
    /// A request's body was too long.
    RequestBodyBytes = "request_body_bytes_max",
    /// A request found no free instance in time.
    QueueTimeout = "queue_timeout_ms",
    /// A request found all instances busy, and waited.
    Instances = "instances_max",
    /// A guest asked for too much memory.
    MemoryBytes = "memory_bytes_max",
    /// A guest asked for too many entries of a table.
    TableEntries = "table_entries_max",
    /// A guest asked for too many handles.
    Handles = "handles_max",
    /// A request asked too often for something of a store.
    StoreOperations = "store_operations_max",
    /// A request moved too many bytes from and to its stores.
    StoreBytes = "store_bytes_max",
    /// A component had too many requests of its own under way.
    OutboundRequests = "outbound_requests_max",
    /// As many connections were open as there may be, and more waited.
    Connections = "connections_max",
    /// An address had too many connections.
    ConnectionsPerAddress = "connections_per_address_max",
    /// The head of a request was too long.
    HeaderBytes = "header_bytes_max",
    /// The head of a request came too slowly.
    HeaderTimeout = "header_timeout_ms",
    /// A connection had no request for too long.
    IdleTimeout = "idle_timeout_ms",
    /// A client took nothing of what was sent to it for too long.
    WriteTimeout = "write_timeout_ms",
    /// A connection had as many requests under way as it may.
    Http2Streams = "http2_streams_max",
    /// A connection cancelled too many requests.
    Http2Resets = "http2_resets_max",
    /// A connection brought too much that belongs to no request, or was found to flood the host in another way.
    Http2Flood = "http2_flood_bytes_max",
}

/// How often each limit has been reached since the host began.
#[derive(Debug, Default)]
pub struct LimitCounts([AtomicU64; Limit::ALL.len()]);

impl LimitCounts {
    /// The limit has been reached once more.
    pub fn count(&self, limit: Limit) {
        self.0[limit as usize].fetch_add(1, Relaxed);
    }

    /// How often the limit has been reached.
    pub fn get(&self, limit: Limit) -> u64 {
        self.0[limit as usize].load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_has_a_count_and_a_key_of_its_own() {
        let counts = LimitCounts::default();
        for (nth, limit) in Limit::ALL.iter().enumerate() {
            assert_eq!(counts.get(*limit), 0);
            for _ in 0..=nth {
                counts.count(*limit);
            }
        }
        for (nth, limit) in Limit::ALL.iter().enumerate() {
            assert_eq!(counts.get(*limit), nth as u64 + 1, "{limit:?}");
        }
        let keys: std::collections::BTreeSet<_> =
            Limit::ALL.iter().map(|limit| limit.key()).collect();
        assert_eq!(keys.len(), Limit::ALL.len());
    }
}
