//! What can go wrong with a component, by who has to act.

use std::path::PathBuf;

use thiserror::Error;

/// Why the engine could not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The compiler or the instance pool refused its configuration: too little address space, most likely.
    #[error("the WebAssembly engine cannot start with these limits")]
    Engine(#[source] wasmtime::Error),
    /// The folder of compiled components cannot be made or written.
    #[error("the cache of compiled components at {} cannot be used", path.display())]
    Cache {
        /// The folder.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
}

/// Why a component could not be loaded. Nothing of it runs.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The bytes are not WebAssembly.
    #[error("it is not WebAssembly: a component starts with the bytes `\\0asm`")]
    NotWebAssembly,
    /// A core module, not a component.
    #[error(
        "it is a core module, not a component: build it for the target wasm32-wasip2, \
         or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    /// The bytes start like a component and are not one.
    #[error("it is not a valid component")]
    Invalid(#[source] wasmtime::Error),
    /// It imports something that this host does not offer.
    #[error("it imports what this host does not offer: {import}")]
    MissingImport {
        /// The name of the import.
        import: String,
        /// What the linker said.
        #[source]
        source: wasmtime::Error,
    },
    /// It imports what is offered to management components alone.
    #[error(
        "it imports {import}, which is offered to the host's management component alone: \
         an application component cannot manage its host"
    )]
    ImportNotAllowed {
        /// The name of the import.
        import: String,
    },
    /// It exports no HTTP handler.
    #[error(
        "it exports no HTTP handler: a component of an HTTP trigger exports \
         wasi:http/handler@0.3.0 (spin-sdk 7) or wasi:http/incoming-handler@0.2"
    )]
    NoHandler(#[source] wasmtime::Error),
}

/// Why a request got no response from an instance.
#[derive(Debug, Error)]
pub enum RequestError {
    /// All instances were busy for as long as a request may wait.
    #[error("every instance of the component is busy")]
    Busy,
    /// The guest produced no response in time.
    #[error("the component gave no response in time")]
    TimedOut,
    /// The guest computed for too long without waiting for anything.
    #[error("the component computed for too long")]
    CpuExhausted,
    /// The guest asked for more memory than it may have, and failed.
    #[error("the component ran out of memory")]
    OutOfMemory,
    /// The guest trapped, or a panic ended it.
    #[error("the component failed")]
    Failed(#[source] wasmtime::Error),
    /// The guest said itself that it cannot answer.
    #[error("the component refused the request")]
    Refused(#[source] wasmtime::Error),
    /// The request body was longer than allowed, and the guest passed that on.
    #[error("the request body is too large")]
    BodyTooLarge,
    /// The client's request body ended before it was complete, and the guest passed that on.
    #[error("the request body was not complete")]
    BodyIncomplete,
}
