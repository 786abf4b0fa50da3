//! What can be done to each resource: one file for each, one function for each method.

pub(crate) mod audio;
pub(crate) mod distribution;
pub(crate) mod forward;
pub(crate) mod greeting;
pub(crate) mod mailbox;
pub(crate) mod mailboxes;
pub(crate) mod message;
pub(crate) mod messages;
pub(crate) mod sessions;
pub(crate) mod spool;
