//! Spin manifests, version 2: what a `spin.toml` may say, and what of it this host takes.
//!
//! Everything that Spin's own schema knows is known here. What only describes is read past; what changes behaviour
//! and is not supported is an error that names the key, so that an application never runs differently from what
//! its author wrote. Source: Spin 4, `crates/manifest/src/schema/v2.rs`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use starling_admission::Priority;
use starling_server::{InvalidRule, PriorityRule};
use thiserror::Error;

/// Why a manifest is not taken.
#[derive(Debug, Error)]
pub(crate) enum ManifestError {
    /// The file cannot be read.
    #[error("cannot read the manifest {}; say where it is with -f", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not TOML, or not of a manifest's shape.
    #[error("{} is not a Spin manifest", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and what.
        source: Box<toml::de::Error>,
    },
    /// A manifest of another version.
    #[error("spin_manifest_version is {0}; this host takes version 2")]
    Version(i64),
    /// A rule that says nothing.
    #[error("tool.starling.priority: {0}")]
    Priority(InvalidRule),
    /// A key that would change behaviour.
    #[error("`{key}` is not supported by this host{hint}")]
    Unsupported {
        /// The key, with its path.
        key: String,
        /// What to do instead; empty, or beginning with a separator.
        hint: &'static str,
    },
    /// A trigger for a component that is not there.
    #[error("[[trigger.http]] names the component `{0}`, and there is no [component.{0}]")]
    NoSuchComponent(String),
    /// Both `required` and `default`, or neither.
    #[error("[variables] `{0}` needs either `default = \"…\"` or `required = true`")]
    Variable(String),
    /// An application that serves nothing.
    #[error("the manifest has no [[trigger.http]]: the application would serve nothing")]
    NoTriggers,
    /// A name that Spin does not take either.
    #[error("`{0}` is not a name for a {1}")]
    Name(String, &'static str),
}

/// An application, as its manifest says and this host takes it.
#[derive(Debug)]
pub(crate) struct Manifest {
    /// Its name.
    pub(crate) name: String,
    /// Its variables.
    pub(crate) variables: BTreeMap<String, Variable>,
    /// Route and component of each HTTP trigger that others can reach, in the manifest's order.
    pub(crate) routes: Vec<(String, String)>,
    /// Components by id.
    pub(crate) components: BTreeMap<String, Component>,
    /// The .wasm file of the component that manages the host, if one is to.
    pub(crate) management: Option<PathBuf>,
}

/// A declared application variable.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Variable {
    /// Its value where nobody sets one.
    pub(crate) default: Option<String>,
    /// Somebody must set one.
    #[serde(default)]
    pub(crate) required: bool,
    #[serde(default, rename = "description")]
    pub(crate) _description: String,
    /// Its value is never shown. This host shows no variable's value.
    #[serde(default, rename = "secret")]
    pub(crate) _secret: bool,
}

/// A component, as the manifest declares it.
#[derive(Debug)]
pub(crate) struct Component {
    /// The .wasm file.
    pub(crate) source: PathBuf,
    /// Environment variables.
    pub(crate) environment: BTreeMap<String, String>,
    /// Variables, as templates over the application's.
    pub(crate) variables: BTreeMap<String, String>,
    /// Destinations, as templates.
    pub(crate) allowed_outbound_hosts: Vec<String>,
    /// Labels of stores.
    pub(crate) key_value_stores: Vec<String>,
    /// Labels of stores that are granted besides, and that Spin knows nothing of.
    pub(crate) host_stores: Vec<String>,
    /// Whether its requests carry the headers by which Spin tells a component of the route and the client.
    pub(crate) spin_headers: bool,
    /// Whether the host tells it the digests of what clients send.
    pub(crate) content_digest: bool,
    /// Whether the host sends values of its stores for it.
    pub(crate) send_values: bool,
    /// Which of its requests go first under overload, and which last.
    pub(crate) priorities: Arc<[PriorityRule]>,
    /// When the host itself calls it.
    pub(crate) timer: Option<Timer>,
}

/// The timer of a component: `[component.<id>.tool.starling] timer = { … }`, which Spin reads past.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Timer {
    /// What is called.
    pub(crate) path: String,
    /// The time from the end of a call to the next.
    pub(crate) interval_ms: u64,
}

impl Manifest {
    /// Reads the manifest at `path`. Paths in it are relative to its folder.
    pub(crate) fn read(path: &Path) -> Result<Self, ManifestError> {
        let text = std::fs::read_to_string(path).map_err(|source| ManifestError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, path)
    }

    /// Reads a manifest's text; `path` is where it came from.
    fn parse(text: &str, path: &Path) -> Result<Self, ManifestError> {
        let malformed = |source: toml::de::Error| ManifestError::Malformed {
            path: path.to_owned(),
            source: Box::new(source),
        };
        // The version first: a manifest of another one would fail in a way that does not say so.
        let version: Version = toml::from_str(text).map_err(malformed)?;
        if version.spin_manifest_version != 2 {
            return Err(ManifestError::Version(version.spin_manifest_version));
        }
        let raw: RawManifest = toml::from_str(text).map_err(malformed)?;
        raw.check(path.parent().unwrap_or(Path::new("")))
    }
}

#[derive(Deserialize)]
struct Version {
    spin_manifest_version: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawManifest {
    #[serde(rename = "spin_manifest_version")]
    _version: i64,
    application: RawApplication,
    #[serde(default)]
    variables: BTreeMap<String, Variable>,
    #[serde(default)]
    trigger: BTreeMap<String, Vec<toml::Table>>,
    #[serde(default)]
    component: BTreeMap<String, RawComponent>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawApplication {
    name: String,
    #[serde(default, rename = "version")]
    _version: String,
    #[serde(default, rename = "description")]
    _description: String,
    #[serde(default, rename = "authors")]
    _authors: Vec<String>,
    #[serde(default, rename = "targets")]
    _targets: Vec<toml::Value>,
    #[serde(default)]
    trigger: BTreeMap<String, toml::Table>,
    #[serde(default)]
    tool: RawApplicationTools,
}

/// Settings of the application for tools, of which this host is one. Those of others are read past.
#[derive(Default, Deserialize)]
struct RawApplicationTools {
    #[serde(default)]
    starling: RawApplicationStarling,
}

/// `[application.tool.starling]`, which Spin reads past.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawApplicationStarling {
    management: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTrigger {
    #[serde(default, rename = "id")]
    _id: String,
    component: Option<toml::Value>,
    components: Option<toml::Value>,
    route: Option<RawRoute>,
    executor: Option<RawExecutor>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawRoute {
    Path(String),
    Private { private: bool },
}

#[derive(Deserialize)]
struct RawExecutor {
    r#type: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawComponent {
    source: toml::Value,
    #[serde(default, rename = "description")]
    _description: String,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    variables: BTreeMap<String, String>,
    #[serde(default)]
    allowed_outbound_hosts: Vec<String>,
    #[serde(default)]
    key_value_stores: Vec<String>,
    #[serde(default, rename = "build")]
    _build: toml::Table,
    #[serde(default)]
    tool: RawTools,
    #[serde(default, rename = "targets")]
    _targets: Vec<toml::Value>,
    allowed_http_hosts: Option<toml::Value>,
    files: Option<toml::Value>,
    exclude_files: Option<toml::Value>,
    sqlite_databases: Option<toml::Value>,
    ai_models: Option<toml::Value>,
    dependencies: Option<toml::Value>,
    dependencies_inherit_configuration: Option<toml::Value>,
    profile: Option<toml::Value>,
}

/// Settings for tools, of which this host is one. Those of others are read past.
#[derive(Default, Deserialize)]
struct RawTools {
    starling: Option<RawStarling>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStarling {
    /// Stores beside `key_value_stores`, where stock Spin would refuse their labels.
    #[serde(default)]
    stores: Vec<String>,
    /// Whether it reads Spin's headers. They are a fifth of what a short request costs.
    #[serde(default = "yes")]
    spin_headers: bool,
    /// Whether it wants to be told the digest of a request's body.
    #[serde(default)]
    content_digest: bool,
    /// Whether it names values of its stores for the host to send.
    #[serde(default)]
    send_values: bool,
    #[serde(default)]
    priority: RawPriority,
    timer: Option<Timer>,
}

/// Requests that go before others when there are too many, and those that go after them.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawPriority {
    high: Vec<String>,
    low: Vec<String>,
}

impl RawPriority {
    fn rules(&self) -> Result<Arc<[PriorityRule]>, ManifestError> {
        let high = self.high.iter().map(|text| (text, Priority::High));
        let low = self.low.iter().map(|text| (text, Priority::Low));
        high.chain(low)
            .map(|(text, priority)| PriorityRule::new(text, priority))
            .collect::<Result<_, _>>()
            .map_err(ManifestError::Priority)
    }
}

impl Default for RawStarling {
    fn default() -> Self {
        Self {
            stores: Vec::new(),
            spin_headers: true,
            content_digest: false,
            send_values: false,
            priority: RawPriority::default(),
            timer: None,
        }
    }
}

fn yes() -> bool {
    true
}

impl RawManifest {
    fn check(self, folder: &Path) -> Result<Manifest, ManifestError> {
        if let Some(kind) = self.application.trigger.keys().next() {
            return Err(unsupported(format!("application.trigger.{kind}"), ""));
        }
        for (name, variable) in &self.variables {
            if !is_snake_case(name) {
                return Err(ManifestError::Name(
                    name.clone(),
                    "variable (lower-case letters, digits and `_`)",
                ));
            }
            if variable.required == variable.default.is_some() {
                return Err(ManifestError::Variable(name.clone()));
            }
        }
        let mut routes = Vec::new();
        for (kind, triggers) in self.trigger {
            if kind != "http" {
                return Err(unsupported(
                    format!("trigger.{kind}"),
                    ": only HTTP triggers are",
                ));
            }
            for trigger in triggers {
                routes.extend(route(trigger)?);
            }
        }
        if routes.is_empty() {
            return Err(ManifestError::NoTriggers);
        }
        if let Some((_, id)) = routes
            .iter()
            .find(|(_, id)| !self.component.contains_key(id))
        {
            return Err(ManifestError::NoSuchComponent(id.clone()));
        }
        let components = self
            .component
            .into_iter()
            .map(|(id, raw)| Ok((id.clone(), raw.check(&id, folder)?)))
            .collect::<Result<_, ManifestError>>()?;
        Ok(Manifest {
            name: self.application.name,
            variables: self.variables,
            routes,
            components,
            management: self
                .application
                .tool
                .starling
                .management
                .map(|file| folder.join(file)),
        })
    }
}

/// Route and component of one `[[trigger.http]]`, or nothing for a private one.
fn route(trigger: toml::Table) -> Result<Option<(String, String)>, ManifestError> {
    let raw: RawTrigger = trigger
        .try_into()
        .map_err(|source| ManifestError::Malformed {
            path: "[[trigger.http]]".into(),
            source: Box::new(source),
        })?;
    if raw.components.is_some() {
        return Err(unsupported("trigger.http.components".to_owned(), ""));
    }
    if let Some(executor) = raw.executor
        && executor.r#type != "http"
    {
        return Err(unsupported(
            format!(
                "trigger.http.executor = {{ type = \"{}\" }}",
                executor.r#type
            ),
            "; leave it out for a component",
        ));
    }
    let component = match raw.component {
        Some(toml::Value::String(id)) => id,
        _ => {
            return Err(unsupported(
                "trigger.http.component as a table".to_owned(),
                "; give the id of a [component.<id>]",
            ));
        }
    };
    match raw.route {
        Some(RawRoute::Path(route)) => Ok(Some((route, component))),
        Some(RawRoute::Private { private: true }) => Ok(None),
        _ => Err(unsupported(
            "trigger.http without route".to_owned(),
            "; give `route = \"/path/...\"` or `route = { private = true }`",
        )),
    }
}

impl RawComponent {
    fn check(self, id: &str, folder: &Path) -> Result<Component, ManifestError> {
        if !is_kebab_case(id) {
            return Err(ManifestError::Name(
                id.to_owned(),
                "component (letters, digits and `-`)",
            ));
        }
        let key = |name: &str| format!("component.{id}.{name}");
        let grants_nothing = |value: &toml::Value| match value {
            toml::Value::Array(entries) => entries.is_empty(),
            toml::Value::Table(entries) => entries.is_empty(),
            toml::Value::Boolean(inherits) => !inherits,
            _ => false,
        };
        let refused = [
            (
                "allowed_http_hosts",
                &self.allowed_http_hosts,
                "; use allowed_outbound_hosts",
            ),
            ("files", &self.files, ""),
            ("exclude_files", &self.exclude_files, ""),
            ("sqlite_databases", &self.sqlite_databases, ""),
            ("ai_models", &self.ai_models, ""),
            (
                "dependencies",
                &self.dependencies,
                "; compose the component before",
            ),
            (
                "dependencies_inherit_configuration",
                &self.dependencies_inherit_configuration,
                "",
            ),
            ("profile", &self.profile, ""),
        ];
        for (name, value, hint) in refused {
            if value.as_ref().is_some_and(|value| !grants_nothing(value)) {
                return Err(unsupported(key(name), hint));
            }
        }
        let starling = self.tool.starling.unwrap_or_default();
        let mut labels = self.key_value_stores.iter().chain(&starling.stores);
        if let Some(label) = labels.find(|label| !is_label(label)) {
            return Err(ManifestError::Name(
                label.clone(),
                "key-value store (letters, digits, `-` and `_`)",
            ));
        }
        let toml::Value::String(source) = self.source else {
            return Err(unsupported(
                key("source as a table"),
                "; fetch the component and give the path of the file",
            ));
        };
        Ok(Component {
            source: folder.join(source),
            environment: self.environment,
            variables: self.variables,
            allowed_outbound_hosts: self.allowed_outbound_hosts,
            key_value_stores: self.key_value_stores,
            host_stores: starling.stores,
            spin_headers: starling.spin_headers,
            content_digest: starling.content_digest,
            send_values: starling.send_values,
            priorities: starling.priority.rules()?,
            timer: starling.timer,
        })
    }
}

fn unsupported(key: String, hint: &'static str) -> ManifestError {
    ManifestError::Unsupported { key, hint }
}

fn is_snake_case(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Labels become names of folders, so they are names and not paths.
fn is_label(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !name.is_empty() && name.bytes().all(plain)
}

fn is_kebab_case(name: &str) -> bool {
    name.split('-').all(|word| {
        word.starts_with(|first: char| first.is_ascii_alphabetic())
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "spin_manifest_version = 2\n[application]\nname = \"test\"\n";
    const TRIGGER: &str = "[[trigger.http]]\nroute = \"/...\"\ncomponent = \"one\"\n";
    const COMPONENT: &str = "[component.one]\nsource = \"one.wasm\"\n";

    fn parse(text: &str) -> Result<Manifest, ManifestError> {
        Manifest::parse(text, Path::new("app/spin.toml"))
    }

    /// Asserts that a manifest of these parts is refused with a message that has all of `words`.
    fn refused(parts: &[&str], words: &[&str]) {
        let error = parse(&parts.concat()).expect_err(&parts.concat());
        let mut message = error.to_string();
        if let Some(cause) = std::error::Error::source(&error) {
            message = format!("{message}: {cause}");
        }
        for word in words {
            assert!(message.contains(word), "`{message}` does not say `{word}`");
        }
    }

    #[test]
    fn the_smallest_manifest_is_taken() {
        let manifest = parse(&[HEAD, TRIGGER, COMPONENT].concat()).unwrap();
        assert_eq!(manifest.routes, [("/...".to_owned(), "one".to_owned())]);
        assert_eq!(manifest.components["one"].source, Path::new("app/one.wasm"));
    }

    #[test]
    fn what_only_describes_is_read_past() {
        let described = "description = \"d\"\n[component.one.build]\ncommand = \"make\"\n[component.one.tool.x]\ny = 1\n";
        parse(
            &[
                HEAD,
                "version = \"1.0.0\"\nauthors = [\"a\"]\n",
                TRIGGER,
                COMPONENT,
                described,
            ]
            .concat(),
        )
        .unwrap();
    }

    #[test]
    fn a_timer_is_a_setting_for_this_tool() {
        let timer = "[component.one.tool.x]\ntimer = 1\n[component.one.tool.starling]\n\
            timer = { path = \"/maintenance\", interval_ms = 1000 }\n";
        let manifest = parse(&[HEAD, TRIGGER, COMPONENT, timer].concat()).unwrap();
        let timer = manifest.components["one"].timer.as_ref().unwrap();
        assert_eq!(
            (timer.path.as_str(), timer.interval_ms),
            ("/maintenance", 1000)
        );

        let manifest = parse(&[HEAD, TRIGGER, COMPONENT].concat()).unwrap();
        assert!(manifest.components["one"].timer.is_none());
        for (line, culprit) in [
            ("timers = { }\n", "timers"),
            ("timer = { path = \"/m\" }\n", "interval_ms"),
            ("timer = { interval_ms = 1000 }\n", "path"),
            (
                "timer = { path = \"/m\", interval = \"1s\" }\n",
                "`interval`",
            ),
            ("timer = { path = \"/m\", interval_ms = -1 }\n", "-1"),
        ] {
            let table = "[component.one.tool.starling]\n";
            refused(&[HEAD, TRIGGER, COMPONENT, table, line], &[culprit]);
        }
    }

    #[test]
    fn private_routes_are_not_served() {
        let private = "[[trigger.http]]\nroute = { private = true }\ncomponent = \"one\"\n";
        let manifest = parse(&[HEAD, TRIGGER, private, COMPONENT].concat()).unwrap();
        assert_eq!(manifest.routes.len(), 1);
    }

    #[test]
    fn keys_that_change_behaviour_are_refused_by_name() {
        for (line, key) in [
            ("files = [\"*.txt\"]\n", "component.one.files"),
            (
                "sqlite_databases = [\"default\"]\n",
                "component.one.sqlite_databases",
            ),
            ("ai_models = [\"llama\"]\n", "component.one.ai_models"),
            (
                "allowed_http_hosts = [\"example.com\"]\n",
                "allowed_outbound_hosts",
            ),
            (
                "[component.one.dependencies]\n\"a:b/c\" = \"1\"\n",
                "component.one.dependencies",
            ),
        ] {
            refused(&[HEAD, TRIGGER, COMPONENT, line], &[key, "not supported"]);
        }
        let redis = "[[trigger.redis]]\nchannel = \"c\"\ncomponent = \"one\"\n";
        refused(&[HEAD, redis, TRIGGER, COMPONENT], &["trigger.redis"]);
        refused(
            &[HEAD, TRIGGER, "executor = { type = \"wagi\" }\n", COMPONENT],
            &["wagi"],
        );
        refused(
            &[
                HEAD,
                "[application.trigger.http]\nbase = \"/b\"\n",
                TRIGGER,
                COMPONENT,
            ],
            &["application.trigger.http"],
        );
        let fetched = "[component.one]\nsource = { url = \"u\", digest = \"d\" }\n";
        refused(&[HEAD, TRIGGER, fetched], &["component.one.source"]);
    }

    #[test]
    fn a_store_label_is_a_name_and_no_path() {
        for label in ["../up", "/etc", "", "a.b"] {
            let stores = format!("key_value_stores = [{label:?}]\n");
            refused(
                &[HEAD, TRIGGER, COMPONENT, &stores],
                &[&format!("`{label}`"), "key-value store"],
            );
            let stores = format!("[component.one.tool.starling]\nstores = [{label:?}]\n");
            refused(
                &[HEAD, TRIGGER, COMPONENT, &stores],
                &[&format!("`{label}`"), "key-value store"],
            );
        }
    }

    #[test]
    fn what_goes_first_and_what_is_not_read_is_said_by_the_component() {
        let of = |table: &str| {
            let table = format!("[component.one.tool.starling]\n{table}");
            parse(&[HEAD, TRIGGER, COMPONENT, &table].concat())
        };
        let component = &of("").unwrap().components["one"];
        assert!(component.spin_headers && component.priorities.is_empty());
        assert!(!component.content_digest && !component.send_values);
        let table = "content_digest = true\nsend_values = true\nspin_headers = false\npriority = { high = [\"POST /a/*\"], low = [\"GET /a\"] }\n";
        let component = &of(table).unwrap().components["one"];
        assert!(component.content_digest && component.send_values && !component.spin_headers);
        let rule = |text, priority| PriorityRule::new(text, priority).unwrap();
        let rules = [
            rule("POST /a/*", Priority::High),
            rule("GET /a", Priority::Low),
        ];
        assert_eq!(*component.priorities, rules);
        let error = of("priority = { high = [\"/a\"] }\n")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("priority") && error.contains("\"/a\""),
            "{error}"
        );
    }

    #[test]
    fn stores_of_this_host_are_told_from_those_that_spin_knows() {
        let stores = "key_value_stores = [\"default\"]\n";
        let of_this_host = "[component.one.tool.starling]\nstores = [\"spool\"]\n";
        let manifest = parse(&[HEAD, TRIGGER, COMPONENT, stores, of_this_host].concat()).unwrap();
        let one = &manifest.components["one"];
        assert_eq!(one.key_value_stores, ["default"]);
        assert_eq!(one.host_stores, ["spool"]);
        let manifest = parse(&[HEAD, TRIGGER, COMPONENT, stores].concat()).unwrap();
        assert!(manifest.components["one"].host_stores.is_empty());
    }

    #[test]
    fn empty_grants_are_no_grants() {
        parse(
            &[
                HEAD,
                TRIGGER,
                COMPONENT,
                "files = []\nsqlite_databases = []\n",
            ]
            .concat(),
        )
        .unwrap();
    }

    #[test]
    fn misspelt_keys_are_refused_by_name() {
        refused(
            &[
                HEAD,
                TRIGGER,
                COMPONENT,
                "key_value_store = [\"default\"]\n",
            ],
            &["key_value_store"],
        );
        refused(&[HEAD, TRIGGER, "rout = \"/\"\n", COMPONENT], &["rout"]);
        refused(
            &[HEAD, TRIGGER, COMPONENT, "[variable]\na = 1\n"],
            &["variable"],
        );
    }

    #[test]
    fn what_is_not_a_manifest_says_so() {
        refused(&["not = [toml"], &["is not a Spin manifest", "spin.toml"]);
        refused(&["name = \"x\""], &["spin_manifest_version"]);
        refused(&["spin_manifest_version = 1\n"], &["version 2"]);
        refused(&[HEAD, COMPONENT], &["no [[trigger.http]]"]);
        refused(&[HEAD, TRIGGER], &["[component.one]"]);
        refused(
            &[HEAD, TRIGGER, COMPONENT, "[variables]\nv = { }\n"],
            &["`v`", "required = true"],
        );
        refused(
            &[
                HEAD,
                TRIGGER,
                COMPONENT,
                "[variables]\nV = { default = \"\" }\n",
            ],
            &["`V`"],
        );
    }
}
