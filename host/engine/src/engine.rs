//! The compiler, the linker and the clock that all components of a process share.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use sha2::{Digest, Sha256};
use starling_telemetry::LimitCounts;
use wasmtime::component::Linker;
use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::cache::Cache;
use crate::component::{Component, Grant, INSTANCES_APART};
use crate::error::{LoadError, StartError};
use crate::guard::TICK;
use crate::hosts;
use crate::limits::Limits;
use crate::state::State;

/// Stacks that one component instance may take from the pool, on average: one for the guest, and one for a call of it
/// that waits in the middle.
const STACKS_PER_COMPONENT: u32 = 2;

/// Core instances and tables that one component instance may take from the pool, on average. A component
/// of Rust's wasm32-wasip2 target has one to four core instances and as many tables.
const CORE_INSTANCES_PER_COMPONENT: u32 = 8;

/// An instance's tables are wiped and kept for the next one up to these many bytes; what is past them goes back to the
/// system, by a call to it and a page fault when the next instance comes. The voicemail component's has 500 entries, 4 KiB.
///
/// Linear memory goes back whole. Wasmtime can wipe what of it was written to (`pagemap_scan`, `linear_memory_keep_resident`),
/// but passes over pages that the kernel has just moved or swapped out, so that the next instance would see them
/// (bytecodealliance/wasmtime#14357). And to wipe the beginning unseen is to wipe a stack of 1 MiB.
const TABLE_BYTES_WIPED_MAX: usize = 16 << 10;

/// What the names of the interfaces begin with that are offered to management components alone.
const MANAGEMENT: &str = "starling:management/";

/// The most instances that a pool is laid out for: each reserves about 4 GiB of address space.
const POOL_INSTANCES_MAX: u32 = 8_000;

/// Compiles components and makes their instances. One for each process.
pub struct Engine {
    wasmtime: wasmtime::Engine,
    linker: Linker<State>,
    cache: Cache,
    limits: Limits,
    reached: Arc<LimitCounts>,
}

impl Engine {
    /// Starts an engine with room for `components` components, and with its cache of compiled components in
    /// `cache_folder`. How often a guest reaches one of the `limits` is counted in `reached`.
    ///
    /// # Errors
    /// When the pool does not fit into the address space, or the folder cannot be used.
    pub fn start(
        limits: Limits,
        reached: Arc<LimitCounts>,
        components: u32,
        cache_folder: &Path,
    ) -> Result<Self, StartError> {
        let wasmtime =
            wasmtime::Engine::new(&config(&limits, components)).map_err(StartError::Engine)?;
        let cache = Cache::open(cache_folder.to_owned(), &wasmtime).map_err(|source| {
            StartError::Cache {
                path: cache_folder.to_owned(),
                source,
            }
        })?;
        let linker = linker(&wasmtime).map_err(StartError::Engine)?;
        start_clock(&wasmtime);
        Ok(Self {
            wasmtime,
            linker,
            cache,
            limits,
            reached,
        })
    }

    /// Makes a component ready to run: from the cache, or by compiling it.
    ///
    /// `name` is for logs; `grant` is all that the component may use of this host.
    ///
    /// # Errors
    /// When the bytes are not a component, or it imports what this host does not offer, or it handles no requests.
    pub fn load(&self, name: &str, bytes: &[u8], grant: Grant) -> Result<Component, LoadError> {
        // The layer in the preamble tells a component (1) from a core module (0).
        match bytes {
            [0, b'a', b's', b'm', _, _, 0, 0, ..] => return Err(LoadError::CoreModule),
            [0, b'a', b's', b'm', ..] => {}
            _ => return Err(LoadError::NotWebAssembly),
        }
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        let compiled = self.compiled(name, bytes, &digest)?;
        if grant.management.is_none() {
            refuse_management(&compiled, &self.wasmtime)?;
        }
        let digest = digest.iter().fold("sha256:".to_owned(), |text, byte| {
            format!("{text}{byte:02x}")
        });
        let (limits, reached) = (self.limits.clone(), self.reached.clone());
        Component::link(
            name,
            &digest,
            &compiled,
            &self.linker,
            grant,
            limits,
            reached,
        )
    }

    fn compiled(
        &self,
        name: &str,
        bytes: &[u8],
        digest: &[u8; 32],
    ) -> Result<wasmtime::component::Component, LoadError> {
        if let Some(code) = self.cache.read(digest) {
            match self.load_code(&code) {
                Ok(component) => return Ok(component),
                Err(error) => {
                    tracing::warn!(component = name, %error, "a compiled component is not used")
                }
            }
        }
        tracing::info!(component = name, bytes = bytes.len(), "compiling");
        let code = self
            .wasmtime
            .precompile_component(bytes)
            .map_err(LoadError::Invalid)?;
        if let Err(error) = self.cache.write(digest, &code) {
            tracing::warn!(component = name, %error, "the compiled component could not be kept");
        }
        self.load_code(&code).map_err(LoadError::Invalid)
    }

    /// Takes compiled code for a component. Callers give what this engine has just made, or what the cache vouches for.
    #[expect(
        unsafe_code,
        reason = "compiled code is native code, which only its origin makes safe to load"
    )]
    fn load_code(&self, code: &[u8]) -> wasmtime::Result<wasmtime::component::Component> {
        // SAFETY: the code was made by this very engine configuration, now or by this user's host before: the cache
        // answers only what it has sealed itself, for these very bytes of a component (see `cache`).
        unsafe { wasmtime::component::Component::deserialize(&self.wasmtime, code) }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Refuses an application component that would manage its host.
fn refuse_management(
    component: &wasmtime::component::Component,
    engine: &wasmtime::Engine,
) -> Result<(), LoadError> {
    let imports = component.component_type();
    let mut names = imports.imports(engine).map(|(name, _)| name);
    match names.find(|name| name.starts_with(MANAGEMENT)) {
        Some(import) => Err(LoadError::ImportNotAllowed {
            import: import.to_owned(),
        }),
        None => Ok(()),
    }
}

fn config(limits: &Limits, components: u32) -> Config {
    let instances = limits
        .instances_max
        .saturating_add(INSTANCES_APART)
        .saturating_mul(components.max(1))
        .min(POOL_INSTANCES_MAX);
    let parts = instances * CORE_INSTANCES_PER_COMPONENT;
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(instances)
        .total_core_instances(parts)
        .total_memories(instances)
        .total_tables(parts)
        .total_stacks(instances * STACKS_PER_COMPONENT)
        .max_memory_size(limits.memory_bytes_max)
        .table_elements(limits.table_entries_max)
        .table_keep_resident(TABLE_BYTES_WIPED_MAX);
    let mut config = Config::new();
    config
        .wasm_component_model_async(true)
        .epoch_interruption(true)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    hosts::add_to_linker(&mut linker)?;
    Ok(linker)
}

/// Raises the epoch every [`TICK`] for as long as the engine lives.
fn start_clock(engine: &wasmtime::Engine) {
    let engine = engine.weak();
    thread::Builder::new()
        .name("epoch".to_owned())
        .spawn(move || {
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                thread::sleep(TICK);
            }
        })
        .expect("a thread can be started at start-up");
}
