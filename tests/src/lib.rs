//! What the end-to-end tests and benchmarks are written with: the real host as a child process, a real HTTP client,
//! real speech.
//!
//! - [`host`] starts `starling up`, reads its address, keeps its output and ends it;
//! - [`client`] sends requests, on a fresh connection or a kept one, and reads answers;
//! - [`wire`] sends bytes that no client library would, and [`http2`] frames;
//! - [`app`] writes manifests for the voicemail application and for the tests' own component;
//! - [`compiled`] lets hosts share what one of them has compiled;
//! - [`deployment`] is several regions, each with its NATS and its hosts, and a network between them that breaks;
//! - [`operator`] is a shell on a host's machine, and [`versions`] are components to deploy from it;
//! - [`load`] is clients that go on meanwhile, and what became of their requests;
//! - [`traffic`] is what stands in front of a fleet: who is sent where, and retries;
//! - [`mailbox`] speaks the voicemail API;
//! - [`audio`] makes speech in the encodings that callers send;
//! - [`readme`] reads the commands that README.md tells its readers to run;
//! - [`table`] is what benchmarks print, [`plot`] what they draw, and [`aim`] what they should show;
//! - [`schedule`], [`answer`] and [`latencies`] are what a benchmark's load is made of;
//! - [`usage`] is what a process takes of the machine, and [`flat`] tells whether that grows;
//! - [`random`] is a seeded source of choices, so that a failure can be repeated.
//!
//! Helpers panic with what a person needs to know, because that is how a test fails.

pub mod aim;
pub mod answer;
pub mod app;
pub mod audio;
pub mod client;
pub mod compiled;
pub mod deployment;
pub mod flat;
pub mod host;
pub mod http2;
pub mod latencies;
pub mod load;
pub mod mailbox;
pub mod operator;
pub mod paths;
pub mod plot;
pub mod random;
pub mod readme;
pub mod schedule;
pub mod table;
pub mod traffic;
pub mod usage;
pub mod versions;
pub mod wire;
