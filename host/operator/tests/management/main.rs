//! The client of the management API, and deploying with it, against a server that speaks the API.

mod api;
mod deploying;
mod host;
mod targets;
