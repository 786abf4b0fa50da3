//! The join, its laws, and the pieces that everything stored is made of.
//!
//! State that is changed in several regions at once must come out the same in all of them, without
//! anybody being asked. That holds for state-based replicated data types (Shapiro, Preguiça,
//! Baquero, Zawirski: "Conflict-free Replicated Data Types", 2011) whose values form a semilattice:
//! a least upper bound exists for any two of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Stamp;

/// A value that can be joined with any other of its type.
///
/// # Laws
///
/// For all `a`, `b`, `c`, writing `a ⊔ b` for `a.joined(b)`:
///
/// - commutative: `a ⊔ b == b ⊔ a`
/// - associative: `(a ⊔ b) ⊔ c == a ⊔ (b ⊔ c)`
/// - idempotent: `a ⊔ a == a`
/// - inflationary: with `a ≤ b` defined as `a ⊔ b == b`, both `a ≤ a ⊔ b` and `b ≤ a ⊔ b`: nothing
///   is ever lost
///
/// A type built of joinable fields, joined field by field, obeys them too. Everything else must be
/// proven in `tests/laws.rs`.
pub trait Join: Sized {
    /// Replaces `self` by the least upper bound of `self` and `other`.
    fn join(&mut self, other: Self);

    /// The least upper bound, by value.
    #[must_use]
    fn joined(mut self, other: Self) -> Self {
        self.join(other);
        self
    }
}

/// The absent value is the bottom: anything is more than nothing.
impl<T: Join> Join for Option<T> {
    fn join(&mut self, other: Self) {
        match (self.as_mut(), other) {
            (_, None) => {}
            (Some(mine), Some(theirs)) => mine.join(theirs),
            (None, theirs) => *self = theirs,
        }
    }
}

/// Union; what both hold is joined.
impl<K: Ord, V: Join> Join for BTreeMap<K, V> {
    fn join(&mut self, other: Self) {
        // A mailbox is often that of one region alone: what is joined into nothing is not gone through.
        if self.is_empty() {
            *self = other;
            return;
        }
        for (key, theirs) in other {
            match self.get_mut(&key) {
                Some(mine) => mine.join(theirs),
                None => {
                    self.insert(key, theirs);
                }
            }
        }
    }
}

/// A register whose last writer wins: the greater stamp, whatever the order of arrival.
///
/// Two different values under one stamp should not exist, since each stamp is greater than all that
/// its author saw; should a restored backup or a cloned host make them all the same, the greater
/// value wins, because a join that kept "its own" would not be commutative. The derived order is
/// exactly this rule: stamp first, then value.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Register<T> {
    /// When and where the value was written.
    pub stamp: Stamp,
    /// What was written.
    pub value: T,
}

impl<T: Ord> Join for Register<T> {
    fn join(&mut self, other: Self) {
        if other > *self {
            *self = other;
        }
    }
}
