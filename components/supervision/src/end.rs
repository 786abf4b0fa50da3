//! How a rollout ended.

use serde::{Deserialize, Serialize};
use starling_mailbox::{Join, Region};

/// In which way a rollout ended. The greater one holds, so that a region which was cut off and saw the new version fail
/// is heard when it is back, whatever the others have done meanwhile.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndKind {
    /// The new version serves everywhere.
    Done,
    /// An operator has brought the old version back.
    Aborted,
    /// A regression or a refusal has brought the old version back.
    Reverted,
}

/// How, when and where a rollout ended.
///
/// Of two ends of one kind the earlier one is told; of two at once, that of the smaller region.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct End {
    /// In which way.
    pub kind: EndKind,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Where it was decided.
    pub region: Region,
    /// Why, in words for an operator, if there is more to say.
    pub reason: Option<String>,
}

impl Join for End {
    fn join(&mut self, other: Self) {
        let account = |end: &Self| (end.at_ms, end.region.clone(), end.reason.clone());
        let prevails =
            other.kind > self.kind || other.kind == self.kind && account(&other) < account(self);
        if prevails {
            *self = other;
        }
    }
}
