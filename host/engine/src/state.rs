//! The state that the host keeps for one instance, and the views of it that each interface is lent.

use std::sync::Arc;

use wasmtime::ResourceLimiter;
use wasmtime::component::{HasData, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::component::Grant;
use crate::guard::Guard;
use crate::outbound::OutboundPolicy;

/// Everything that belongs to one instance.
pub(crate) struct State {
    pub(crate) wasi: WasiCtx,
    pub(crate) http: WasiHttpCtx,
    pub(crate) outbound: OutboundPolicy,
    pub(crate) table: ResourceTable,
    pub(crate) grant: Arc<Grant>,
    pub(crate) guard: Arc<Guard>,
}

impl State {
    /// What `wasi:http` is lent.
    pub(crate) fn http_view(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.outbound,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }

    /// What our own interfaces are lent.
    pub(crate) fn lend(&mut self) -> Lent<'_> {
        Lent {
            grant: &self.grant,
            guard: &self.guard,
            table: &mut self.table,
        }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.http_view()
    }
}

impl ResourceLimiter for State {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.guard.allow_memory(desired))
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.guard.allow_table(desired))
    }
}

/// The part of [`State`] that the stores and variables interfaces need.
pub(crate) struct Lent<'a> {
    pub(crate) grant: &'a Arc<Grant>,
    pub(crate) guard: &'a Arc<Guard>,
    pub(crate) table: &'a mut ResourceTable,
}

/// Names [`Lent`] to wasmtime's linker.
pub(crate) struct Lending;

impl HasData for Lending {
    type Data<'a> = Lent<'a>;
}
