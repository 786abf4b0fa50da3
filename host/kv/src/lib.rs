//! The key-value interface: the Store trait, its errors, wrappers and conformance suite
