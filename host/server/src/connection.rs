//! One connection: its requests, one by one, to the components that their routes lead to.

use std::convert::Infallible;
use std::error::Error as _;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderValue, Method, Request, StatusCode, Version, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use starling_admission::Outcome;
use starling_engine::{Balanced, Instances, Response, empty_body};
use starling_telemetry::{Limit, attribute};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio_rustls::TlsAcceptor;

use crate::activity::{Activity, UnderWay};
use crate::conversation::converse;
use crate::drain::Draining;
use crate::gate::Gate;
use crate::headers::{ConnectionHeaders, RouteHeaders, list_bytes, prepare};
use crate::limits::Bounds;
use crate::observe::{Answered, RequestObserver};
use crate::problem::Problem;
use crate::readiness::{LIVE, READY, Readiness, ReadinessLatch};
use crate::received::Received;
use crate::routes::Routes;
use crate::sent::Sent;
use crate::siblings::Relay;
use crate::trace::Trace;

/// A body of at most this many bytes comes with the head, or right after it.
const TELLING_BYTES_MAX: u64 = 16 << 10;

/// Where a route leads on one event loop.
pub(crate) struct Target {
    pub(crate) instances: Rc<Balanced>,
    /// What Spin's headers say of the route, where the component reads them.
    pub(crate) headers: Option<RouteHeaders>,
}

/// What all connections of one event loop share.
pub(crate) struct Service {
    pub(crate) routes: Routes<Target>,
    pub(crate) bounds: Arc<Bounds>,
    pub(crate) draining: Draining,
    pub(crate) readiness: ReadinessLatch,
    pub(crate) relay: Relay,
    pub(crate) observer: Option<Arc<dyn RequestObserver>>,
    pub(crate) tls: Option<TlsAcceptor>,
    /// Decides what is taken; without it, all is.
    pub(crate) gate: Option<Gate>,
}

/// Serves one connection until it ends, or until the host goes and it is idle.
pub(crate) async fn serve(stream: TcpStream, client: SocketAddr, service: Rc<Service>) {
    // Responses leave in one piece; waiting for more to send only adds delay.
    let _ = stream.set_nodelay(true);
    let Ok(local) = stream.local_addr() else {
        return;
    };
    let connection = Rc::new(ConnectionHeaders::new(client, local));
    let Some(tls) = &service.tls else {
        return speak(stream, client, connection, service).await;
    };
    let patience = service.bounds.limits.header_timeout;
    // On the heap, where it takes none of a connection's memory that has no TLS.
    let handshake = Box::pin(tokio::time::timeout(patience, tls.accept(stream)));
    match handshake.await {
        Ok(Ok(stream)) => speak(Box::new(stream), client, connection, service).await,
        Ok(Err(error)) => tracing::debug!(%client, %error, "a TLS handshake failed"),
        Err(_) => {
            service.bounds.reached.count(Limit::HeaderTimeout);
            tracing::debug!(%client, "a TLS handshake took too long");
        }
    }
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    client: SocketAddr,
    connection: Rc<ConnectionHeaders>,
    service: Rc<Service>,
) {
    let draining = service.draining.clone();
    let activity = Arc::new(Activity::new(service.bounds.clone()));
    let begun = activity.clone();
    let respond = service_fn(move |request: Request<Incoming>| {
        let under_way = begun.begin(request.version());
        let (service, connection) = (service.clone(), connection.clone());
        async move { Ok::<_, Infallible>(service.respond(request, &connection, under_way).await) }
    });
    converse(stream, client, activity, draining, respond).await;
}

impl Service {
    /// Whether a request's head is too long. Those of HTTP/1.1 hyper sees to, with the same answer.
    fn is_head_too_long(&self, request: &Request<Incoming>) -> bool {
        let too_long = request.version() == Version::HTTP_2
            && list_bytes(request) > self.bounds.limits.header_bytes_max;
        if too_long {
            self.bounds.reached.count(Limit::HeaderBytes);
        }
        too_long
    }

    async fn respond(
        &self,
        request: Request<Incoming>,
        connection: &ConnectionHeaders,
        under_way: UnderWay,
    ) -> http::Response<Sent> {
        if self.is_head_too_long(&request) {
            let response = bare(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
            return response.map(|body| Sent::new(body, under_way));
        }
        let started = Instant::now();
        let method = request.method().clone();
        let version = request.version();
        let trace = Trace::of(request.headers());
        let request = request.map(|body| Received::new(body, under_way.activity().clone()));
        let slowness = request.body().slowness();
        let activity = under_way.activity();
        let (route, answer) = self
            .dispatch(request, connection, activity, trace, started)
            .await;
        // The component has only seen that the body broke off, whatever it makes of that.
        let answer = match slowness.is_excessive() {
            true => Err(Problem::BodyTooSlow),
            false => answer,
        };
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
        response.map(|body| Sent::new(body, under_way))
    }

    /// The route of a request, if there is one, and the answer to it.
    async fn dispatch(
        &self,
        request: Request<Received>,
        connection: &ConnectionHeaders,
        activity: &Activity,
        trace: Trace,
        came: Instant,
    ) -> (Option<&Arc<str>>, Result<Response, Problem>) {
        let path = request.uri().path();
        let Some((index, path_info)) = self.routes.find(path) else {
            return (None, self.without_route(request, trace).await);
        };
        let route = self.routes.get(index);
        let raw = Some(route.pattern.raw());
        let headers = match &route.target.headers {
            Some(headers) => match HeaderValue::from_str(path_info) {
                Ok(path_info) => Some((headers, path_info)),
                Err(_) => return (raw, Err(Problem::NoRoute)),
            },
            None => None,
        };
        let rules = &route.priorities;
        let admitted = self
            .gate
            .as_ref()
            .map(|gate| {
                let arrival = activity.arrival();
                gate.admit(index, rules, request.method(), path, arrival, came)
            })
            .transpose();
        let mut permit = match admitted {
            Ok(permit) => permit,
            Err(problem) => {
                read_past(request, self.bounds.limits.body_bytes_max).await;
                activity.refused();
                return (raw, Err(problem));
            }
        };
        // How long a body takes to come says how busy the client is.
        let tells = request.body().size_hint().upper();
        let tells = tells.is_some_and(|bytes| bytes <= TELLING_BYTES_MAX);
        // What has come on other connections is read before the first of it is worked on: only then does the gate know
        // how much there is.
        yield_now().await;
        let answer = match route.target.instances.next() {
            None => self.pass(request, trace, Problem::NoVersion).await,
            Some(instances) => {
                let headers = headers.as_ref().map(|(route, path)| (*route, path));
                self.handle(request, instances, headers, connection, trace)
                    .await
            }
        };
        if let Some(permit) = &mut permit {
            permit.answered(Instant::now(), outcome(tells, &answer));
        }
        // The body goes as fast as the client takes it, and holds no place.
        drop(permit);
        // And all of it is worked on before the first response is written: written one after the other, without
        // anything in between, responses cost fewer wake-ups at both ends.
        yield_now().await;
        (raw, answer)
    }

    async fn handle(
        &self,
        request: Request<Received>,
        instances: Instances,
        headers: Option<(&RouteHeaders, &HeaderValue)>,
        connection: &ConnectionHeaders,
        trace: Trace,
    ) -> Result<Response, Problem> {
        self.check_length(&request)?;
        let (mut head, body) = request.into_parts();
        prepare(&mut head, headers, connection)?;
        trace.pass_on(&mut head.headers);
        let request = Request::from_parts(head, body);
        instances
            .handle(request, self.bounds.limits.body_bytes_max)
            .await
            .map_err(Problem::Component)
    }

    /// Answers what load balancers and supervisors ask; what else has no route here may have one elsewhere.
    async fn without_route(
        &self,
        request: Request<Received>,
        trace: Trace,
    ) -> Result<Response, Problem> {
        match request.uri().path() {
            LIVE => Ok(bare(StatusCode::NO_CONTENT)),
            READY => match self.readiness.get() {
                Readiness::Ready if self.draining.noticed() => {
                    Err(Problem::NotReady(Readiness::Draining))
                }
                Readiness::Ready => Ok(bare(StatusCode::NO_CONTENT)),
                other => Err(Problem::NotReady(other)),
            },
            _ => self.pass(request, trace, Problem::NoRoute).await,
        }
    }

    /// Lets a sibling answer, if there is one that can; `otherwise` is why it has to.
    async fn pass(
        &self,
        request: Request<Received>,
        trace: Trace,
        otherwise: Problem,
    ) -> Result<Response, Problem> {
        self.check_length(&request)?;
        self.relay.pass(request, trace, otherwise).await
    }

    fn check_length(&self, request: &Request<Received>) -> Result<(), Problem> {
        let bytes_max = self.bounds.limits.body_bytes_max;
        if request.body().size_hint().lower() > bytes_max {
            self.bounds.reached.count(Limit::RequestBodyBytes);
            return Err(Problem::BodyTooLarge { bytes_max });
        }
        Ok(())
    }
}

/// Whether the time that an answer took says how busy the host is.
fn outcome(tells: bool, answer: &Result<Response, Problem>) -> Outcome {
    match answer {
        Ok(_) if tells => Outcome::Served,
        _ => Outcome::Unsampled,
    }
}

/// Reads past the body of a request that is refused. A client that is still sending when the connection is closed loses
/// what it was told; one that asked first (RFC 9110, section 10.1.1) sends nothing.
async fn read_past(request: Request<Received>, bytes_max: u64) {
    if request.headers().contains_key(header::EXPECT) {
        return;
    }
    let mut body = request.into_body();
    let mut bytes = 0;
    while bytes <= bytes_max
        && let Some(Ok(frame)) = body.frame().await
    {
        bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
    }
}

fn bare(status: StatusCode) -> Response {
    let mut response = Response::new(empty_body());
    *response.status_mut() = status;
    response
}

/// Turns a problem into its response, and into a line of the log that names the same trace.
fn report(method: &Method, route: Option<&str>, problem: &Problem, trace: Trace) -> Response {
    let cause = match problem {
        Problem::Component(error) => error.source().map(|cause| format!("{cause:#}")),
        _ => None,
    };
    let status = problem.status().as_u16();
    // A load balancer asks whether the host is ready again and again; that has been logged when it changed.
    // And of what is refused under overload there would be more lines than anybody can read: it is counted.
    let quiet = matches!(problem, Problem::NotReady(_)) || problem.name() == "overloaded";
    let failed = problem.status().is_server_error() && !quiet;
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
