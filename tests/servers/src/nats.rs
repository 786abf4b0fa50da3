//! nats-server with JetStream, and a disk that is synced before each acknowledgement.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;

use crate::certificates::Identity;
use crate::process::Process;
use crate::programs;

/// What a [`NatsServer`] is started with.
#[derive(Clone, Debug, Default)]
pub struct NatsOptions {
    store: Option<PathBuf>,
    users: Vec<String>,
    tls: Option<String>,
    name: Option<String>,
    extra: String,
}

impl NatsOptions {
    /// Keeps JetStream's data in `folder`, which the server then shares with servers before and after it. Without this
    /// the data goes with the [`NatsServer`].
    #[must_use]
    pub fn store(mut self, folder: impl Into<PathBuf>) -> Self {
        self.store = Some(folder.into());
        self
    }

    /// Lets a user in by password. With any user named, nobody else is let in.
    #[must_use]
    pub fn user(mut self, user: &str, password: &str) -> Self {
        self.users.push(format!(
            "{{ user: {}, password: {} }}",
            quote(user),
            quote(password)
        ));
        self
    }

    /// Lets the holder of the seed of this public nkey (`U…`) in.
    #[must_use]
    pub fn nkey(mut self, public: &str) -> Self {
        self.users.push(format!("{{ nkey: {} }}", quote(public)));
        self
    }

    /// Speaks TLS as `server`, one of [`Certificates`](crate::Certificates).
    #[must_use]
    pub fn tls(mut self, server: &Identity) -> Self {
        self.tls = Some(format!(
            "cert_file: {}\n  key_file: {}",
            quote_path(&server.certificate),
            quote_path(&server.key)
        ));
        self
    }

    /// As [`tls`](Self::tls), and asks clients for a certificate that `authority`, a PEM file, has signed.
    #[must_use]
    pub fn mutual_tls(self, server: &Identity, authority: &Path) -> Self {
        let mut options = self.tls(server);
        if let Some(tls) = &mut options.tls {
            let _ = write!(
                tls,
                "\n  ca_file: {}\n  verify: true",
                quote_path(authority)
            );
        }
        options
    }

    /// The server's name. Without this NATS makes one up.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Adds lines to the server's configuration file.
    #[must_use]
    pub fn extra(mut self, lines: &str) -> Self {
        self.extra.push_str(lines);
        self.extra.push('\n');
        self
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Panics
    ///
    /// Where it does not, with its log.
    pub async fn start(self) -> NatsServer {
        NatsServer::launch(self).await
    }

    /// The configuration file of a server on `port`, or on a free port that it writes to a file in `ports`.
    fn configuration(&self, port: Option<u16>, store: &Path, ports: &Path) -> String {
        let mut text = match port {
            Some(port) => format!("listen: \"{}:{port}\"\n", Ipv4Addr::LOCALHOST),
            None => format!(
                "listen: \"{}:-1\"\nports_file_dir: {}\n",
                Ipv4Addr::LOCALHOST,
                quote_path(ports)
            ),
        };
        if let Some(name) = &self.name {
            let _ = writeln!(text, "server_name: {}", quote(name));
        }
        // An acknowledgement means the disk only with this; sizes are stated so that they do not depend on the machine.
        let _ = writeln!(
            text,
            "jetstream {{\n  store_dir: {}\n  sync_interval: always\n  max_memory_store: 64MB\n  max_file_store: 8GB\n}}",
            quote_path(store)
        );
        if !self.users.is_empty() {
            let _ = writeln!(
                text,
                "authorization {{\n  users: [\n    {}\n  ]\n}}",
                self.users.join("\n    ")
            );
        }
        if let Some(tls) = &self.tls {
            let _ = writeln!(text, "tls {{\n  {tls}\n}}");
        }
        text.push_str(&self.extra);
        text
    }
}

/// A nats-server with JetStream on the loopback interface.
///
/// Dropping it ends the server and removes its data. Its methods, and those of its [`Process`], take `&self`, so that a
/// test can share one.
#[derive(Debug)]
pub struct NatsServer {
    // Before the folder: the process must be gone when its folder is removed.
    process: Process,
    address: OnceLock<SocketAddr>,
    options: NatsOptions,
    store: PathBuf,
    folder: TempDir,
}

impl NatsServer {
    /// Starts a server with the default options and waits until it answers.
    ///
    /// # Panics
    ///
    /// Where it does not, with its log.
    pub async fn start() -> Self {
        Self::options().start().await
    }

    /// What to start, to be changed before it is.
    #[must_use]
    pub fn options() -> NatsOptions {
        NatsOptions::default()
    }

    async fn launch(options: NatsOptions) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let server = Self {
            process: Process::new("nats-server", folder.path().join("log")),
            address: OnceLock::new(),
            store: options
                .store
                .clone()
                .unwrap_or_else(|| folder.path().join("store")),
            options,
            folder,
        };
        server.run().await;
        server
    }

    /// Where it listens. The same after a restart.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        *self.address.get().expect("set before start returns")
    }

    /// Where it listens, as clients like to be told: `nats://127.0.0.1:<port>`, or `tls://…` where it speaks TLS.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.options.tls.is_some() {
            "tls"
        } else {
            "nats"
        };
        format!("{scheme}://{}", self.address())
    }

    /// The folder of JetStream's data.
    #[must_use]
    pub fn store(&self) -> &Path {
        &self.store
    }

    /// Starts it again, on the same port and with the same data, and waits until it answers. Kills it before, where it
    /// runs.
    ///
    /// # Panics
    ///
    /// Where it does not answer, with its log.
    pub async fn restart(&self) {
        self.kill();
        self.run().await;
    }

    /// Throws JetStream's data away.
    ///
    /// # Panics
    ///
    /// Where the server runs, or the data cannot be removed.
    pub fn wipe(&self) {
        self.process.wipe(&self.store);
    }

    async fn run(&self) {
        let file = self.folder.path().join("nats.conf");
        let known = self.address.get().copied();
        let text = self.options.configuration(
            known.map(|address| address.port()),
            &self.store,
            self.folder.path(),
        );
        std::fs::write(&file, text).expect("the temporary folder can be written to");
        let arguments = ["--config".to_owned(), file.display().to_string()];
        self.process.spawn(&programs::nats_server(), &arguments);
        let address = match known {
            Some(address) => address,
            None => self.process.answers(|| async { self.port_taken() }).await,
        };
        let _ = self.address.set(address);
        self.process
            .answers(|| async move { greeting(address).await.ok().flatten() })
            .await;
    }

    /// The address that the server has written to its file of ports, where it has.
    fn port_taken(&self) -> Option<SocketAddr> {
        let name = format!("nats-server_{}.ports", self.process.id()?);
        let text = std::fs::read(self.folder.path().join(name)).ok()?;
        let ports: serde_json::Value = serde_json::from_slice(&text).ok()?;
        let url = ports["nats"][0].as_str()?;
        let (_, address) = url.split_once("://")?;
        address.parse().ok()
    }
}

impl Deref for NatsServer {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

/// The line with which a server greets a client, where it has come to greet.
async fn greeting(address: SocketAddr) -> std::io::Result<Option<String>> {
    let stream = TcpStream::connect(address).await?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await?;
    Ok(line.starts_with("INFO ").then_some(line))
}

fn quote_path(path: &Path) -> String {
    quote(path.to_str().expect("paths of tests are text"))
}

/// A string of the server's configuration language.
fn quote(text: &str) -> String {
    assert!(
        !text.contains(['"', '\\', '\n']),
        "{text:?} would need escapes"
    );
    format!("\"{text}\"")
}
