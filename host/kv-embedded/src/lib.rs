//! The embedded key-value provider, on an LSM tree with group commit
