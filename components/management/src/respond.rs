//! From a request to its answer: which resource, which method, who asks; then the resource itself.

use bytes::Bytes;
use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response};
use http_body::Body as HttpBody;

use crate::access::{self, permit};
use crate::fleet::Access;
use crate::json;
use crate::platform::{Platform, UploadError};
use crate::problem::Problem;
use crate::resources::artifact::Artifact;
use crate::resources::{fleet, rollout};
use crate::response::Body;
use crate::route::Resource;
use crate::supervise;
use crate::upload;

/// Answers a request. A refusal is an answer, too.
pub async fn respond<P, B>(platform: &P, request: Request<B>) -> Response<Body>
where
    P: Platform,
    B: HttpBody<Data = Bytes, Error = UploadError>,
{
    let (parts, body) = request.into_parts();
    let answer = dispatch(platform, &parts, body).await;
    let mut response = answer.unwrap_or_else(|problem| problem.response(&parts.headers));
    let headers = response.headers_mut();
    // What is answered is what its type says, and no page to be shown or to send anybody on from.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    );
    response
}

async fn dispatch<P, B>(platform: &P, parts: &Parts, body: B) -> Result<Response<Body>, Problem>
where
    P: Platform,
    B: HttpBody<Data = Bytes, Error = UploadError>,
{
    let (method, headers) = (&parts.method, &parts.headers);
    let resource = Resource::of(parts.uri.path()).ok_or(Problem::NotFound)?;
    let mut known = resource.methods().split(", ");
    if !known.any(|known| known == method.as_str()) {
        let allow = resource.methods();
        return Err(Problem::MethodNotAllowed { allow });
    }
    if resource == Resource::Supervise {
        // The host's timer alone gets here: no listener leads to this path.
        return supervise::post(platform).await;
    }
    let keys = access::keys(platform).await?;
    permit(keys.as_ref(), headers, platform.now_ms())?;
    let query = parts.uri.query().unwrap_or_default();
    let takes_a_query = resource == Resource::Rollouts && method == Method::GET;
    if !query.is_empty() && !takes_a_query {
        return Err(Problem::ParameterInvalid {
            parameter: query
                .split(['=', '&'])
                .next()
                .unwrap_or_default()
                .to_owned(),
            detail: "it is not known here".into(),
        });
    }
    if let Resource::Artifact { component, digest } = resource {
        let artifact = Artifact::named(platform, component, &digest)?;
        let access = Access::open(platform).await?;
        return match *method {
            Method::PUT => artifact.put(&access, headers, body).await,
            _ => artifact.get(&access).await,
        };
    }
    let body = upload::json(headers, body).await?;
    let access = Access::open(platform).await?;
    match resource {
        Resource::Fleet => fleet::get(&access).await,
        Resource::Drain { host } => {
            json::nothing(&body)?;
            fleet::drain(&access, host, *method == Method::PUT).await
        }
        Resource::Rollouts if *method == Method::GET => rollout::list(&access, query).await,
        Resource::Rollouts => rollout::create(&access, &body).await,
        Resource::Rollout { id } => rollout::get(&access, &id).await,
        Resource::Approve { id } => rollout::approve(&access, &id, &body).await,
        Resource::Abort { id } => rollout::abort(&access, &id, &body).await,
        Resource::Rollback { component } => rollout::rollback(&access, component, &body).await,
        Resource::Artifact { .. } | Resource::Supervise => Err(Problem::NotFound),
    }
}
