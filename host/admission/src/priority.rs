//! Which requests go first, and which are told apart.

/// How much a request matters. A lesser priority is refused before a greater one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// What can be asked again without loss: listings.
    Low,
    /// Reads of one thing.
    Normal,
    /// What a caller cannot repeat: deposits.
    High,
    /// Health and management. Always admitted, never counted against a limit, never sampled.
    Critical,
}

impl Priority {
    /// The priorities that can be refused, from the least.
    pub const REFUSABLE: [Self; 3] = [Self::Low, Self::Normal, Self::High];

    /// The position in [`Self::REFUSABLE`]; none for [`Self::Critical`].
    pub(crate) fn rank(self) -> Option<usize> {
        Self::REFUSABLE.iter().position(|other| *other == self)
    }
}

/// What a kind of work waits for when there is much of it. Each has a limit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// The event loop: reads, listings. More of them at once do not make the loop faster.
    Loop,
    /// The disk or the network: deposits and what else is written. Many at once share a sync.
    Store,
}

impl Resource {
    /// All, in the order of their indices.
    pub const ALL: [Self; 2] = [Self::Loop, Self::Store];

    pub(crate) fn index(self) -> usize {
        match self {
            Self::Loop => 0,
            Self::Store => 1,
        }
    }
}

/// A kind of work: requests whose latency without load is alike, such as those of one route.
/// It has its own baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    /// What it waits for.
    pub resource: Resource,
    /// Which of those that wait for it. Small: there is an array of so many.
    pub index: u8,
}

/// How a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Just now.
    Fresh,
    /// Unread for a while, since its client had been refused and was not listened to. It is refused
    /// unheard while others are, but for [`Priority::High`]: to take it would be to take what has
    /// waited for longest.
    Late,
}

/// What the latency of an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The host was at work all the time: the latency counts.
    Served,
    /// The latency says nothing of the host: the client went away, or was slow to upload.
    Unsampled,
}
