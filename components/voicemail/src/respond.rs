//! From a request to its answer: who asks, which resource, which method, which media type; then the
//! resource itself.

use bytes::Bytes;
use http::header::{REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as HttpBody;
use starling_access::Scope::{Deposit, Provision, Subscriber};
use starling_mailbox::{GreetingKind, MailboxId, MessageId};

use crate::access::{self, Access, OPEN_HEADER};
use crate::cors::Cors;
use crate::negotiate::accepts;
use crate::platform::{Platform, UploadError};
use crate::problem::Problem;
use crate::resources::{
    audio, distribution, forward, greeting, mailbox, mailboxes, message, messages, sessions, spool,
};
use crate::response::{Body, JSON, NDJSON};
use crate::route::{Part, Resource};
use crate::slots::Slots;
use crate::{maintenance, openapi, trace};

/// The mailbox that a request may have changed, as an extension of its answer: who runs requests looks
/// after it afterwards ([`after`](crate::after)).
#[derive(Clone, Debug)]
pub struct Touched(pub MailboxId);

/// Answers a request. A refusal is an answer, too.
///
/// A `content-digest` in the trailers of the body is believed: who cannot vouch for it passes on none.
pub async fn respond<P, B>(platform: &P, request: Request<B>) -> Response<Body>
where
    P: Platform + Clone + 'static,
    B: HttpBody<Data = Bytes, Error = UploadError>,
{
    let (parts, body) = request.into_parts();
    let trace = trace::id(platform, &parts.headers);
    let cors = Cors::of(platform, &parts.headers).await;
    let resource = Resource::of(parts.uri.path());
    let methods = resource.as_ref().map_or("", Resource::methods);
    let mut response = match cors.preflight(&parts.method, &parts.headers, methods) {
        Some(preflight) => preflight,
        None => {
            let touched = touched(&parts.method, resource.as_ref());
            let mut open = false;
            let answer = dispatch(platform, &parts, resource, body, &mut open).await;
            let mut response = answer.unwrap_or_else(|problem| problem.response(&trace));
            if open {
                let open = HeaderValue::from_static("open");
                let name = HeaderName::from_static(OPEN_HEADER);
                response.headers_mut().insert(name, open);
            }
            // What is in the spool has touched nothing yet.
            let status = response.status();
            let changed = status.is_success() && status != StatusCode::ACCEPTED;
            if let Some(touched) = touched.filter(|_| changed) {
                response.extensions_mut().insert(touched);
            }
            response
        }
    };
    cors.mark(&mut response);
    let headers = response.headers_mut();
    // What is answered is what its type says, and no page to be shown or to send anybody on from.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(
        http::header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    );
    if parts.method == Method::HEAD {
        *response.body_mut() = Body::empty();
    }
    response
}

/// The mailbox that a request with this method may change.
fn touched(method: &Method, resource: Option<&Resource>) -> Option<Touched> {
    if matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    match resource? {
        Resource::Mailbox { mailbox } | Resource::Of { mailbox, .. } => {
            mailbox.parse().ok().map(Touched)
        }
        _ => None,
    }
}

async fn dispatch<P, B>(
    platform: &P,
    parts: &Parts,
    resource: Option<Resource>,
    body: B,
    open: &mut bool,
) -> Result<Response<Body>, Problem>
where
    P: Platform + Clone + 'static,
    B: HttpBody<Data = Bytes, Error = UploadError>,
{
    let (method, headers) = (&parts.method, &parts.headers);
    let query = parts.uri.query().unwrap_or_default();
    let resource = resource.ok_or(Problem::NotFound)?;
    if !allows(&resource, method) {
        return Err(Problem::MethodNotAllowed {
            allow: resource.methods(),
        });
    }
    let keys = access::keys(platform).await?;
    *open = keys.is_none();
    let access = Access::of(keys.as_ref(), headers, platform.now_ms());
    let reads = matches!(*method, Method::GET | Method::HEAD);
    match resource {
        Resource::OpenApi => openapi::get(headers),
        Resource::Maintenance => maintenance::post(platform).await,
        Resource::Sessions => {
            takes(headers, JSON)?;
            let keys = keys.ok_or(Problem::NotFound)?;
            sessions::post(&Slots::open(platform).await?, &keys, headers, body).await
        }
        Resource::Distribution => {
            access.permit(&[Deposit], None)?;
            takes(headers, JSON)?;
            distribution::post(&Slots::open(platform).await?, headers, body).await
        }
        Resource::Mailboxes => {
            access.permit(&[Provision], None)?;
            if reads {
                takes(headers, JSON)?;
                return mailboxes::get(&Slots::open(platform).await?, query).await;
            }
            takes(headers, NDJSON)?;
            mailboxes::post(platform.clone(), headers, body).await
        }
        Resource::Spool => {
            access.permit(&[Provision], None)?;
            takes(headers, JSON)?;
            spool::get(platform, query).await
        }
        Resource::SpoolEntry { order } => {
            access.permit(&[Provision], None)?;
            spool::delete(platform, &order).await
        }
        Resource::SpoolRetry { order } => {
            access.permit(&[Provision], None)?;
            spool::retry(platform, &order).await
        }
        Resource::Mailbox { mailbox } => {
            let id = mailbox.parse::<MailboxId>();
            let scopes = match *method {
                Method::DELETE => &[Provision][..],
                _ => &[Subscriber, Provision],
            };
            access.permit(scopes, id.as_ref().ok())?;
            takes(headers, JSON)?;
            if *method == Method::PUT {
                let id = id.map_err(Problem::MailboxIdInvalid)?;
                let slots = Slots::open(platform).await?;
                return mailbox::put(&slots, &access, &id, headers, body).await;
            }
            let id = existing(mailbox)?;
            let slots = Slots::open(platform).await?;
            if reads {
                mailbox::get(&slots, &id, headers).await
            } else {
                mailbox::delete(&slots, &id, headers).await
            }
        }
        Resource::Of { mailbox, part } => {
            let id = mailbox.parse::<MailboxId>();
            access.permit(scopes(&part, method), id.as_ref().ok())?;
            let id = existing(mailbox)?;
            part_of(platform, parts, &id, part, body).await
        }
    }
}

/// Who may do this to a part of a mailbox.
fn scopes(part: &Part, method: &Method) -> &'static [starling_access::Scope] {
    match (part, method) {
        (Part::Messages, &Method::POST) => &[Deposit],
        (Part::Heard, _) => &[Deposit, Subscriber, Provision],
        (Part::Greeting { .. }, &Method::GET | &Method::HEAD) => &[Deposit, Subscriber, Provision],
        (Part::Greeting { .. } | Part::Summary, _) => &[Subscriber, Provision],
        _ => &[Subscriber],
    }
}

async fn part_of<P, B>(
    platform: &P,
    parts: &Parts,
    id: &MailboxId,
    part: Part,
    body: B,
) -> Result<Response<Body>, Problem>
where
    P: Platform,
    B: HttpBody<Data = Bytes, Error = UploadError>,
{
    let (method, headers) = (&parts.method, &parts.headers);
    let query = parts.uri.query().unwrap_or_default();
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let slots = || Slots::open(platform);
    match part {
        Part::Summary => {
            takes(headers, JSON)?;
            mailbox::summary(&slots().await?, id).await
        }
        Part::Messages => {
            if *method != Method::DELETE {
                takes(headers, JSON)?;
            }
            if *method == Method::POST {
                return messages::post(platform, id, headers, body).await;
            }
            let slots = slots().await?;
            match *method {
                Method::PATCH => messages::patch(&slots, id, headers, body).await,
                Method::DELETE => messages::delete(&slots, id, query).await,
                _ => messages::get(&slots, id, query).await,
            }
        }
        Part::Message { message } => {
            let message = known(message)?;
            if *method == Method::DELETE {
                return message::delete(&slots().await?, id, message, headers, query).await;
            }
            takes(headers, JSON)?;
            let slots = slots().await?;
            if reads {
                message::get(&slots, id, message, headers).await
            } else {
                message::patch(&slots, id, message, headers, body).await
            }
        }
        Part::Audio { message } => {
            let message = known(message)?;
            audio::get(&slots().await?, id, message, method, headers, query).await
        }
        Part::Peaks { message } => {
            let message = known(message)?;
            takes(headers, JSON)?;
            audio::peaks(&slots().await?, id, message, query).await
        }
        Part::Comment { message } => {
            let message = known(message)?;
            audio::comment(&slots().await?, id, message, method, headers, query).await
        }
        Part::Forward { message } => {
            let message = known(message)?;
            takes(headers, JSON)?;
            forward::post(&slots().await?, id, message, headers, body).await
        }
        Part::Heard => {
            takes(headers, JSON)?;
            greeting::heard(&slots().await?, id, query).await
        }
        Part::Greeting { kind } => {
            let kind: GreetingKind = kind.parse().map_err(|_| Problem::NotFound)?;
            let slots = slots().await?;
            match *method {
                Method::PUT => {
                    takes(headers, JSON)?;
                    greeting::put(&slots, id, kind, headers, query, body).await
                }
                Method::DELETE => greeting::delete(&slots, id, kind, headers).await,
                _ => greeting::get(&slots, id, kind, method, headers, query).await,
            }
        }
    }
}

fn allows(resource: &Resource, method: &Method) -> bool {
    let mut methods = resource.methods().split(", ");
    methods.any(|allowed| allowed == method.as_str())
}

/// What cannot be the id of a mailbox is the id of none that exists.
fn existing(mailbox: String) -> Result<MailboxId, Problem> {
    mailbox
        .parse()
        .map_err(|_| Problem::MailboxNotFound { mailbox })
}

fn known(message: String) -> Result<MessageId, Problem> {
    message
        .parse()
        .map_err(|_| Problem::MessageNotFound { message })
}

/// Before anything is done that could not be told.
fn takes(headers: &HeaderMap, offered: &'static str) -> Result<(), Problem> {
    if accepts(headers, &[offered]) {
        Ok(())
    } else {
        Err(Problem::NotAcceptable {
            offered: offered.into(),
        })
    }
}
