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

pub(crate) use generated::{spin, wasi};
