//! Names of metrics and attributes, and the set-up of logs
