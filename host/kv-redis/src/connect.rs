//! Makes a connection: TCP that notices when the other side is gone, TLS where it is asked for, and a user's sign-in.
//!
//! The library would do this itself. It is done here for what the library leaves open: which cryptography and which
//! authorities are used, and to be told by the driver's end that a connection is over.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo, RedisResult};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use socket2::SockRef;
use starling_kv::BoxError;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::config::{Config, Tls};
use crate::failure::OpenError;

/// How long a connection may take to be made, sign-in included.
pub(crate) const CONNECT: Duration = Duration::from_secs(5);

/// How long an answer may take. The host gives up sooner; this is for what is asked without it.
const RESPONSE: Duration = Duration::from_secs(10);

/// How long the other side may leave bytes unacknowledged, or a probe unanswered, before the connection is given up.
pub(crate) const SILENCE: Duration = Duration::from_secs(5);

/// How long after the answer to a probe the next one is made.
pub(crate) const PROBE: Duration = Duration::from_secs(2);

/// Requests that may wait to be written.
const WAITING_MAX: usize = 256;

/// What it takes to connect, checked.
pub(crate) struct Connector {
    address: String,
    session: RedisConnectionInfo,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// What a connection's bytes pass through. It ends with the connection.
pub(crate) type Driver = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

impl Connector {
    /// Checks the configuration and reads the files that it names.
    pub(crate) fn new(config: &Config) -> Result<Self, OpenError> {
        let host = config.host()?;
        let mut session = RedisConnectionInfo::default()
            .set_db(config.database.into())
            .set_lib_name("starling", env!("CARGO_PKG_VERSION"));
        if let Some(username) = &config.username {
            session = session.set_username(username);
        }
        if let Some(password) = &config.password {
            session = session.set_password(password.as_str());
        }
        Ok(Self {
            address: config.address.clone(),
            session,
            tls: config
                .tls
                .as_ref()
                .map(|tls| prepare(tls, host))
                .transpose()?,
        })
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Connects and signs in. The connection works while its driver is polled.
    pub(crate) async fn connect(&self) -> Result<(MultiplexedConnection, Driver), BoxError> {
        tokio::time::timeout(CONNECT, self.connect_whenever())
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn connect_whenever(&self) -> Result<(MultiplexedConnection, Driver), BoxError> {
        let stream = TcpStream::connect(&self.address).await?;
        attend(&stream)?;
        let settings = AsyncConnectionConfig::new()
            .set_response_timeout(Some(RESPONSE))
            .set_pipeline_buffer_size(WAITING_MAX);
        Ok(match &self.tls {
            None => boxed(
                MultiplexedConnection::new_with_config(&self.session, stream, settings).await,
            )?,
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await?;
                boxed(
                    MultiplexedConnection::new_with_config(&self.session, stream, settings).await,
                )?
            }
        })
    }
}

fn boxed(
    made: RedisResult<(
        MultiplexedConnection,
        impl Future<Output = ()> + Send + 'static,
    )>,
) -> RedisResult<(MultiplexedConnection, Driver)> {
    made.map(|(connection, driver)| (connection, Box::pin(driver) as Driver))
}

/// Lets the system notice that the other side is gone without a word.
fn attend(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_user_timeout(Some(SILENCE))
}

fn prepare(tls: &Tls, host: &str) -> Result<(TlsConnector, ServerName<'static>), OpenError> {
    let mut roots = RootCertStore::empty();
    match &tls.ca_file {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| at(path, error))?;
            }
        }
    }
    // Said, so that it does not depend on who else is in the process.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| OpenError::Tls("no version of TLS is left"))?
        .with_root_certificates(roots);
    let config = match (&tls.certificate_file, &tls.key_file) {
        (None, None) => builder.with_no_client_auth(),
        (Some(certificate), Some(path)) => {
            let key = fs::read(path).map_err(|error| at(path, error))?;
            let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| at(path, error))?;
            builder
                .with_client_auth_cert(certificates(certificate)?, key)
                .map_err(|error| at(path, error))?
        }
        _ => return Err(OpenError::Tls("certificate_file and key_file go together")),
    };
    let name = tls.server_name.as_deref().unwrap_or(host);
    let name = ServerName::try_from(name.to_owned())
        .map_err(|_| OpenError::Tls("server_name is neither a name nor an address"))?;
    Ok((TlsConnector::from(Arc::new(config)), name))
}

/// The certificates of a PEM file, which are at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, OpenError> {
    let text = fs::read(path).map_err(|error| at(path, error))?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| at(path, error))?;
    if found.is_empty() {
        return Err(at(path, "it holds no certificate"));
    }
    Ok(found)
}

fn at(path: &Path, source: impl Into<BoxError>) -> OpenError {
    OpenError::TlsFile {
        path: path.to_owned(),
        source: source.into(),
    }
}
