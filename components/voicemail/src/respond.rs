//! From a request to its answer: which resource, which method, which media type; then the resource
//! itself.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body::Body as HttpBody;
use starling_mailbox::{MailboxId, MessageId};

use crate::negotiate::accepts;
use crate::platform::{Platform, UploadError};
use crate::problem::Problem;
use crate::resources::{audio, mailbox, message, messages};
use crate::response::{Body, JSON};
use crate::route::Resource;
use crate::slots::Slots;

/// Answers a request. A refusal is an answer, too.
pub async fn respond<P, B>(platform: &P, request: Request<B>) -> Response<Body>
where
    P: Platform,
    B: HttpBody<Data = Bytes, Error = UploadError>,
{
    let head = request.method() == Method::HEAD;
    let mut response = dispatch(platform, request)
        .await
        .unwrap_or_else(|problem| problem.response());
    if head {
        *response.body_mut() = Body::empty();
    }
    response
}

async fn dispatch<P, B>(platform: &P, request: Request<B>) -> Result<Response<Body>, Problem>
where
    P: Platform,
    B: HttpBody<Data = Bytes, Error = UploadError>,
{
    let (parts, body) = request.into_parts();
    let (method, headers) = (&parts.method, &parts.headers);
    let resource = Resource::of(parts.uri.path()).ok_or(Problem::NotFound)?;
    let not_allowed = Err(Problem::MethodNotAllowed {
        allow: resource.methods(),
    });
    let slots = || Slots::open(platform);
    match resource {
        Resource::Mailbox { mailbox } => match *method {
            Method::GET | Method::HEAD => {
                let id = existing(mailbox)?;
                takes_json(headers)?;
                mailbox::get(&slots().await?, &id).await
            }
            Method::PUT => {
                let id = mailbox.parse().map_err(Problem::MailboxIdInvalid)?;
                takes_json(headers)?;
                mailbox::put(&slots().await?, &id, headers, body).await
            }
            _ => not_allowed,
        },
        Resource::Summary { mailbox } => match *method {
            Method::GET | Method::HEAD => {
                let id = existing(mailbox)?;
                takes_json(headers)?;
                mailbox::summary(&slots().await?, &id).await
            }
            _ => not_allowed,
        },
        Resource::Messages { mailbox } => match *method {
            Method::GET | Method::HEAD => {
                let id = existing(mailbox)?;
                takes_json(headers)?;
                messages::get(&slots().await?, &id, parts.uri.query()).await
            }
            Method::POST => {
                let id = existing(mailbox)?;
                takes_json(headers)?;
                messages::post(&slots().await?, &id, headers, body).await
            }
            _ => not_allowed,
        },
        Resource::Message { mailbox, message } => match *method {
            Method::GET | Method::HEAD => {
                let (id, message) = (existing(mailbox)?, known(message)?);
                takes_json(headers)?;
                message::get(&slots().await?, &id, message).await
            }
            Method::PATCH => {
                let (id, message) = (existing(mailbox)?, known(message)?);
                takes_json(headers)?;
                message::patch(&slots().await?, &id, message, headers, body).await
            }
            Method::DELETE => {
                let (id, message) = (existing(mailbox)?, known(message)?);
                message::delete(&slots().await?, &id, message).await
            }
            _ => not_allowed,
        },
        Resource::Audio { mailbox, message } => match *method {
            Method::GET | Method::HEAD => {
                let (id, message) = (existing(mailbox)?, known(message)?);
                audio::get(slots().await?, &id, message, method, headers).await
            }
            _ => not_allowed,
        },
    }
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
fn takes_json(headers: &HeaderMap) -> Result<(), Problem> {
    if accepts(headers, &[JSON]) {
        Ok(())
    } else {
        Err(Problem::NotAcceptable {
            offered: JSON.into(),
        })
    }
}
