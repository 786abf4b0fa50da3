//! `starling:management@0.1.0`, over what the composition root grants as [`Management`].
//!
//! The linker offers it to every component; [`Engine::load`](crate::Engine::load) refuses those that import it and are
//! granted none.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::Linker;

use crate::bindings::starling::management::{artifacts, host, instances, traffic};
use crate::state::{Lending, Lent, State};

/// What a management component may ask of its host. The types are those of `wit/management.wit`, which says what each
/// of these does.
///
/// A call comes from an event loop: it answers from memory.
pub trait Management: Send + Sync + 'static {
    /// Who this host is.
    fn identity(&self) -> host::HostIdentity;

    /// The routes of its front door.
    fn routes(&self) -> Vec<host::Route>;

    /// Says whether it may take traffic.
    fn set_readiness(&self, readiness: host::Readiness);

    /// Says which other hosts there are.
    fn set_siblings(&self, siblings: Vec<host::Sibling>);

    /// Says how the rollouts stand.
    fn report_rollouts(&self, rollouts: Vec<host::Rollout>);

    /// Every version, with its figures of the last `window`.
    fn versions(&self, window: Duration) -> Vec<instances::Version>;

    /// Starts to make a version ready, or says how far it is.
    fn stage(&self, component: &str, digest: &str) -> artifacts::State;

    /// Drops a version.
    fn forget(&self, component: &str, digest: &str);

    /// Shares a component's requests among versions.
    ///
    /// # Errors
    /// Why not, in words for an operator.
    fn shift(&self, component: &str, shares: &[traffic::Share]) -> Result<(), String>;
}

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    host::add_to_linker::<_, Lending>(linker, State::lend)?;
    instances::add_to_linker::<_, Lending>(linker, State::lend)?;
    artifacts::add_to_linker::<_, Lending>(linker, State::lend)?;
    traffic::add_to_linker::<_, Lending>(linker, State::lend)
}

impl Lent<'_> {
    fn management(&self) -> wasmtime::Result<&Arc<dyn Management>> {
        self.grant
            .management
            .as_ref()
            .ok_or_else(|| wasmtime::format_err!("the component may not manage its host"))
    }
}

impl host::Host for Lent<'_> {
    fn identity(&mut self) -> wasmtime::Result<host::HostIdentity> {
        Ok(self.management()?.identity())
    }

    fn routes(&mut self) -> wasmtime::Result<Vec<host::Route>> {
        Ok(self.management()?.routes())
    }

    fn set_readiness(&mut self, readiness: host::Readiness) -> wasmtime::Result<()> {
        self.management()?.set_readiness(readiness);
        Ok(())
    }

    fn set_siblings(&mut self, siblings: Vec<host::Sibling>) -> wasmtime::Result<()> {
        self.management()?.set_siblings(siblings);
        Ok(())
    }

    fn report_rollouts(&mut self, rollouts: Vec<host::Rollout>) -> wasmtime::Result<()> {
        self.management()?.report_rollouts(rollouts);
        Ok(())
    }
}

impl instances::Host for Lent<'_> {
    fn list(&mut self, window_ms: u64) -> wasmtime::Result<Vec<instances::Version>> {
        let window = Duration::from_millis(window_ms);
        Ok(self.management()?.versions(window))
    }

    fn latency_bounds_us(&mut self) -> wasmtime::Result<Vec<u64>> {
        self.management()?;
        let micros = |bound: &f64| Duration::from_secs_f64(*bound).as_micros();
        let bounds = starling_telemetry::LATENCY_BOUNDS_S.iter().map(micros);
        Ok(bounds
            .map(|bound| u64::try_from(bound).unwrap_or(u64::MAX))
            .collect())
    }
}

impl artifacts::Host for Lent<'_> {
    fn stage(&mut self, component: String, digest: String) -> wasmtime::Result<artifacts::State> {
        Ok(self.management()?.stage(&component, &digest))
    }

    fn forget(&mut self, component: String, digest: String) -> wasmtime::Result<()> {
        self.management()?.forget(&component, &digest);
        Ok(())
    }
}

impl traffic::Host for Lent<'_> {
    fn shift(
        &mut self,
        component: String,
        shares: Vec<traffic::Share>,
    ) -> wasmtime::Result<Result<(), String>> {
        Ok(self.management()?.shift(&component, &shares))
    }
}
