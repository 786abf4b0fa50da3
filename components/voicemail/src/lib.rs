//! The caller and subscriber HTTP API, a WASI component
