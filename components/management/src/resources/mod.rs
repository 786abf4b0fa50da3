//! The resources of the API, one file each.

pub(crate) mod artifact;
pub(crate) mod fleet;
pub(crate) mod rollout;
