//! What this host has read and written of one bucket, kept true by whoever follows the bucket's stream.
//!
//! The follower reports every message of the stream in order ([`Cache::on_message`]); an entry that is older than its
//! key's message goes. What is read meanwhile is kept only if no message of its key came in between. While nobody
//! follows the stream, nothing is kept and nothing is served.
//!
//! A value that is here may be a moment older than what another host has just written. A host's own writes are here
//! before they are acknowledged. That a key is missing is served only if the follower has come as far as this host has
//! seen by other ways: or a message header could be visible, and the audio that was written before it not.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use starling_kv::Entry;
use xxhash_rust::xxh3::xxh3_64;

/// Locks among which keys are divided, so that event loops rarely meet.
const SHARDS: usize = 16;

/// What an entry costs besides its key and its value, in bytes.
const OVERHEAD_BYTES: usize = 128;

#[derive(Debug)]
pub(crate) struct Cache {
    shards: [Mutex<Shard>; SHARDS],
    shard_bytes_max: usize,
    /// Whether somebody follows the stream.
    on: AtomicBool,
    /// How far the follower is.
    applied: AtomicU64,
    /// The greatest sequence that this host has seen, by reading, writing or following.
    seen: AtomicU64,
    tickets: AtomicU64,
}

#[derive(Debug)]
struct Shard {
    slots: LruCache<Box<str>, Slot>,
    bytes: usize,
    /// The greatest sequence that was seen of any of its keys, by reading or writing.
    seen: u64,
}

#[derive(Debug)]
enum Slot {
    /// The key's state as of this sequence; `None` where it is missing.
    Kept { entry: Option<Entry>, as_of: u64 },
    /// Somebody reads it from the server.
    Fetching {
        ticket: u64,
        /// The latest message of the key that came meanwhile; 0 if none did.
        newest: u64,
    },
}

/// What there is of a key.
#[derive(Debug)]
pub(crate) enum Look {
    /// Its entry, or that it is missing.
    Hit(Option<Entry>),
    /// Nothing: to be read from the server, and to be [kept](Cache::keep) with this ticket.
    Miss(Ticket),
    /// Nothing that may be served or kept: to be read from the server.
    Bypass,
}

/// The right to keep what is read from the server.
#[derive(Debug)]
pub(crate) struct Ticket(u64);

impl Cache {
    /// Keeps about this many bytes at most.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| {
                Mutex::new(Shard {
                    slots: LruCache::unbounded(),
                    bytes: 0,
                    seen: 0,
                })
            }),
            shard_bytes_max: bytes_max / SHARDS,
            on: AtomicBool::new(false),
            applied: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            tickets: AtomicU64::new(1),
        }
    }

    /// From here on somebody follows the stream, who has come as far as `applied`.
    pub(crate) fn switch_on(&self, applied: u64) {
        self.clear();
        self.applied.store(applied, Relaxed);
        self.seen.fetch_max(applied, Relaxed);
        self.on.store(true, Relaxed);
    }

    /// Nobody follows the stream any more.
    pub(crate) fn switch_off(&self) {
        self.on.store(false, Relaxed);
        self.clear();
    }

    /// Whether somebody follows the stream.
    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Relaxed)
    }

    fn clear(&self) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.slots.clear();
            shard.bytes = 0;
        }
    }

    fn shard(&self, key: &str) -> MutexGuard<'_, Shard> {
        let index = usize::try_from(xxh3_64(key.as_bytes()) % SHARDS as u64).unwrap_or(0);
        lock(&self.shards[index])
    }

    /// Looks for a key.
    pub(crate) fn look(&self, key: &str) -> Look {
        if !self.is_on() {
            return Look::Bypass;
        }
        let mut shard = self.shard(key);
        match shard.slots.get(key) {
            Some(Slot::Kept {
                entry: Some(entry), ..
            }) => Look::Hit(Some(entry.clone())),
            Some(Slot::Kept { entry: None, .. }) if self.is_up_to_date() => Look::Hit(None),
            Some(Slot::Kept { entry: None, .. } | Slot::Fetching { .. }) => Look::Bypass,
            None => {
                let ticket = self.tickets.fetch_add(1, Relaxed);
                shard.put(key, Slot::Fetching { ticket, newest: 0 });
                Look::Miss(Ticket(ticket))
            }
        }
    }

    fn is_up_to_date(&self) -> bool {
        self.applied.load(Relaxed) >= self.seen.load(Relaxed)
    }

    /// Keeps what was read: the entry, or that it is missing, and the sequence of the key's last message, if it has
    /// any.
    pub(crate) fn keep(
        &self,
        key: &str,
        ticket: &Ticket,
        entry: Option<Entry>,
        as_of: Option<u64>,
    ) {
        let sequence = as_of.unwrap_or(0);
        self.saw(sequence);
        let mut shard = self.shard(key);
        shard.seen = shard.seen.max(sequence);
        match shard.slots.peek(key) {
            Some(Slot::Fetching {
                ticket: current,
                newest,
            }) if *current == ticket.0 => {
                if *newest > sequence {
                    shard.remove(key);
                } else {
                    let as_of = sequence;
                    shard.put(key, Slot::Kept { entry, as_of });
                    shard.shrink(self.shard_bytes_max);
                }
            }
            // Somebody else was faster; what is kept by now may be older than what this reader has seen.
            _ => shard.outdate(key, sequence),
        }
    }

    /// Notes that nothing was read after all.
    pub(crate) fn give_up(&self, key: &str, ticket: &Ticket) {
        let mut shard = self.shard(key);
        if matches!(shard.slots.peek(key), Some(Slot::Fetching { ticket: current, .. }) if *current == ticket.0)
        {
            shard.remove(key);
        }
    }

    /// Notes that this host has seen a message with this sequence, past the cache.
    pub(crate) fn saw(&self, sequence: u64) {
        self.seen.fetch_max(sequence, Relaxed);
    }

    /// Notes that this host has seen, past the cache, that a message of the key has this sequence: nothing older is to
    /// be served any more.
    pub(crate) fn saw_of(&self, key: &str, sequence: u64) {
        self.saw(sequence);
        let mut shard = self.shard(key);
        shard.seen = shard.seen.max(sequence);
        shard.outdate(key, sequence);
    }

    /// This host has written a key: its entry, or that it is missing, as of this sequence.
    pub(crate) fn wrote(&self, key: &str, entry: Option<Entry>, sequence: u64) {
        self.saw(sequence);
        if !self.is_on() {
            return;
        }
        let mut shard = self.shard(key);
        // Under the lock: whatever the follower has applied by now is in `applied`, and what was seen is in `seen`. If
        // either is past this message, a later one of the same key may be among it.
        if self.applied.load(Relaxed).max(shard.seen) >= sequence {
            return shard.outdate(key, sequence);
        }
        shard.seen = sequence;
        let as_of = sequence;
        shard.put(key, Slot::Kept { entry, as_of });
        shard.shrink(self.shard_bytes_max);
    }

    /// The follower has come to a message of this key.
    pub(crate) fn on_message(&self, key: Option<&str>, sequence: u64) {
        let Some(key) = key else {
            return self.on_progress(sequence);
        };
        let mut shard = self.shard(key);
        // Under the lock, or a write that was acknowledged before this message might be kept after it, for good.
        self.on_progress(sequence);
        shard.outdate(key, sequence);
    }

    /// The follower knows that nothing has come up to this sequence that it has not reported.
    pub(crate) fn on_progress(&self, sequence: u64) {
        self.applied.fetch_max(sequence, Relaxed);
    }
}

impl Shard {
    /// A message of the key has this sequence.
    fn outdate(&mut self, key: &str, sequence: u64) {
        match self.slots.peek_mut(key) {
            Some(Slot::Kept { as_of, .. }) if *as_of < sequence => self.remove(key),
            Some(Slot::Fetching { newest, .. }) => *newest = sequence.max(*newest),
            _ => {}
        }
    }

    fn put(&mut self, key: &str, slot: Slot) {
        self.bytes += weight(key, &slot);
        if let Some((key, old)) = self.slots.push(key.into(), slot) {
            self.bytes -= weight(&key, &old);
        }
    }

    fn remove(&mut self, key: &str) {
        if let Some((key, old)) = self.slots.pop_entry(key) {
            self.bytes -= weight(&key, &old);
        }
    }

    fn shrink(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max {
            let Some((key, old)) = self.slots.pop_lru() else {
                return;
            };
            self.bytes -= weight(&key, &old);
        }
    }
}

fn weight(key: &str, slot: &Slot) -> usize {
    let value = match slot {
        Slot::Kept {
            entry: Some(entry), ..
        } => entry.value.len(),
        _ => 0,
    };
    OVERHEAD_BYTES + key.len() + value
}

// Nothing that can panic runs under the lock.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use starling_kv::Version;

    use super::*;

    fn entry(sequence: u64) -> Option<Entry> {
        Some(Entry {
            value: Bytes::from(sequence.to_string()),
            version: Version::new(sequence),
        })
    }

    fn followed() -> Cache {
        let cache = Cache::new(1 << 20);
        cache.switch_on(10);
        cache
    }

    fn miss(cache: &Cache, key: &str) -> Ticket {
        match cache.look(key) {
            Look::Miss(ticket) => ticket,
            other => panic!("{other:?}"),
        }
    }

    fn hit(cache: &Cache, key: &str) -> Option<u64> {
        match cache.look(key) {
            Look::Hit(entry) => Some(entry.map_or(0, |entry| entry.version.get())),
            _ => None,
        }
    }

    #[test]
    fn what_was_read_is_kept_until_its_key_changes() {
        let cache = followed();
        let ticket = miss(&cache, "a");
        cache.keep("a", &ticket, entry(5), Some(5));
        assert_eq!(hit(&cache, "a"), Some(5));
        cache.on_message(Some("b"), 11);
        assert_eq!(hit(&cache, "a"), Some(5));
        cache.on_message(Some("a"), 12);
        assert_eq!(hit(&cache, "a"), None);
    }

    #[test]
    fn what_changed_while_it_was_read_is_not_kept() {
        let cache = followed();
        let ticket = miss(&cache, "a");
        cache.on_message(Some("a"), 11);
        cache.keep("a", &ticket, entry(5), Some(5));
        assert_eq!(hit(&cache, "a"), None);
        // What was read is the change itself.
        let ticket = miss(&cache, "b");
        cache.on_message(Some("b"), 12);
        cache.keep("b", &ticket, entry(12), Some(12));
        assert_eq!(hit(&cache, "b"), Some(12));
        // The key was missing, and came.
        let ticket = miss(&cache, "c");
        cache.on_message(Some("c"), 13);
        cache.keep("c", &ticket, None, None);
        assert_eq!(hit(&cache, "c"), None);
    }

    #[test]
    fn own_writes_are_read_at_once() {
        let cache = followed();
        cache.wrote("a", entry(11), 11);
        assert_eq!(hit(&cache, "a"), Some(11));
        cache.on_message(Some("a"), 11);
        assert_eq!(hit(&cache, "a"), Some(11));
    }

    #[test]
    fn own_write_that_was_overtaken_is_not_kept() {
        let cache = followed();
        cache.on_message(Some("a"), 11);
        cache.on_message(Some("a"), 12);
        cache.wrote("a", entry(11), 11);
        assert_eq!(hit(&cache, "a"), None);
    }

    #[test]
    fn nobody_reads_what_is_older_than_what_was_read_past_the_cache() {
        let cache = followed();
        let ticket = miss(&cache, "a");
        cache.keep("a", &ticket, entry(5), Some(5));
        // A swap was lost to another host's write, which the follower has not come to.
        cache.saw_of("a", 12);
        assert_eq!(hit(&cache, "a"), None);

        let slow = miss(&cache, "b");
        assert!(matches!(cache.look("b"), Look::Bypass));
        cache.saw_of("b", 13);
        cache.keep("b", &slow, entry(5), Some(5));
        assert_eq!(hit(&cache, "b"), None);
    }

    #[test]
    fn reader_that_comes_late_outdates_what_it_has_seen_replaced() {
        let cache = followed();
        let slow = miss(&cache, "a");
        cache.wrote("a", entry(11), 11);
        // It has read what another host wrote after that.
        cache.keep("a", &slow, entry(12), Some(12));
        assert_eq!(hit(&cache, "a"), None);
    }

    #[test]
    fn own_write_that_comes_late_is_not_kept_over_what_was_seen_meanwhile() {
        let cache = followed();
        let slow = miss(&cache, "a");
        // Another host's write, which somebody here has read past the cache.
        cache.saw_of("a", 12);
        cache.wrote("a", entry(11), 11);
        assert_eq!(hit(&cache, "a"), None);
        cache.keep("a", &slow, entry(11), Some(11));
        assert_eq!(hit(&cache, "a"), None);
    }

    #[test]
    fn own_write_outdates_what_is_being_read() {
        let cache = followed();
        let ticket = miss(&cache, "a");
        cache.wrote("a", entry(11), 11);
        cache.keep("a", &ticket, entry(5), Some(5));
        assert_eq!(hit(&cache, "a"), Some(11));

        let ticket = miss(&cache, "b");
        cache.on_message(Some("c"), 12);
        cache.wrote("b", entry(12), 12);
        cache.keep("b", &ticket, entry(5), Some(5));
        assert_eq!(hit(&cache, "b"), None);
    }

    #[test]
    fn missing_is_served_only_up_to_date() {
        let cache = followed();
        let ticket = miss(&cache, "audio");
        cache.keep("audio", &ticket, None, None);
        assert_eq!(hit(&cache, "audio"), Some(0));
        // A header with a later sequence was read from the server: the audio may be there by now.
        let ticket = miss(&cache, "header");
        cache.keep("header", &ticket, entry(12), Some(12));
        assert_eq!(hit(&cache, "audio"), None);
        cache.on_progress(12);
        assert_eq!(hit(&cache, "audio"), Some(0));
    }

    #[test]
    fn nothing_is_served_while_nobody_follows() {
        let cache = followed();
        cache.wrote("a", entry(11), 11);
        let ticket = miss(&cache, "b");
        cache.switch_off();
        assert_eq!(hit(&cache, "a"), None);
        cache.switch_on(20);
        cache.keep("b", &ticket, entry(5), Some(5));
        assert_eq!(hit(&cache, "b"), None);
        assert!(matches!(cache.look("a"), Look::Miss(_)));
    }

    #[test]
    fn size_is_bounded_and_the_oldest_goes() {
        let cache = Cache::new(16 * 1_000);
        cache.switch_on(0);
        for number in 0..1_000_u64 {
            cache.wrote(&format!("key-{number}"), entry(number + 1), number + 1);
        }
        let bytes: usize = cache.shards.iter().map(|shard| lock(shard).bytes).sum();
        assert!(bytes <= 16 * 1_000, "{bytes}");
        assert_eq!(hit(&cache, "key-0"), None);
        assert_eq!(hit(&cache, "key-999"), Some(1_000));
    }

    #[test]
    fn reader_that_gives_up_leaves_nothing() {
        let cache = followed();
        let ticket = miss(&cache, "a");
        assert!(matches!(cache.look("a"), Look::Bypass));
        cache.give_up("a", &ticket);
        assert!(matches!(cache.look("a"), Look::Miss(_)));
    }
}
