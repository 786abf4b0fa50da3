//! One connection: its requests, one by one, to the components that their routes lead to.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use http::{HeaderValue, Method, Request, Version, header};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use starling_engine::{Instances, Response, empty_body};
use starling_telemetry::attribute;
use tokio::net::TcpStream;

use crate::drain::Draining;
use crate::headers::{ConnectionHeaders, RouteHeaders, prepare};
use crate::limits::Limits;
use crate::patience::Patience;
use crate::problem::Problem;
use crate::routes::Routes;
use crate::trace::Trace;

/// How often the other end of an HTTP/2 connection is asked whether it is still there.
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(20);

/// How long it has to answer.
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a route leads on one event loop.
pub(crate) struct Target {
    pub(crate) instances: Instances,
    pub(crate) headers: RouteHeaders,
}

/// What all connections of one event loop share.
pub(crate) struct Service {
    pub(crate) routes: Routes<Target>,
    pub(crate) limits: Limits,
    pub(crate) draining: Draining,
}

/// Reads and writes HTTP as the limits say.
pub(crate) fn protocol(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
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
    protocol: Rc<auto::Builder<TokioExecutor>>,
    service: Arc<Service>,
) {
    // Responses leave in one piece; waiting for more to send only adds delay.
    let _ = stream.set_nodelay(true);
    let Ok(local) = stream.local_addr() else {
        return;
    };
    let connection = Arc::new(ConnectionHeaders::new(client, local));
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
        let method = request.method().clone();
        let version = request.version();
        let trace = Trace::of(request.headers());
        let mut response = match self.dispatch(request, connection, trace).await {
            Ok(response) => response,
            Err((route, problem)) => report(&method, route, &problem, trace),
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
        response
    }

    async fn dispatch(
        &self,
        request: Request<Incoming>,
        connection: &ConnectionHeaders,
        trace: Trace,
    ) -> Result<Response, (Option<&str>, Problem)> {
        let (mut head, body) = request.into_parts();
        let (index, path_info) = self
            .routes
            .find(head.uri.path())
            .ok_or((None, Problem::NoRoute))?;
        let route = self.routes.get(index);
        let failed = |problem| (Some(route.pattern.raw()), problem);
        let bytes_max = self.limits.body_bytes_max;
        if body.size_hint().lower() > bytes_max {
            return Err(failed(Problem::BodyTooLarge { bytes_max }));
        }
        let path_info = HeaderValue::from_str(path_info).map_err(|_| failed(Problem::NoRoute))?;
        prepare(&mut head, &route.target.headers, &path_info, connection).map_err(failed)?;
        trace.pass_on(&mut head.headers);
        let request = Request::from_parts(head, body);
        route
            .target
            .instances
            .handle(request, bytes_max)
            .await
            .map_err(|error| failed(Problem::Component(error)))
    }
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
    if problem.status().is_server_error() {
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
