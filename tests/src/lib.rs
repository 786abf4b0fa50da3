//! End-to-end tests and benchmarks on real processes
