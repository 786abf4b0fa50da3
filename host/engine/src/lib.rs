//! Runs WASI components: compiles them ahead of time, keeps bounded pools of instances, and hands requests to them.
//!
//! This is the only crate that names wasmtime. Whoever embeds it sees five things:
//!
//! - [`Engine`]: one for each process. Owns the compiler, the linker and the clock that interrupts guests.
//! - [`Component`]: a component ready to be instantiated, from [`Engine::load`]. Cheap to clone.
//! - [`Versions`]: which components take which share of the requests for one name.
//! - [`Instances`]: the instances of one component that one event loop runs, from [`Versions::balanced`].
//! - [`RequestError`]: why an instance gave no response. Mapping it to a reply is the server's business.
//!
//! A guest sees nothing but what its [`Grant`] says: its environment, its variables, its stores, and the hosts it
//! may reach.

mod answering;
mod bindings;
mod budget;
mod cache;
mod component;
mod engine;
mod error;
mod figures;
mod guard;
mod hosts;
mod instances;
mod limits;
mod outbound;
mod output;
mod pool;
mod request;
mod shared;
mod state;
mod values;
mod versions;
mod worker;

pub use bindings::starling::management;
pub use component::{Component, Grant};
pub use engine::Engine;
pub use error::{LoadError, RequestError, StartError};
pub use figures::{Figures, FiguresSnapshot};
pub use hosts::management::Management;
pub use instances::Instances;
pub use limits::{Isolation, Limits};
pub use outbound::{AllowedHosts, AllowedHostsError};
pub use request::{Body, Response, empty_body, relayed_body};
pub use versions::{Balanced, NotWhole, Share, Versions};
