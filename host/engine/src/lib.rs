//! Instances of WASI components: compiled ahead of time, pooled, bounded
