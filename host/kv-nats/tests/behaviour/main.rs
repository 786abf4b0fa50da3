//! What the provider does on real servers: alone, with other regions, and when either fails. A file for each subject.

mod access;
mod cache;
mod errors;
mod geo;
mod isolation;
mod listing;
mod regression;
mod replication;
mod support;
