//! How a fleet behaves over time: simulated hosts in regions that hear of each other late or not at all, each of which
//! supervises itself as a management instance would.

mod fleet;
mod health;
mod model;
mod rollbacks;
mod rollouts;
