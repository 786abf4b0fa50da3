//! Debian's docker-registry, the CNCF's distribution: a registry of OCI artifacts.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::process::Process;
use crate::programs;

mod push;

/// [`RegistryServer::PASSWORD`] as bcrypt hashes it, at the least cost: every request pays it.
const PASSWORD_HASH: &str = "$2b$04$.7YOiEC1u.V7rbenjKC7g.PghIapu8bgvXDs9dYkNwoo02l3AW06G";

/// What a [`RegistryServer`] is started with.
#[derive(Clone, Debug, Default)]
pub struct RegistryOptions {
    protected: bool,
}

impl RegistryOptions {
    /// Lets nobody in but [`RegistryServer::USER`] by [`RegistryServer::PASSWORD`].
    #[must_use]
    pub fn protected(mut self) -> Self {
        self.protected = true;
        self
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Panics
    ///
    /// Where it does not, with its log.
    pub async fn start(self) -> RegistryServer {
        RegistryServer::launch(self).await
    }

    /// The configuration file of a server on `port`, 0 for a free one, that keeps its data in `data`. Strings of JSON are
    /// strings of YAML.
    fn configuration(&self, port: u16, data: &Path, users: &Path) -> String {
        // The secret only matters where several share their data; without one the registry logs a warning.
        let mut text = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    \
             enabled: true\nhttp:\n  addr: {}:{port}\n  secret: of-a-test\n",
            quote(data),
            Ipv4Addr::LOCALHOST
        );
        if self.protected {
            let _ = writeln!(
                text,
                "auth:\n  htpasswd:\n    realm: test\n    path: {}",
                quote(users)
            );
        }
        text
    }
}

/// A docker-registry on the loopback interface. It speaks plain HTTP.
///
/// Dropping it ends the server and removes its data. Its methods, and those of its [`Process`], take `&self`, so that a
/// test can share one.
#[derive(Debug)]
pub struct RegistryServer {
    // Before the folder: the process must be gone when its folder is removed.
    process: Process,
    address: OnceLock<SocketAddr>,
    options: RegistryOptions,
    folder: TempDir,
}

impl RegistryServer {
    /// Whom a [protected](RegistryOptions::protected) registry lets in.
    pub const USER: &str = "operator";

    /// What that user says.
    pub const PASSWORD: &str = "s3cret";

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
    pub fn options() -> RegistryOptions {
        RegistryOptions::default()
    }

    async fn launch(options: RegistryOptions) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let server = Self {
            process: Process::new("docker-registry", folder.path().join("log")),
            address: OnceLock::new(),
            options,
            folder,
        };
        server.run().await;
        server
    }

    /// Where it listens. The same after a restart. Its text is how references begin: `127.0.0.1:<port>/<repository>:<tag>`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        *self.address.get().expect("set before start returns")
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

    /// Throws the server's data away.
    ///
    /// # Panics
    ///
    /// Where the server runs, or the data cannot be removed.
    pub fn wipe(&self) {
        self.process.wipe(&self.data());
    }

    /// Has it serve other bytes, as many, for the blob that is `bytes`, as a broken disk would.
    ///
    /// # Panics
    ///
    /// Where it does not have that blob.
    pub fn corrupt_blob(&self, bytes: &[u8]) {
        let digest = push::hex_digest(bytes);
        let (first, _) = digest.split_at(2);
        let blobs = self.data().join("docker/registry/v2/blobs/sha256");
        let path = blobs.join(first).join(&digest).join("data");
        assert!(path.is_file(), "{} is there", path.display());
        let other: Vec<u8> = bytes.iter().map(|byte| !byte).collect();
        std::fs::write(&path, other).expect("the registry's data can be written");
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    async fn run(&self) {
        let known = self.address.get().copied();
        let [file, users] = ["registry.yml", "users"].map(|name| self.folder.path().join(name));
        let port = known.map_or(0, |address| address.port());
        let text = self.options.configuration(port, &self.data(), &users);
        std::fs::write(&file, text)
            .and_then(|()| std::fs::write(&users, format!("{}:{PASSWORD_HASH}\n", Self::USER)))
            .expect("the temporary folder can be written to");
        let arguments = ["serve".to_owned(), file.display().to_string()];
        self.process.spawn(&programs::docker_registry(), &arguments);
        let address = match known {
            Some(address) => address,
            None => {
                let port_taken = || async { port_taken(&self.log()) };
                self.process.answers(port_taken).await
            }
        };
        let _ = self.address.set(address);
        self.process
            .answers(|| async move { ping(address).await.ok().flatten() })
            .await;
    }
}

impl Deref for RegistryServer {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

/// The address that a registry has logged that it listens at, where it has.
fn port_taken(log: &str) -> Option<SocketAddr> {
    let (_, rest) = log.split_once("msg=\"listening on ")?;
    let (address, _) = rest.split_once('"')?;
    address.parse().ok()
}

/// Whether the registry at `address` serves: it answers, be it to ask for a password.
async fn ping(address: SocketAddr) -> std::io::Result<Option<()>> {
    let mut stream = BufReader::new(TcpStream::connect(address).await?);
    let request = format!("GET /v2/ HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let serves = ["HTTP/1.1 200 ", "HTTP/1.1 401 "];
    Ok(serves
        .iter()
        .any(|answer| line.starts_with(answer))
        .then_some(()))
}

fn quote(path: &Path) -> String {
    serde_json::Value::from(path.to_str().expect("paths of tests are text")).to_string()
}
