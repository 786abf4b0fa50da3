//! A listener for those who run the host, apart from the one for clients: a few pages, made anew for each request.
//!
//! It has a thread of its own, so that it answers while every event loop is busy.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Connections at once. More wait.
const CONNECTIONS_MAX: usize = 32;

/// How long a client may take to say what it wants.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection may last in all.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);

/// How long to wait after the system could not give another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// One answer.
#[derive(Clone, Debug)]
pub struct Page {
    /// The status.
    pub status: StatusCode,
    /// The media type.
    pub content_type: &'static str,
    /// The text.
    pub body: String,
}

impl Page {
    /// A line of plain text.
    pub fn text(status: StatusCode, line: &str) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            body: format!("{line}\n"),
        }
    }
}

/// What an [`Admin`] listener answers.
pub trait Pages: Send + Sync + 'static {
    /// The page at a path, if there is one.
    fn page(&self, path: &str) -> impl Future<Output = Option<Page>> + Send;
}

/// A listener for those who run the host.
#[derive(Debug)]
pub struct Admin {
    listener: StdTcpListener,
    address: SocketAddr,
}

impl Admin {
    /// Listens at `address`.
    ///
    /// # Errors
    /// When the system does not give the address.
    pub fn listen(address: SocketAddr) -> io::Result<Self> {
        let listener = StdTcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// The address listened on, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers GET with `pages`, for as long as the process lives.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn serve(self, pages: impl Pages) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || runtime.block_on(accept(self.listener, Arc::new(pages))))?;
        Ok(())
    }
}

async fn accept(listener: StdTcpListener, pages: Arc<impl Pages>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the admin listener does not work");
            return;
        }
    };
    let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = free.clone().acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "an admin connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let pages = pages.clone();
        tokio::spawn(async move {
            let respond = service_fn(move |request| {
                let pages = pages.clone();
                async move { Ok::<_, Infallible>(respond(&request, &*pages).await) }
            });
            let mut protocol = http1::Builder::new();
            protocol
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT);
            let served = protocol.serve_connection(TokioIo::new(stream), respond);
            let _ = tokio::time::timeout(CONNECTION_TIMEOUT, served).await;
            drop(permit);
        });
    }
}

async fn respond(request: &Request<Incoming>, pages: &impl Pages) -> Response<Full<Bytes>> {
    let plain = |status: StatusCode| Page::text(status, &status.to_string());
    let page = if request.method() == Method::GET {
        let page = pages.page(request.uri().path()).await;
        page.unwrap_or_else(|| plain(StatusCode::NOT_FOUND))
    } else {
        plain(StatusCode::METHOD_NOT_ALLOWED)
    };
    let mut response = Response::new(Full::new(Bytes::from(page.body)));
    *response.status_mut() = page.status;
    let content_type = header::HeaderValue::from_static(page.content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}
