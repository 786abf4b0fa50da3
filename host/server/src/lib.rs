//! The HTTP listener: routes, limits, problem details, drain
