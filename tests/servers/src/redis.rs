//! redis-server or valkey-server, with a disk that is synced before each acknowledgement.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use crate::certificates::Identity;
use crate::process::Process;
use crate::programs;

/// How many ports are tried: one that was free may be taken when the server comes to listen.
const PORTS_MAX: usize = 20;

/// The socket in the folder of its data that it is asked through whether it serves. At the port somebody else may answer.
const SOCKET: &str = "socket";

/// What a [`RedisServer`] is started with.
#[derive(Clone, Debug, Default)]
pub struct RedisOptions {
    password: Option<String>,
    volatile: bool,
    tls: Option<String>,
    extra: String,
}

impl RedisOptions {
    /// Asks clients for this password.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// Keeps nothing on disk.
    #[must_use]
    pub fn volatile(mut self) -> Self {
        self.volatile = true;
        self
    }

    /// Speaks TLS, and nothing else, as `server`, one of [`Certificates`](crate::Certificates).
    #[must_use]
    pub fn tls(mut self, server: &Identity) -> Self {
        self.tls = Some(format!(
            "tls-cert-file {}\ntls-key-file {}\ntls-auth-clients no\n",
            server.certificate.display(),
            server.key.display()
        ));
        self
    }

    /// As [`tls`](Self::tls), and asks clients for a certificate that `authority`, a PEM file, has signed.
    #[must_use]
    pub fn mutual_tls(mut self, server: &Identity, authority: &Path) -> Self {
        self.tls = Some(format!(
            "tls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\n",
            server.certificate.display(),
            server.key.display(),
            authority.display()
        ));
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
    pub async fn start(self) -> RedisServer {
        RedisServer::launch(self).await
    }

    fn configuration(&self, address: SocketAddr, folder: &Path) -> String {
        let keep = if self.volatile {
            "appendonly no"
        } else {
            "appendonly yes\nappendfsync always"
        };
        let port = if self.tls.is_some() {
            "port 0\ntls-port"
        } else {
            "port"
        };
        let mut text = format!(
            "bind {}\n{port} {}\nunixsocket {}\ndir {}\nsave \"\"\n{keep}\n",
            address.ip(),
            address.port(),
            folder.join(SOCKET).display(),
            folder.display()
        );
        if let Some(password) = &self.password {
            text.push_str(&format!("requirepass \"{password}\"\n"));
        }
        text.push_str(self.tls.as_deref().unwrap_or_default());
        text.push_str(&self.extra);
        text
    }
}

/// A redis-server or valkey-server on the loopback interface.
///
/// Dropping it ends the server and removes its data. Its methods, and those of its [`Process`], take `&self`, so that a
/// test can share one.
#[derive(Debug)]
pub struct RedisServer {
    // Before the folder: the process must be gone when its folder is removed.
    process: Process,
    address: OnceLock<SocketAddr>,
    options: RedisOptions,
    folder: TempDir,
}

impl RedisServer {
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
    pub fn options() -> RedisOptions {
        RedisOptions::default()
    }

    async fn launch(options: RedisOptions) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let server = Self {
            process: Process::new("redis-server", folder.path().join("log")),
            address: OnceLock::new(),
            options,
            folder,
        };
        for _ in 0..PORTS_MAX {
            let address = free_address();
            if server.run(address).await {
                let _ = server.address.set(address);
                return server;
            }
        }
        panic!("none of {PORTS_MAX} free ports stayed free");
    }

    /// Where it listens. The same after a restart.
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
        assert!(
            self.run(self.address()).await,
            "the port {} was taken meanwhile",
            self.address().port()
        );
    }

    /// Throws the server's data away.
    ///
    /// # Panics
    ///
    /// Where the server runs, or the data cannot be removed.
    pub fn wipe(&self) {
        self.process.wipe(&self.data());
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts it at `address` and waits until it answers. False where somebody else is there.
    async fn run(&self, address: SocketAddr) -> bool {
        let file = self.folder.path().join("redis.conf");
        let text = self.options.configuration(address, &self.data());
        std::fs::create_dir_all(self.data())
            .and_then(|()| std::fs::write(&file, text))
            .expect("the temporary folder can be written to");
        let logged_before = self.log().len();
        let arguments = [file.display().to_string()];
        self.process.spawn(&programs::redis_server(), &arguments);
        let answer = self
            .process
            .answers_or_exits(|| async { ping(&self.data().join(SOCKET)).await.ok().flatten() })
            .await;
        let Err(status) = answer else {
            return true;
        };
        let log = self.log();
        assert!(
            log[logged_before..].contains("Address already in use"),
            "redis-server exits with {status}"
        );
        false
    }
}

impl Deref for RedisServer {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

/// An address that nobody listens at now.
fn free_address() -> SocketAddr {
    std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .expect("the system has a free port")
}

/// Whether the server at `socket` serves: it answers, be it to ask for a password, and is done with reading its data.
async fn ping(socket: &Path) -> std::io::Result<Option<()>> {
    let mut stream = BufReader::new(UnixStream::connect(socket).await?);
    stream.write_all(b"PING\r\n").await?;
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    Ok((line.starts_with("+PONG") || line.starts_with("-NOAUTH")).then_some(()))
}
