//! The end-to-end tests: each starts the real host, talks to it as a client does, and ends it. None needs another,
//! a fixed port or a clock; `cargo xtask test <name>` runs those whose path holds `<name>`.

mod access;
mod bad_input;
mod chaos;
mod crash;
mod demonstration;
mod disk;
mod drain;
mod flat;
mod fleet;
mod guests;
mod imports;
mod isolation;
mod limits;
mod limits_of_connections;
mod limits_of_http2;
mod manifest;
mod misbehaving;
mod openapi;
mod overload;
mod places;
mod redis;
mod regions;
mod repository;
mod service;
mod startup;
mod store;
mod timer;
mod tour;
mod traces;
mod voicemail;
