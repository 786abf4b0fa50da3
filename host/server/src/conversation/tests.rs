//! What a client notices of rests and pauses, with a clock that moves when all wait.

use std::convert::Infallible;
use std::sync::Mutex;
use std::time::Duration;

use http::{Request, Response};
use hyper::service::service_fn;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use starling_admission::Arrival;
use starling_engine::empty_body;
use starling_test_servers::Certificates;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::Instant;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::drain::{Drain, drain};
use crate::limits::{Bounds, Limits};

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
/// Of what is kept of each connection, whatever it does.
const BYTES_MAX: usize = 2048;

const SECOND: Duration = Duration::from_secs(1);

/// A client of a server that answers everything with 200, and refuses what is asked for `/refused`.
struct Client<T = DuplexStream> {
    stream: T,
    activity: Arc<Activity>,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
    drain: Drain,
}

impl Client {
    fn connect() -> Self {
        let (stream, other_end) = duplex(1 << 16);
        Self::over(stream, other_end)
    }
}

impl Client<tokio_rustls::client::TlsStream<DuplexStream>> {
    async fn connect_with_tls() -> Self {
        let certificates = Certificates::make();
        let identity = &certificates.server;
        let certificate = CertificateDer::from_pem_file(&identity.certificate).unwrap();
        let key = PrivateKeyDer::from_pem_file(&identity.key).unwrap();
        let ring = Arc::new(ring::default_provider());
        let server = ServerConfig::builder_with_provider(ring.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_file(&certificates.authority).unwrap();
        roots.add(authority).unwrap();
        let client = ClientConfig::builder_with_provider(ring)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (stream, other_end) = duplex(1 << 16);
        let connector = TlsConnector::from(Arc::new(client));
        let name = "localhost".try_into().unwrap();
        let (stream, other_end) = tokio::join!(
            connector.connect(name, stream),
            TlsAcceptor::from(Arc::new(server)).accept(other_end),
        );
        Self::over(stream.unwrap(), Box::new(other_end.unwrap()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Client<T> {
    fn over(stream: T, other_end: impl AsyncRead + AsyncWrite + Unpin + 'static) -> Self {
        let limits = Limits {
            idle_timeout: 60 * SECOND,
            ..Limits::default()
        };
        let activity = Arc::new(Activity::new(Arc::new(Bounds {
            limits,
            ..Bounds::default()
        })));
        let arrivals = Arc::new(Mutex::new(Vec::new()));
        let (begun, noted) = (activity.clone(), arrivals.clone());
        let respond = service_fn(move |request: Request<Incoming>| {
            let under_way = begun.begin(request.version());
            noted.lock().unwrap().push(begun.arrival());
            if request.uri() == "/refused" {
                begun.refused();
            }
            let response = Response::new(Sent::new(empty_body(), under_way));
            async move { Ok::<_, Infallible>(response) }
        });
        let (drain, draining) = drain();
        let client = ([127, 0, 0, 1], 1).into();
        let served = converse(other_end, client, activity.clone(), draining, respond);
        let bytes = size_of_val(&served);
        assert!(bytes <= BYTES_MAX, "{bytes} bytes are kept of a connection");
        tokio::task::spawn_local(served);
        Self {
            stream,
            activity,
            arrivals,
            drain,
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The status of the next response, none of which has a body.
    async fn status(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let status = head.strip_prefix("HTTP/1.1 ").unwrap();
        status[..3].to_owned()
    }

    /// Asks, and has the connection rest, three times.
    async fn rest_and_go_on(&mut self) {
        for _ in 0..3 {
            self.send(GET).await;
            assert_eq!(self.status().await, "200");
            self.activity.rested().await;
            tokio::time::sleep(SECOND).await;
        }
    }

    /// Asks twice, and has the connection rest when half of the second head has come with the first.
    async fn rest_amid_a_head(&mut self) {
        let (half, rest) = GET.split_at(10);
        self.send(&[GET, half].concat()).await;
        assert_eq!(self.status().await, "200");
        tokio::time::sleep(3 * SECOND).await;
        self.send(rest).await;
        assert_eq!(self.status().await, "200");
    }

    /// How long the answer to a request takes that will be refused.
    async fn refused(&mut self) -> Duration {
        let begun = Instant::now();
        self.send(b"GET /refused HTTP/1.1\r\nhost: a\r\n\r\n").await;
        self.status().await;
        begun.elapsed()
    }
}

async fn locally(test: impl Future<Output = ()>) {
    tokio::task::LocalSet::new().run_until(test).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_goes_on_after_a_rest() {
    locally(async {
        let mut client = Client::connect();
        client.rest_and_go_on().await;
        // And its first bytes may be few.
        for piece in GET.chunks(1) {
            client.send(piece).await;
            tokio::time::sleep(SECOND / 20).await;
        }
        assert_eq!(client.status().await, "200");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_with_tls_goes_on_after_a_rest() {
    locally(async {
        let mut client = Client::connect_with_tls().await;
        client.rest_and_go_on().await;
        // What comes in one record with the request before is not lost over a rest.
        client.rest_amid_a_head().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn half_a_head_that_came_with_the_request_before_is_kept_over_a_rest() {
    locally(async { Client::connect().rest_amid_a_head().await }).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_at_rest_ends_when_it_has_been_idle_for_too_long() {
    locally(async {
        let mut client = Client::connect();
        client.send(GET).await;
        assert_eq!(client.status().await, "200");
        let begun = Instant::now();
        assert_eq!(client.stream.read(&mut [0]).await.unwrap(), 0);
        let (least, most) = (60 * SECOND, 75 * SECOND);
        assert!((least..most).contains(&begun.elapsed()));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_at_rest_ends_with_the_host() {
    locally(async {
        let mut client = Client::connect();
        client.send(GET).await;
        assert_eq!(client.status().await, "200");
        tokio::time::sleep(SECOND).await;
        let begun = Instant::now();
        client.drain.close();
        assert_eq!(client.stream.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_asks_again_at_once_after_a_refusal_is_listened_to_later() {
    locally(async {
        let mut client = Client::connect();
        assert_eq!(client.refused().await, Duration::ZERO);
        for _ in 0..3 {
            // What came during the pause is answered after it, and what comes then at once.
            let waited = client.refused().await.as_millis();
            assert!((250..255).contains(&waited), "{waited}");
            assert_eq!(client.refused().await, Duration::ZERO);
        }
        let (fresh, late) = (Arrival::Fresh, Arrival::Late);
        let arrivals = client.arrivals.lock().unwrap().clone();
        assert_eq!(arrivals[..5], [fresh, late, fresh, late, fresh]);

        // Who waits as told is not late.
        tokio::time::sleep(SECOND).await;
        client.send(GET).await;
        assert_eq!(client.status().await, "200");
        assert_eq!(client.arrivals.lock().unwrap().last(), Some(&fresh));
    })
    .await;
}
