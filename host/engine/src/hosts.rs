//! The interfaces of `wit/` that guests import, over the key-value stores and variables of their [`Grant`].
//!
//! [`Grant`]: crate::Grant

pub(crate) mod key_value;
pub(crate) mod management;
mod metered;
pub(crate) mod variables;
pub(crate) mod wasi_keyvalue;

use wasmtime::component::Linker;

use crate::bindings::{spin, wasi};
use crate::state::{Lending, State};

/// Offers all of them through `linker`.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    spin::key_value::key_value::add_to_linker::<_, Lending>(linker, State::lend)?;
    spin::variables::variables::add_to_linker::<_, Lending>(linker, State::lend)?;
    wasi::keyvalue::store::add_to_linker::<_, Lending>(linker, State::lend)?;
    wasi::keyvalue::atomics::add_to_linker::<_, Lending>(linker, State::lend)?;
    wasi::keyvalue::batch::add_to_linker::<_, Lending>(linker, State::lend)?;
    wasi::config::store::add_to_linker::<_, Lending>(linker, State::lend)?;
    management::add_to_linker(linker)
}
