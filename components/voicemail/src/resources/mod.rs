//! What can be done to each resource: one file for each, one function for each method.

pub(crate) mod audio;
pub(crate) mod mailbox;
pub(crate) mod message;
pub(crate) mod messages;
