//! The way from `wasi:http` into a component and out again.
//!
//! It does what the SDK's `http_service` does, with half the calls to the host: each call costs as much as parsing
//! the request did. What nobody here reads is not asked for: the scheme and the authority, which the host has put into
//! no one's way, and the request's options, which only outgoing requests have.

#[cfg(any(target_family = "wasm", test))]
mod company;
#[cfg(target_family = "wasm")]
mod incoming;
#[cfg(target_family = "wasm")]
mod outgoing;

#[cfg(target_family = "wasm")]
pub use incoming::{RequestBody, incoming};
#[cfg(target_family = "wasm")]
pub use outgoing::outgoing;

/// Makes an asynchronous function from a request to a response the component's handler.
///
/// The function takes an [`http::Request`] with a [`RequestBody`], and gives an [`http::Response`] with any body whose
/// data becomes bytes.
#[macro_export]
macro_rules! handle_with {
    ($function:path) => {
        mod wasi_http_handler {
            use ::spin_sdk::wasip3::exports::http::handler::Guest;
            use ::spin_sdk::wasip3::http::types;

            struct Handler;
            ::spin_sdk::wasip3::http::service::export!(Handler);

            impl Guest for Handler {
                async fn handle(
                    request: types::Request,
                ) -> Result<types::Response, types::ErrorCode> {
                    $crate::outgoing($function($crate::incoming(request)?).await)
                }
            }
        }
    };
}
