//! Adaptive admission: how many requests one event loop takes at once, and which go first.
//!
//! A loop that is asked for more than it can do must refuse some at once: else all wait, and are
//! answered when their clients have gone. [`Admission::admit`] decides for one loop, and hands out
//! a [`Permit`]: a place, which is free again when the permit is dropped. There is no clock, no I/O
//! and no randomness in here; callers tell the time.
//!
//! # The algorithm
//!
//! Each [`Resource`] has a concurrency limit of its own, moved by the **latency gradient**: after
//! each window of answers it is multiplied by *tolerated latency / measured latency*, by 1/4 at
//! least and 5/4 at most. Tolerated is a multiple of the **baseline**, which is the mean latency
//! without load and is kept for each [`Kind`]. So the limit comes to rest where the queue stretches
//! latencies by as much as is tolerated, which by Little's law is that multiple of the requests
//! that are in service at full throughput. Where each idea comes from:
//!
//! - The queue is estimated from latency against latency without load, as by TCP Vegas
//!   (L. Brakmo, L. Peterson: *TCP Vegas: End to End Congestion Avoidance on a Global Internet*,
//!   IEEE JSAC, 1995). Vegas steers for a number of queued packets, and a queue of three is far too
//!   long for a loop that serves one at a time.
//! - The multiplicative step, the baseline as a mean, and no growth of a limit that nobody needs
//!   are those of `Gradient2Limit` in Netflix' concurrency-limits
//!   (<https://github.com/Netflix/concurrency-limits>, 2018). Its baseline is a slow mean of *all*
//!   latencies, so a long overload becomes the norm; here only requests that had the resource to
//!   themselves count.
//! - A baseline that went unmeasured while requests are refused is measured by a **probe**: for at
//!   most 100 ms of 10 s, one request at a time is taken. This is `ProbeRTT` of BBR (N. Cardwell et
//!   al.: *BBR: Congestion-Based Congestion Control*, ACM Queue, 2016). So the baseline follows a
//!   machine that becomes slower, and a standing queue cannot pass for one.
//! - A queue that empties now and then is a burst, and only one that stands is a fault: CoDel
//!   (K. Nichols, V. Jacobson: *Controlling Queue Delay*, ACM Queue, 2012). The limit does not
//!   shrink while one request in sixteen finds nothing before it, and one in the last hundred did.
//!   Without this rule a simulated loop at 80 % of its capacity refused 12 % of its requests, with
//!   it less than 1 %.
//! - A loop that refuses nobody tolerates a longer queue than one that does: some dozen clients who
//!   each wait for their answer are no overload; but once there are more than can be served, to let
//!   those who are admitted wait helps nobody. This is the rule by which
//!   Facebook sheds load (B. Maurer: *Fail at Scale*, ACM Queue, 2015), after CoDel: a queue that
//!   does not empty has a short time, any other a long one.
//! - Priorities fill shares of the limit, as in Netflix' prioritized load shedding: low ones a
//!   quarter, normal ones a half, and each only what greater ones leave of that. While a greater
//!   one was refused just now, lesser ones wait for an empty loop, as by the moving threshold of
//!   DAGOR (H. Zhou et al.: *Overload Control for Scaling WeChat Microservices*, ACM SoCC, 2018). A loop
//!   that has nothing but low work to do reaches its full capacity all the same: the limit grows
//!   until the share suffices.
//! - A request weighs what its baseline is of that of the requests which make up most of the work,
//!   and at most 1: what fills a loop is work, not requests.
//!
//! Plain additive increase and multiplicative decrease (D. Chiu, R. Jain, 1989) needs losses or
//! timeouts to learn from, and so learns from clients who already waited too long.
//!
//! # Why two limits
//!
//! A loop gains nothing from a third request that computes. A deposit waits for the disk, which
//! syncs for a hundred as fast as for one. With one limit for both, a flood of listings starves the
//! deposits. With a limit for each kind of work, the order of priorities is lost: with two requests
//! in flight, each kind sees the other's queue and not its own, and whoever came first stays. Both
//! were simulated; `tests/overload.rs` holds what the choice made here achieves.
//!
//! # What it does not see
//!
//! Requests that the loop has not read yet; that one has waited unread it is told
//! ([`Arrival::Late`]). And a place is held for as long as its permit: a server
//! that keeps permits while slow clients take long bodies lets those clients use up the limit.
//! Nor does it know what work that waits for the store takes of the loop: where deposits alone use
//! up the processor, reads are refused more, and those that are admitted are slow.

mod admission;
mod baseline;
mod config;
mod limit;
mod pool;
mod priority;
mod probe;
mod refusals;
mod snapshot;
mod state;
mod weights;
mod window;

pub use admission::{Admission, Permit, Refused};
pub use config::Config;
pub use priority::{Arrival, Kind, Outcome, Priority, Resource};
pub use snapshot::{PoolSnapshot, Snapshot};
