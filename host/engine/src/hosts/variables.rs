//! `spin:variables@3.0.0` and `wasi:config/store`: the component's variables, read only.

use wasmtime::component::Accessor;

use crate::bindings::spin::variables::variables::{self, Error};
use crate::bindings::wasi::config::store as config;
use crate::state::{Lending, Lent};

impl<T: Send> variables::HostWithStore<T> for Lending {
    async fn get(
        accessor: &Accessor<T, Self>,
        name: String,
    ) -> wasmtime::Result<Result<String, Error>> {
        Ok(accessor.with(|mut access| {
            if !is_variable_name(&name) {
                return Err(Error::InvalidName(format!(
                    "`{name}` is not a variable name: lower-case letters, digits and `_`, a letter first"
                )));
            }
            match access.get().grant.variables.get(&name) {
                Some(value) => Ok(value.clone()),
                None => Err(Error::Undefined(format!("the component has no variable `{name}`"))),
            }
        }))
    }
}

impl variables::Host for Lent<'_> {}

impl config::Host for Lent<'_> {
    fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, config::Error>> {
        Ok(Ok(self.grant.variables.get(&key).cloned()))
    }

    fn get_all(&mut self) -> wasmtime::Result<Result<Vec<(String, String)>, config::Error>> {
        Ok(Ok(self.grant.variables.clone().into_iter().collect()))
    }
}

/// Spin's rule for the names of variables.
fn is_variable_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}
