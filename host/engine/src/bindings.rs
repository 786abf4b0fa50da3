//! Bindings to the interfaces of `wit/` that the host implements itself. WASI's own come with wasmtime.

mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "starling:edge/application-imports",
        imports: {
            "wasi:keyvalue/store": async | trappable,
            "wasi:keyvalue/atomics": async | trappable,
            "wasi:keyvalue/batch": async | trappable,
            default: trappable,
        },
        with: {
            "spin:key-value/key-value.store": crate::hosts::key_value::OpenStore,
            "wasi:keyvalue/store.bucket": crate::hosts::key_value::OpenStore,
            "wasi:keyvalue/atomics.cas": crate::hosts::wasi_keyvalue::CompareAndSwap,
        },
    });
}

/// What management components import besides.
mod management {
    #![expect(
        missing_docs,
        reason = "generated: `wit/management.wit` says what each thing is"
    )]

    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "starling:edge/management-imports",
        imports: { default: trappable },
    });
}

pub(crate) use generated::{spin, wasi};
pub(crate) use management::starling;
