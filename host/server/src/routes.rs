//! The table of routes, after Spin's rules: an exact route wins over a wildcard, a longer wildcard over a shorter.
//!
//! Pure: paths in, matches out.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::gate::PriorityRule;

use thiserror::Error;

/// A route as a manifest writes it: `/exact/path`, or `/prefix/...` for everything at and below `/prefix`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutePattern {
    /// As written.
    raw: Arc<str>,
    /// Without a trailing slash and without `/...`; empty for the root.
    prefix: String,
    wildcard: bool,
}

/// A route that cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RouteError {
    /// It does not begin with a slash.
    #[error("the route `{0}` must begin with `/`")]
    NotAbsolute(String),
    /// A wildcard elsewhere than at the end.
    #[error("the route `{0}` may have `...` only as its last segment")]
    WildcardInside(String),
    /// A segment that captures.
    #[error(
        "the route `{0}` captures a segment with `:`, which this host does not support; use `/...`"
    )]
    Capture(String),
    /// It holds what a path cannot.
    #[error("the route `{0}` has characters that no path has")]
    NotAPath(String),
    /// Two routes for the same paths.
    #[error("the route `{route}` belongs to two components, `{first}` and `{second}`")]
    Duplicate {
        /// The route.
        route: String,
        /// The component that had it first.
        first: String,
        /// The component that would take it.
        second: String,
    },
}

impl RoutePattern {
    /// The route as the manifest writes it.
    pub fn raw(&self) -> &Arc<str> {
        &self.raw
    }

    /// The route as the manifest writes it, without `/...`.
    pub fn raw_prefix(&self) -> &str {
        self.raw.strip_suffix("/...").unwrap_or(&self.raw)
    }
}

impl FromStr for RoutePattern {
    type Err = RouteError;

    fn from_str(raw: &str) -> Result<Self, RouteError> {
        if !raw.starts_with('/') {
            return Err(RouteError::NotAbsolute(raw.to_owned()));
        }
        let (path, wildcard) = match raw.strip_suffix("/...") {
            Some(prefix) => (prefix, true),
            None => (raw, false),
        };
        if path
            .split('/')
            .any(|segment| segment == "..." || segment == "*")
        {
            return Err(RouteError::WildcardInside(raw.to_owned()));
        }
        if path.split('/').any(|segment| segment.starts_with(':')) {
            return Err(RouteError::Capture(raw.to_owned()));
        }
        if !path.is_empty()
            && path
                .parse::<http::uri::PathAndQuery>()
                .map_or(true, |parsed| parsed.path() != path)
        {
            return Err(RouteError::NotAPath(raw.to_owned()));
        }
        let prefix = path.strip_suffix('/').unwrap_or(path).to_owned();
        Ok(Self {
            raw: raw.into(),
            prefix,
            wildcard,
        })
    }
}

/// As Spin lists routes: the path, and whether it is a wildcard.
impl fmt::Display for RoutePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.prefix.as_str(), self.wildcard) {
            ("", false) => f.write_str("/"),
            (prefix, false) => f.write_str(prefix),
            (prefix, true) => write!(f, "{prefix} (wildcard)"),
        }
    }
}

/// A route, and what it leads to.
#[derive(Clone, Debug)]
pub struct Route<T> {
    /// The paths.
    pub pattern: RoutePattern,
    /// The name of the component, for error messages.
    pub component: String,
    /// Whether its requests carry the headers by which Spin tells a component of the route and the client.
    pub spin_headers: bool,
    /// Which of its requests go first, and which last. The first that covers a request counts.
    pub priorities: Arc<[PriorityRule]>,
    /// Where requests for these paths go.
    pub target: T,
}

/// The routes of an application.
#[derive(Clone, Debug)]
pub struct Routes<T> {
    exact: HashMap<String, usize>,
    /// Indices, by prefix.
    wildcards: HashMap<String, usize>,
    routes: Vec<Route<T>>,
}

impl<T> Routes<T> {
    /// Builds the table.
    ///
    /// # Errors
    /// When two routes cover the same paths in the same way.
    pub fn new(routes: Vec<Route<T>>) -> Result<Self, RouteError> {
        let (mut exact, mut wildcards) = (HashMap::new(), HashMap::new());
        for (index, route) in routes.iter().enumerate() {
            let map = if route.pattern.wildcard {
                &mut wildcards
            } else {
                &mut exact
            };
            if let Some(first) = map.insert(route.pattern.prefix.clone(), index) {
                return Err(RouteError::Duplicate {
                    route: route.pattern.raw.to_string(),
                    first: routes[first].component.clone(),
                    second: route.component.clone(),
                });
            }
        }
        Ok(Self {
            exact,
            wildcards,
            routes,
        })
    }

    /// All routes, in the order given.
    pub fn iter(&self) -> impl Iterator<Item = &Route<T>> {
        self.routes.iter()
    }

    /// The index of the route that `path` belongs to, and the part of the path that its wildcard covers: empty, or
    /// beginning with a slash.
    pub fn find<'path>(&self, path: &'path str) -> Option<(usize, &'path str)> {
        let trimmed = path.strip_suffix('/').unwrap_or(path);
        if let Some(index) = self.exact.get(trimmed) {
            return Some((*index, ""));
        }
        // From the longest prefix that ends at a slash to the shortest.
        let mut end = trimmed.len();
        loop {
            if let Some(index) = self.wildcards.get(&trimmed[..end]) {
                return Some((*index, &path[end..]));
            }
            end = trimmed[..end].rfind('/')?;
        }
    }

    /// The same routes, leading elsewhere.
    pub fn map<U>(&self, mut target: impl FnMut(&Route<T>) -> U) -> Routes<U> {
        Routes {
            exact: self.exact.clone(),
            wildcards: self.wildcards.clone(),
            routes: self
                .routes
                .iter()
                .map(|route| Route {
                    pattern: route.pattern.clone(),
                    component: route.component.clone(),
                    spin_headers: route.spin_headers,
                    priorities: route.priorities.clone(),
                    target: target(route),
                })
                .collect(),
        }
    }

    /// The route with this index, from [`find`](Self::find).
    pub fn get(&self, index: usize) -> &Route<T> {
        &self.routes[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(patterns: &[&str]) -> Result<Routes<()>, RouteError> {
        let routes = patterns.iter().map(|pattern| {
            Ok(Route {
                pattern: pattern.parse()?,
                component: format!("for {pattern}"),
                spin_headers: true,
                priorities: Arc::default(),
                target: (),
            })
        });
        Routes::new(routes.collect::<Result<_, _>>()?)
    }

    /// Finds `path` among `patterns`: the pattern expected, and the part that its wildcard covers.
    fn check(patterns: &[&str], path: &str, expected: Option<(&str, &str)>) {
        let table = routes(patterns).unwrap();
        let found = table
            .find(path)
            .map(|(index, info)| (&**table.get(index).pattern.raw(), info));
        assert_eq!(found, expected, "{path} among {patterns:?}");
    }

    #[test]
    fn exact_routes_match_with_or_without_a_trailing_slash() {
        check(&["/foo"], "/foo", Some(("/foo", "")));
        check(&["/foo"], "/foo/", Some(("/foo", "")));
        check(&["/foo/"], "/foo", Some(("/foo/", "")));
        check(&["/foo"], "/foo/bar", None);
        check(&["/foo"], "/foobar", None);
        check(&["/"], "/", Some(("/", "")));
    }

    #[test]
    fn wildcards_match_at_and_below_their_prefix() {
        check(&["/v1/..."], "/v1", Some(("/v1/...", "")));
        check(&["/v1/..."], "/v1/", Some(("/v1/...", "/")));
        check(&["/v1/..."], "/v1/a/b", Some(("/v1/...", "/a/b")));
        check(&["/v1/..."], "/v1/a/", Some(("/v1/...", "/a/")));
        check(&["/v1/..."], "/v10", None);
        check(&["/..."], "/", Some(("/...", "/")));
        check(
            &["/..."],
            "/anything/at/all",
            Some(("/...", "/anything/at/all")),
        );
    }

    #[test]
    fn exact_wins_over_wildcard_and_longer_over_shorter() {
        let patterns = ["/...", "/one/...", "/one/two/...", "/one/two"];
        check(&patterns, "/one/two", Some(("/one/two", "")));
        check(
            &patterns,
            "/one/two/three",
            Some(("/one/two/...", "/three")),
        );
        check(&patterns, "/one/three", Some(("/one/...", "/three")));
        check(&patterns, "/zero", Some(("/...", "/zero")));
    }

    #[test]
    fn odd_paths_are_no_trouble() {
        check(&["/v1/..."], "*", None);
        check(&["/v1/..."], "", None);
        check(&["/v1/..."], "//v1//", None);
        check(&["/..."], "//", Some(("/...", "//")));
    }

    #[test]
    fn routes_that_cannot_be_served_are_named() {
        let error = |patterns: &[&str]| routes(patterns).unwrap_err();
        assert_eq!(error(&["foo"]), RouteError::NotAbsolute("foo".into()));
        assert_eq!(
            error(&["/a/.../b"]),
            RouteError::WildcardInside("/a/.../b".into())
        );
        assert_eq!(error(&["/a/:id"]), RouteError::Capture("/a/:id".into()));
        assert_eq!(error(&["/a b"]), RouteError::NotAPath("/a b".into()));
        assert_eq!(error(&["/a?b"]), RouteError::NotAPath("/a?b".into()));
        assert!(matches!(
            error(&["/a", "/a/"]),
            RouteError::Duplicate { .. }
        ));
    }

    #[test]
    fn routes_are_listed_as_spin_lists_them() {
        let shown = |pattern: &str| pattern.parse::<RoutePattern>().unwrap().to_string();
        assert_eq!(shown("/v1/..."), "/v1 (wildcard)");
        assert_eq!(shown("/hello"), "/hello");
        assert_eq!(shown("/"), "/");
    }
}
