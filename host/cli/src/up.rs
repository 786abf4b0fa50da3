//! `starling up`: reads, checks and opens everything before it listens; then serves until it is told to go.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, getrlimit, setrlimit};
use starling_engine::{AllowedHosts, Engine, Grant, Versions};
use starling_server::{
    Admin, Drain, Gates, ReadinessLatch, Route, Routes, Server, Siblings, Timer, drain,
};
use starling_telemetry::{LimitCounts, attribute};
use tokio::signal::unix::{SignalKind, signal};

use crate::admin::{self, HostPages};
use crate::args::Up;
use crate::listing;
use crate::management;
use crate::manifest::{self, Manifest};
use crate::metrics::Durations;
use crate::runtime_config::RuntimeConfig;
use crate::session_key::{self, Source};
use crate::state_dir::StateDir;
use crate::stores::{FLEET, Stores};
use crate::template::expand;
use crate::variables;

/// Runs the application until a signal ends it.
pub(crate) fn run(args: &Up) -> Result<()> {
    starling_telemetry::install_logs(args.log_format, &args.log)?;
    let manifest = Manifest::read(&args.manifest)?;
    let config = RuntimeConfig::read(args.runtime_config_file.as_deref())?;
    // An empty key is none: it does not take the place of one in the manifest.
    let environment = |name: &str| {
        let value = std::env::var(name).ok()?;
        (name != session_key::ENVIRONMENT || !value.is_empty()).then_some(value)
    };
    let key_source = session_key::source(&manifest.variables, environment, args.insecure_open)?;
    let state_dir = StateDir::hold(&args.state_dir)?;
    let key = session_key(key_source, &state_dir)?;
    let variables = variables::resolve(&manifest.variables, |name, environment_name| {
        match &key {
            Some(key) if environment_name == session_key::ENVIRONMENT => Some(key.clone()),
            // What the configuration says of regions rules: stores and replicas follow it.
            _ => config
                .variable(name)
                .or_else(|| environment(environment_name)),
        }
    })?;

    let admin = Admin::listen(args.admin_listen)
        .with_context(|| format!("{} cannot be listened on", args.admin_listen))?;
    let durations = Durations::default();
    let reached = Arc::new(LimitCounts::default());
    let stores = Arc::new(open_stores(&manifest, &config, &state_dir, &durations)?);
    let engine = Arc::new(start_engine(&manifest, &config, &reached, &state_dir)?);
    let components = load(&manifest, &engine, &variables, &stores)?;
    let routes = routes(&manifest, &components)?;
    let timers = timers(&manifest, &components)?;
    let limits = config.limits.server();
    let notice = limits.drain_notice;
    raise_open_files();
    let event_loops = event_loops(args, config.limits.engine().instances_max);
    // Who is not managed has nobody who would say that it is ready.
    let readiness = match manifest.management {
        Some(_) => ReadinessLatch::default(),
        None => ReadinessLatch::ready(),
    };
    let siblings = Siblings::default();
    let gates = Gates::default();
    let server = Server::listen(args.listen, routes.clone(), limits, event_loops)?
        .with_timers(timers)
        .with_readiness(readiness.clone())
        .with_siblings(siblings.clone())
        .with_admission(config.admission.admission(), gates.clone())
        .with_observer(Arc::new(durations.clone()))
        .with_limit_counts(reached.clone());
    let mut versions: Vec<_> = components.values().map(|(of, _)| of.clone()).collect();
    let management = match &manifest.management {
        Some(file) => Some(
            management::Setup {
                file,
                config: &config,
                state_dir: &state_dir,
                stores: &stores,
                engine,
                components: components.into_values().collect(),
                routes: manifest.routes.clone(),
                variables: &variables,
                insecure_open: args.insecure_open,
                front: server.address(),
                event_loops,
                readiness: readiness.clone(),
                siblings,
                reached: reached.clone(),
            }
            .start()?,
        ),
        None => None,
    };
    versions.extend(management.iter().map(|managed| managed.versions.clone()));

    let (drain, draining) = drain();
    state_dir.write_down(admin::ADDRESS_FILE, &admin.address().to_string())?;
    admin.serve(HostPages {
        region: config.variable("region"),
        stores: stores.clone(),
        durations,
        gates,
        reached,
        versions,
        readiness,
        draining: draining.clone(),
        fleet: management.as_ref().map(|managed| managed.fleet.clone()),
    })?;

    go_on_signal(drain, notice)?;
    if let Some(management) = management {
        management.run(&state_dir, &draining)?;
    }
    let mut stdout = io::stdout();
    // Nobody may be reading; that is no reason not to serve.
    let _ = stdout.write_all(listing::serving(server.address(), &routes).as_bytes());
    if key_source == Source::Own && routes.find(listing::FIRST_MAILBOX).is_some() {
        let program = std::env::args_os()
            .next()
            .unwrap_or_else(|| "starling".into());
        let line = listing::first_mailbox(server.address(), &program, state_dir.path());
        let _ = stdout.write_all(line.unwrap_or_default().as_bytes());
    }
    let _ = stdout.flush();
    let cut_off = server.run(&draining)?;
    if cut_off > 0 {
        tracing::warn!(
            connections = cut_off,
            "connections were cut off: their time to end was up"
        );
    }
    tracing::info!(application = manifest.name, "stopped");
    Ok(())
}

/// What stands in for a session key that is not configured.
fn session_key(source: Source, state_dir: &StateDir) -> Result<Option<String>> {
    Ok(match source {
        Source::Configured => None,
        Source::Own => Some(session_key::read_or_make(state_dir.path())?),
        Source::Open => {
            tracing::warn!(
                "--insecure-open: no token is asked for, and whoever reaches this host may do anything"
            );
            Some(String::new())
        }
    })
}

/// Opens the stores that components name.
///
/// What the fleet knows of itself is not for applications: with it, one could steer the hosts.
fn open_stores(
    manifest: &Manifest,
    config: &RuntimeConfig,
    state_dir: &StateDir,
    durations: &Durations,
) -> Result<Stores> {
    let components = manifest.components.values();
    let labels = components.flat_map(|component| {
        let of_spin = component.key_value_stores.iter();
        of_spin.chain(&component.host_stores)
    });
    let labels: Vec<_> = labels.map(String::as_str).collect();
    if manifest.management.is_some() && labels.contains(&FLEET) {
        bail!(
            "a component names the key-value store `{FLEET}`, which is the management component's alone; \
             give the store another label"
        );
    }
    let fleet = manifest.management.iter().map(|_| FLEET);
    Ok(Stores::open(
        labels.into_iter().chain(fleet),
        config,
        state_dir,
        durations,
    )?)
}

fn start_engine(
    manifest: &Manifest,
    config: &RuntimeConfig,
    reached: &Arc<LimitCounts>,
    state_dir: &StateDir,
) -> Result<Engine> {
    let mut components = u32::try_from(manifest.components.len())?;
    if manifest.management.is_some() {
        // Two versions of each while one takes over from the other, and the component that sees to it.
        components = 2 * components + 1;
    }
    let limits = config.limits.engine();
    Ok(Engine::start(
        limits,
        reached.clone(),
        components,
        &state_dir.cache(),
    )?)
}

/// Makes the components ready.
fn load(
    manifest: &Manifest,
    engine: &Engine,
    variables: &BTreeMap<String, String>,
    stores: &Stores,
) -> Result<BTreeMap<String, (Versions, Grant)>> {
    let load_one = |(id, component): (&String, &manifest::Component)| {
        let grant = grant(component, variables, stores).with_context(|| {
            format!("component `{id}` cannot be given what its manifest asks for")
        })?;
        let bytes = match fs::read(&component.source) {
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && manifest.management.is_some() =>
            {
                tracing::warn!(
                    { attribute::COMPONENT } = id,
                    file = %component.source.display(),
                    "there is no such file: the component comes from the fleet, or is not served"
                );
                return Ok((id.clone(), (Versions::none(id), grant)));
            }
            read => read.with_context(|| {
                format!(
                    "component `{id}` has no file {}; build the application first",
                    component.source.display()
                )
            })?,
        };
        let loaded = engine.load(id, &bytes, grant.clone()).with_context(|| {
            format!(
                "component `{id}` cannot be run from {}",
                component.source.display()
            )
        })?;
        Ok((id.clone(), (Versions::only(loaded), grant)))
    };
    manifest.components.iter().map(load_one).collect()
}

/// What the manifest grants a component, with its templates filled in.
fn grant(
    component: &manifest::Component,
    variables: &BTreeMap<String, String>,
    stores: &Stores,
) -> Result<Grant> {
    let own = component.variables.iter();
    let mut allowed_hosts = AllowedHosts::default();
    for template in &component.allowed_outbound_hosts {
        // The template is named, and not what it expands to, which may be secret.
        allowed_hosts
            .allow(&expand(template, variables)?)
            .with_context(|| format!("allowed_outbound_hosts has `{template}`"))?;
    }
    Ok(Grant {
        environment: component.environment.clone(),
        variables: own
            .map(|(name, template)| Ok((name.clone(), expand(template, variables)?)))
            .collect::<Result<_>>()?,
        stores: component
            .key_value_stores
            .iter()
            .chain(&component.host_stores)
            .flat_map(|label| stores.with_replicas(label))
            .collect(),
        allowed_hosts,
        management: None,
        content_digest: component.content_digest,
        send_values: component.send_values,
    })
}

fn routes(
    manifest: &Manifest,
    components: &BTreeMap<String, (Versions, Grant)>,
) -> Result<Routes<Versions>> {
    let routes = manifest.routes.iter().map(|(pattern, id)| {
        Ok(Route {
            pattern: pattern.parse()?,
            component: id.clone(),
            spin_headers: manifest.components[id].spin_headers,
            priorities: manifest.components[id].priorities.clone(),
            target: components[id].0.clone(),
        })
    });
    Ok(Routes::new(routes.collect::<Result<_>>()?)?)
}

fn timers(
    manifest: &Manifest,
    components: &BTreeMap<String, (Versions, Grant)>,
) -> Result<Vec<Timer>> {
    let timers = manifest.components.iter().filter_map(|(id, component)| {
        let timer = component.timer.as_ref()?;
        let interval = Duration::from_millis(timer.interval_ms);
        let made = Timer::new(components[id].0.clone(), &timer.path, interval);
        Some(made.with_context(|| format!("component `{id}` cannot have its timer")))
    });
    timers.collect()
}

/// As many as said, or as there are cores; never more than instances to share among them.
fn event_loops(args: &Up, instances_max: u32) -> NonZeroUsize {
    let wanted = args
        .event_loops
        .or_else(|| thread::available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN);
    let instances = NonZeroUsize::new(instances_max as usize).unwrap_or(NonZeroUsize::MIN);
    wanted.min(instances)
}

/// Connections need file descriptors; the soft limit of a shell is far below what the system allows.
fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit on open files stays as it is");
    }
}

/// Begins to drain on SIGTERM or SIGINT; a second one ends the process at once.
fn go_on_signal(drain: Drain, notice: Duration) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut terminate, mut interrupt) = {
        let _guard = runtime.enter();
        (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        )
    };
    let wait = async move {
        let mut either = async || {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        either().await;
        tracing::info!("stopping: finishing what is in flight; a second signal stops at once");
        drain.notice();
        tokio::select! {
            () = either() => std::process::exit(1),
            () = tokio::time::sleep(notice) => drain.close(),
        }
        either().await;
        std::process::exit(1);
    };
    let spawned = thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || runtime.block_on(wait));
    if let Err(error) = spawned {
        bail!("no thread to wait for signals: {error}");
    }
    Ok(())
}
