//! What a fleet is, and how it is supervised, without any means of reaching the world: hosts and whether they live, the
//! state that is wanted of them, rollouts and what moves them, and when a new version is worse than the old one.
//!
//! Every host of a fleet runs a management instance, and none of them leads. Each writes what it sees of its own host
//! ([`Heartbeat`]) and what was entered or decided in its region ([`Desired`]) into its region's store, reads the stores
//! of all regions, and draws its conclusions from the join:
//!
//! ```text
//! rules       = desired(region 1) ⊔ desired(region 2) ⊔ …
//! own desired := own desired ⊔ change(rules, fleet)
//! traffic      = split(rules, component, own version, place)
//! ```
//!
//! The join ([`starling_mailbox::Join`]) is commutative, associative and idempotent, so all instances come to the same
//! conclusion once they have read the same, and a region that is cut off goes on with what it has.
//!
//! # Clocks
//!
//! The clocks of hosts are assumed to be within two seconds of each other ([`CLOCK_SKEW_MAX_MS`]). A wrong clock makes a
//! host look suspected too early or too late, and a step of a rollout last too short or too long. No deposit depends on
//! it.
//!
//! # Invariants
//!
//! - No I/O, clock, randomness, environment or concurrency: what is needed of them is an argument. The crate's
//!   `clippy.toml` bans the usual doors.
//! - The same input gives the same decision, whichever instance decides.
//! - No input makes it panic: stored bytes and figures come from outside.

mod advance;
mod artifact;
mod desired;
mod documents;
mod end;
mod figures;
mod fleet;
mod health;
mod heartbeat;
mod history;
mod ids;
pub mod keys;
mod plan;
mod regression;
mod rollout;
mod serving;
mod split;
mod statistics;

pub use advance::{STEPS_WAITED_MAX, Transition, advance};
pub use artifact::{ARTIFACT_BYTES_MAX, ARTIFACT_CHUNK_BYTES, ArtifactRecord};
pub use desired::{ChangeError, Desired, Origin, Rollback, RolloutView};
pub use documents::{DOCUMENT_VERSION, DecodeError, Document, decode, encode};
pub use end::{End, EndKind};
pub use figures::Figures;
pub use fleet::{
    BEAT_MS, CLOCK_SKEW_MAX_MS, Fleet, Life, Members, OUT_AFTER_MS, SUSPECTED_AFTER_MS,
};
pub use health::{
    FAILURES_MIN, PROBE_KEPT_MS, PROBE_RECENT_MS, probe_targets, readiness, siblings,
};
pub use heartbeat::{
    Capacity, ComponentReport, Heartbeat, Load, Probe, Readiness, Refusal, Route, VersionReport,
    VersionState,
};
pub use history::{Floor, History, ROLLOUTS_MAX};
pub use ids::{ComponentName, Digest, HostId, InvalidId, RolloutId, Zone};
pub use plan::{Place, Step, Strategy};
pub use regression::{
    Observed, REQUESTS_MIN, Regression, Verdict, WINDOW_MS, assess, observe, window_ms,
};
pub use rollout::{
    CANARY_PERCENT_DEFAULT, Draft, InvalidDraft, Progress, Rollout, RolloutState, STEP_MS_DEFAULT,
    STEP_MS_MAX, STEP_MS_MIN, Spec,
};
pub use split::{Share, split, wanted};
