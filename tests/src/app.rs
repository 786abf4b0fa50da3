//! Applications to serve: a manifest and a state directory in a folder of their own, removed afterwards.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::compiled;
use crate::host::Launch;
use crate::paths;

/// A folder with a manifest and room for state.
#[derive(Debug)]
pub struct App {
    folder: TempDir,
    /// Whether it is served without asking who comes, and without limits of rate.
    open: bool,
}

impl App {
    /// The voicemail application, the repository's own spin.toml, open to anybody and without limits of rate: for what
    /// is tested beside these.
    #[must_use]
    pub fn voicemail() -> Self {
        Self {
            open: true,
            ..Self::guarded_voicemail()
        }
    }

    /// The voicemail application as it is served unless told otherwise.
    ///
    /// # Panics
    ///
    /// Where spin.toml names a component in a folder that cargo does not build into.
    #[must_use]
    pub fn guarded_voicemail() -> Self {
        let manifest = std::fs::read_to_string(paths::root().join("spin.toml"))
            .expect("spin.toml is readable");
        let management = format!("[application.tool.starling]\n{}", management_line(BUILT));
        assert!(
            manifest.contains(&management),
            "spin.toml does not have {management}"
        );
        Self::shared(&built(&manifest.replace(&management, "")))
    }

    /// The same, on a host that spares it nothing, as stock Spin does not: neither digests nor copies.
    ///
    /// # Panics
    ///
    /// Where spin.toml does not have the settings.
    #[must_use]
    pub fn unaided_voicemail() -> Self {
        let app = Self::voicemail();
        let mut manifest = std::fs::read_to_string(app.path("spin.toml")).expect("it was written");
        for setting in ["content_digest = true\n", "send_values = true\n"] {
            assert!(
                manifest.contains(setting),
                "spin.toml does not have {setting}"
            );
            manifest = manifest.replace(setting, "");
        }
        app.write("spin.toml", manifest);
        app
    }

    /// The voicemail application under management, as in the repository, and without limits of rate.
    ///
    /// # Panics
    ///
    /// Where spin.toml names a component in a folder that cargo does not build into.
    #[must_use]
    pub fn managed_voicemail() -> Self {
        let manifest = std::fs::read_to_string(paths::root().join("spin.toml"))
            .expect("spin.toml is readable");
        Self {
            open: true,
            ..Self::shared(&built(&manifest))
        }
    }

    /// The tests' own component under every path and under management, with the store `default`.
    #[must_use]
    pub fn managed_guest() -> Self {
        let folder = paths::component("management.wasm");
        let folder = folder.parent().expect("a file is in a folder");
        Self::shared(&format!(
            "{}\nkey_value_stores = [\"default\"]\n[application.tool.starling]\n{}\n",
            guest_manifest("/..."),
            management_line(&folder.display().to_string())
        ))
    }

    /// A manifest whose components others compile too.
    fn shared(manifest: &str) -> Self {
        let app = Self::new(manifest);
        compiled::share(&app.path("spin.toml"), &app.path("state"));
        app
    }

    /// The tests' own component under every path, with the store `default` and nothing else allowed.
    #[must_use]
    pub fn guest() -> Self {
        Self::guest_with("key_value_stores = [\"default\"]")
    }

    /// A component that answers `hello`, and does nothing else, at every path.
    #[must_use]
    pub fn hello() -> Self {
        let settings = "[component.guest.tool.starling]\nspin_headers = false";
        Self::new(&format!(
            "{}\n{settings}\n",
            manifest_of("hello.wasm", "/...")
        ))
    }

    /// The same as [`Self::guest`], with `settings` in the table of the component instead.
    #[must_use]
    pub fn guest_with(settings: &str) -> Self {
        Self::new(&format!("{}\n{settings}\n", guest_manifest("/...")))
    }

    /// Any manifest.
    ///
    /// # Panics
    ///
    /// Where it cannot be written.
    #[must_use]
    pub fn new(manifest: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("starling-")
            .tempdir()
            .expect("a temporary folder");
        std::fs::write(folder.path().join("spin.toml"), manifest).expect("the manifest is written");
        Self {
            folder,
            open: false,
        }
    }

    /// What serves it.
    #[must_use]
    pub fn launch(&self) -> Launch {
        let launch = Launch::new(self.path("spin.toml"), self.path("state"));
        if !self.open {
            return launch;
        }
        launch
            .arg("--insecure-open")
            .env("SPIN_VARIABLE_DEPOSITS_PER_MINUTE", "0")
            .env("SPIN_VARIABLE_DEPOSITS_PER_MINUTE_OF_CALLER", "0")
    }

    /// What serves it with this runtime configuration.
    #[must_use]
    pub fn launch_with(&self, runtime_config: &str) -> Launch {
        let path = self.write("edge.toml", runtime_config);
        self.launch().runtime_config(path)
    }

    /// Writes a file beside the manifest.
    ///
    /// # Panics
    ///
    /// Where it cannot be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).expect("the file is written");
        path
    }

    /// A path beside the manifest.
    #[must_use]
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// The folder of the components in the repository's manifest.
const BUILT: &str = "target/wasm32-wasip2/release";

/// The repository's manifest with the files that cargo built, wherever that was.
fn built(manifest: &str) -> String {
    let voicemail = paths::component("voicemail.wasm");
    let folder = voicemail.parent().expect("a file is in a folder");
    assert!(manifest.contains(BUILT), "spin.toml does not name {BUILT}");
    manifest.replace(BUILT, &folder.display().to_string())
}

/// The line that gives an application its management.
fn management_line(folder: &str) -> String {
    format!("management = \"{folder}/management.wasm\"")
}

/// A manifest that serves the tests' own component, as `guest`, at `route`. Its last table is the component's, so that
/// more settings can follow.
#[must_use]
pub fn guest_manifest(route: &str) -> String {
    manifest_of("test_guest.wasm", route)
}

fn manifest_of(file: &str, route: &str) -> String {
    format!(
        "spin_manifest_version = 2\n\
         [application]\nname = \"tests\"\nversion = \"0.1.0\"\n\
         [[trigger.http]]\nroute = {route:?}\ncomponent = \"guest\"\n\
         [component.guest]\nsource = {:?}",
        paths::component(file).display().to_string()
    )
}
