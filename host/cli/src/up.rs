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
use starling_engine::{AllowedHosts, Component, Engine, Grant};
use starling_server::{Admin, Drain, Route, Routes, Server, Timer, drain};
use tokio::signal::unix::{SignalKind, signal};

use crate::admin::{self, HostPages};
use crate::args::Up;
use crate::listing;
use crate::manifest::{self, Manifest};
use crate::runtime_config::RuntimeConfig;
use crate::session_key::{self, Source};
use crate::state_dir::StateDir;
use crate::stores::Stores;
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
    let stores = Arc::new(open_stores(&manifest, &config, &state_dir)?);
    let components = load(&manifest, &config, &variables, &state_dir, &stores)?;
    let routes = routes(&manifest, &components)?;
    let timers = timers(&manifest, &components)?;
    let limits = config.limits.server();
    let notice = limits.drain_notice;
    raise_open_files();
    let event_loops = event_loops(args, config.limits.engine().instances_max);
    let server =
        Server::listen(args.listen, routes.clone(), limits, event_loops)?.with_timers(timers);

    state_dir.write_down(admin::ADDRESS_FILE, &admin.address().to_string())?;
    admin.serve(HostPages {
        region: config.variable("region"),
        stores: stores.clone(),
    })?;

    let (drain, draining) = drain();
    go_on_signal(drain, notice)?;
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
fn open_stores(
    manifest: &Manifest,
    config: &RuntimeConfig,
    state_dir: &StateDir,
) -> Result<Stores> {
    let components = manifest.components.values();
    let labels = components.flat_map(|component| {
        let of_spin = component.key_value_stores.iter();
        of_spin.chain(&component.host_stores)
    });
    Ok(Stores::open(labels.map(String::as_str), config, state_dir)?)
}

/// Makes the components ready.
fn load(
    manifest: &Manifest,
    config: &RuntimeConfig,
    variables: &BTreeMap<String, String>,
    state_dir: &StateDir,
    stores: &Stores,
) -> Result<BTreeMap<String, Component>> {
    let count = u32::try_from(manifest.components.len())?;
    let engine = Engine::start(config.limits.engine(), count, &state_dir.cache())?;
    let load_one = |(id, component): (&String, &manifest::Component)| {
        let grant = grant(component, variables, stores).with_context(|| {
            format!("component `{id}` cannot be given what its manifest asks for")
        })?;
        let bytes = fs::read(&component.source).with_context(|| {
            format!(
                "component `{id}` has no file {}; build the application first",
                component.source.display()
            )
        })?;
        let loaded = engine.load(id, &bytes, grant).with_context(|| {
            format!(
                "component `{id}` cannot be run from {}",
                component.source.display()
            )
        })?;
        Ok((id.clone(), loaded))
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
    })
}

fn routes(
    manifest: &Manifest,
    components: &BTreeMap<String, Component>,
) -> Result<Routes<Component>> {
    let routes = manifest.routes.iter().map(|(pattern, id)| {
        Ok(Route {
            pattern: pattern.parse()?,
            component: id.clone(),
            target: components[id].clone(),
        })
    });
    Ok(Routes::new(routes.collect::<Result<_>>()?)?)
}

fn timers(manifest: &Manifest, components: &BTreeMap<String, Component>) -> Result<Vec<Timer>> {
    let timers = manifest.components.iter().filter_map(|(id, component)| {
        let timer = component.timer.as_ref()?;
        let interval = Duration::from_millis(timer.interval_ms);
        let made = Timer::new(components[id].clone(), &timer.path, interval);
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
