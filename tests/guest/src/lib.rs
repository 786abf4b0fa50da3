//! A component that misbehaves on request, for the tests
