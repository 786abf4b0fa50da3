//! One connection: its requests, one by one, to the components that their routes lead to.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use http::{HeaderValue, Method, Request, StatusCode, Version, header};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use starling_engine::{Balanced, Instances, Response, empty_body};
use starling_telemetry::attribute;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::drain::Draining;
use crate::headers::{ConnectionHeaders, RouteHeaders, prepare};
use crate::limits::Limits;
use crate::observe::{Answered, RequestObserver};
use crate::patience::Patience;
use crate::problem::Problem;
use crate::readiness::{LIVE, READY, Readiness, ReadinessLatch};
use crate::routes::Routes;
use crate::siblings::Relay;
use crate::trace::Trace;

/// How often the other end of an HTTP/2 connection is asked whether it is still there.
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(20);

/// How long it has to answer.
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs what HTTP/2 does beside a connection on the connection's own event loop, which nothing of it leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// Where a route leads on one event loop.
pub(crate) struct Target {
    pub(crate) instances: Rc<Balanced>,
    pub(crate) headers: RouteHeaders,
}

/// What all connections of one event loop share.
pub(crate) struct Service {
    pub(crate) routes: Routes<Target>,
    pub(crate) limits: Limits,
    pub(crate) draining: Draining,
    pub(crate) readiness: ReadinessLatch,
    pub(crate) relay: Relay,
    pub(crate) observer: Option<Arc<dyn RequestObserver>>,
    pub(crate) tls: Option<TlsAcceptor>,
}

/// Reads and writes HTTP as the limits say.
pub(crate) fn protocol(limits: &Limits) -> auto::Builder<LocalExecutor> {
    let mut builder = auto::Builder::new(LocalExecutor);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.header_bytes_max.max(8 << 10));
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(HTTP2_PING_INTERVAL))
        .keep_alive_timeout(HTTP2_PING_TIMEOUT)
        .max_concurrent_streams(limits.http2_streams_max)
        .max_header_list_size(u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX));
    builder
}

/// Serves one connection until it ends, or until the host goes and it is idle.
pub(crate) async fn serve(
    stream: TcpStream,
    client: SocketAddr,
    protocol: Rc<auto::Builder<LocalExecutor>>,
    service: Rc<Service>,
) {
    // Responses leave in one piece; waiting for more to send only adds delay.
    let _ = stream.set_nodelay(true);
    let Ok(local) = stream.local_addr() else {
        return;
    };
    let connection = Rc::new(ConnectionHeaders::new(client, local));
    let Some(tls) = &service.tls else {
        return converse(stream, client, connection, &protocol, service).await;
    };
    let handshake = tokio::time::timeout(service.limits.header_timeout, tls.accept(stream));
    match handshake.await {
        Ok(Ok(stream)) => converse(stream, client, connection, &protocol, service).await,
        Ok(Err(error)) => tracing::debug!(%client, %error, "a TLS handshake failed"),
        Err(_) => tracing::debug!(%client, "a TLS handshake took too long"),
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    client: SocketAddr,
    connection: Rc<ConnectionHeaders>,
    protocol: &auto::Builder<LocalExecutor>,
    service: Rc<Service>,
) {
    let mut draining = service.draining.clone();
    let spoke = Arc::new(AtomicBool::new(false));
    let silence = silence(spoke.clone(), service.limits.header_timeout * 2);
    let stream = Patience::new(stream, service.limits.write_timeout);
    let respond = service_fn(move |request| {
        spoke.store(true, Relaxed);
        let (service, connection) = (service.clone(), connection.clone());
        async move { Ok::<_, Infallible>(service.respond(request, &connection).await) }
    });
    let mut served = pin!(protocol.serve_connection(TokioIo::new(stream), respond));
    let result = tokio::select! {
        result = served.as_mut() => result,
        () = draining.wait_closing() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
        () = silence => return,
    };
    if let Err(error) = result {
        tracing::debug!(%client, error, "a connection ended early");
    }
}

/// Ends if a connection has not brought a request by then. hyper's own timer starts only once it knows which version
/// of HTTP the client speaks.
async fn silence(spoke: Arc<AtomicBool>, patience: Duration) {
    tokio::time::sleep(patience).await;
    if spoke.load(Relaxed) {
        std::future::pending().await
    }
}

impl Service {
    async fn respond(
        &self,
        request: Request<Incoming>,
        connection: &ConnectionHeaders,
    ) -> Response {
        let started = Instant::now();
        let method = request.method().clone();
        let version = request.version();
        let trace = Trace::of(request.headers());
        let (route, answer) = self.dispatch(request, connection, trace).await;
        let (mut response, problem) = match answer {
            Ok(response) => (response, None),
            Err(problem) => {
                let response = report(&method, route.map(|route| &**route), &problem, trace);
                (response, Some(problem.name()))
            }
        };
        if method == Method::HEAD {
            // Its content-length speaks of a body that is not sent (RFC 9110, section 9.3.2).
            *response.body_mut() = empty_body();
        }
        if version <= Version::HTTP_11 && self.draining.noticed() {
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(observer) = &self.observer {
            observer.observe(&Answered {
                method: &method,
                route,
                status: response.status(),
                problem,
                elapsed: started.elapsed(),
            });
        }
        response
    }

    /// The route of a request, if there is one, and the answer to it.
    async fn dispatch(
        &self,
        request: Request<Incoming>,
        connection: &ConnectionHeaders,
        trace: Trace,
    ) -> (Option<&Arc<str>>, Result<Response, Problem>) {
        let Some((index, path_info)) = self.routes.find(request.uri().path()) else {
            return (None, self.without_route(request, trace).await);
        };
        let path_info = HeaderValue::from_str(path_info).map_err(|_| Problem::NoRoute);
        let route = self.routes.get(index);
        let answer = match (route.target.instances.next(), path_info) {
            (_, Err(problem)) => Err(problem),
            (None, _) => self.pass(request, trace, Problem::NoVersion).await,
            (Some(instances), Ok(path_info)) => {
                let headers = &route.target.headers;
                self.handle(request, instances, headers, &path_info, connection, trace)
                    .await
            }
        };
        (Some(route.pattern.raw()), answer)
    }

    async fn handle(
        &self,
        request: Request<Incoming>,
        instances: Instances,
        headers: &RouteHeaders,
        path_info: &HeaderValue,
        connection: &ConnectionHeaders,
        trace: Trace,
    ) -> Result<Response, Problem> {
        self.check_length(&request)?;
        let (mut head, body) = request.into_parts();
        prepare(&mut head, headers, path_info, connection)?;
        trace.pass_on(&mut head.headers);
        let request = Request::from_parts(head, body);
        instances
            .handle(request, self.limits.body_bytes_max)
            .await
            .map_err(Problem::Component)
    }

    /// Answers what load balancers and supervisors ask; what else has no route here may have one elsewhere.
    async fn without_route(
        &self,
        request: Request<Incoming>,
        trace: Trace,
    ) -> Result<Response, Problem> {
        match request.uri().path() {
            LIVE => Ok(no_content()),
            READY => match self.readiness.get() {
                Readiness::Ready if self.draining.noticed() => {
                    Err(Problem::NotReady(Readiness::Draining))
                }
                Readiness::Ready => Ok(no_content()),
                other => Err(Problem::NotReady(other)),
            },
            _ => self.pass(request, trace, Problem::NoRoute).await,
        }
    }

    /// Lets a sibling answer, if there is one that can; `otherwise` is why it has to.
    async fn pass(
        &self,
        request: Request<Incoming>,
        trace: Trace,
        otherwise: Problem,
    ) -> Result<Response, Problem> {
        self.check_length(&request)?;
        self.relay.pass(request, trace, otherwise).await
    }

    fn check_length(&self, request: &Request<Incoming>) -> Result<(), Problem> {
        let bytes_max = self.limits.body_bytes_max;
        if request.body().size_hint().lower() > bytes_max {
            return Err(Problem::BodyTooLarge { bytes_max });
        }
        Ok(())
    }
}

fn no_content() -> Response {
    let mut response = Response::new(empty_body());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// Turns a problem into its response, and into a line of the log that names the same trace.
fn report(method: &Method, route: Option<&str>, problem: &Problem, trace: Trace) -> Response {
    let cause = match problem {
        Problem::Component(error) => {
            std::error::Error::source(error).map(|cause| format!("{cause:#}"))
        }
        _ => None,
    };
    let status = problem.status().as_u16();
    // A load balancer asks whether the host is ready again and again; that has been logged when it changed.
    let failed = problem.status().is_server_error() && !matches!(problem, Problem::NotReady(_));
    if failed {
        tracing::error!(
            { attribute::TRACE_ID } = %trace.id(),
            { attribute::SPAN_ID } = %trace.span(),
            { attribute::HTTP_REQUEST_METHOD } = %method,
            { attribute::HTTP_ROUTE } = route,
            { attribute::HTTP_RESPONSE_STATUS_CODE } = status,
            { attribute::ERROR_TYPE } = problem.name(),
            cause,
            "a request failed"
        );
    } else {
        tracing::debug!(
            { attribute::TRACE_ID } = %trace.id(),
            { attribute::SPAN_ID } = %trace.span(),
            { attribute::HTTP_REQUEST_METHOD } = %method,
            { attribute::HTTP_ROUTE } = route,
            { attribute::HTTP_RESPONSE_STATUS_CODE } = status,
            { attribute::ERROR_TYPE } = problem.name(),
            "a request was refused"
        );
    }
    problem.response(trace.id())
}
