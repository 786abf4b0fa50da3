//! What the component can reach beyond itself: other servers, the network, files.

use std::net::SocketAddrV4;

use serde_json::json;
use spin_sdk::http::{self, Request, StatusCode, box_body};
use spin_sdk::wasip3::sockets::types::{
    IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, TcpSocket,
};

use crate::answer::{self, Answer, bad_request, text};
use crate::query;

pub(crate) async fn fetch(request: &Request) -> Answer {
    let Some(url) = query::parameter(request, "url") else {
        return bad_request("`url` is missing");
    };
    match http::get(&url).await {
        Ok(fetched) => {
            let (parts, body) = fetched.into_parts();
            let mut answer = Answer::new(box_body(body));
            *answer.status_mut() = parts.status;
            answer
        }
        Err(error) => text(StatusCode::BAD_GATEWAY, format!("{error:?}\n")),
    }
}

/// By wasi:sockets itself and not by `std::net`, which needs a C library with sockets; Debian's has none.
pub(crate) async fn connect(request: &Request) -> Answer {
    let address = query::parameter(request, "address").unwrap_or_default();
    let Ok(address) = address.parse::<SocketAddrV4>() else {
        return bad_request("`address` is not an IPv4 address with a port");
    };
    let outcome = async {
        let socket = TcpSocket::create(IpAddressFamily::Ipv4)?;
        let remote = Ipv4SocketAddress {
            port: address.port(),
            address: address.ip().octets().into(),
        };
        socket.connect(IpSocketAddress::Ipv4(remote)).await
    };
    told(
        outcome
            .await
            .map(|()| "connected".to_owned())
            .map_err(|error| format!("{error:?}")),
    )
}

pub(crate) fn file(request: &Request) -> Answer {
    let path = query::parameter(request, "path").unwrap_or_default();
    told(std::fs::read_to_string(path).map_err(|error| error.to_string()))
}

fn told(outcome: Result<String, String>) -> Answer {
    answer::json(&match outcome {
        Ok(text) => json!({ "ok": text }),
        Err(error) => json!({ "error": error }),
    })
}
