//! Which resource a path names, and what may be done to it. A pure table.

use percent_encoding::percent_decode_str;

/// A resource of the API, with the names as they stand in the path: decoded, not yet checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Resource {
    /// `/v1/fleet`
    Fleet,
    /// `/v1/components/{component}/artifacts/{digest}`
    Artifact { component: String, digest: String },
    /// `/v1/components/{component}/rollback`
    Rollback { component: String },
    /// `/v1/rollouts`
    Rollouts,
    /// `/v1/rollouts/{id}`
    Rollout { id: String },
    /// `/v1/rollouts/{id}/approve`
    Approve { id: String },
    /// `/v1/rollouts/{id}/abort`
    Abort { id: String },
    /// `/v1/hosts/{host}/drain`
    Drain { host: String },
    /// `/supervise`, which the host's timer alone reaches: see [`supervise`](crate::supervise).
    Supervise,
}

impl Resource {
    /// The resource of this path. A path has no empty segments, so neither doubled nor trailing slashes.
    pub(crate) fn of(path: &str) -> Option<Self> {
        if path == "/supervise" {
            return Some(Self::Supervise);
        }
        let segments = path.strip_prefix("/v1/")?.split('/').map(decoded);
        let segments: Vec<String> = segments.collect::<Option<_>>()?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        Some(match segments[..] {
            ["fleet"] => Self::Fleet,
            ["components", component, "artifacts", digest] => Self::Artifact {
                component: component.into(),
                digest: digest.into(),
            },
            ["components", component, "rollback"] => Self::Rollback {
                component: component.into(),
            },
            ["rollouts"] => Self::Rollouts,
            ["rollouts", id] => Self::Rollout { id: id.into() },
            ["rollouts", id, "approve"] => Self::Approve { id: id.into() },
            ["rollouts", id, "abort"] => Self::Abort { id: id.into() },
            ["hosts", host, "drain"] => Self::Drain { host: host.into() },
            _ => return None,
        })
    }

    /// The methods that the resource knows, as the `Allow` header lists them (RFC 9110, section 10.2.1).
    pub(crate) fn methods(&self) -> &'static str {
        match self {
            Self::Fleet | Self::Rollout { .. } => "GET",
            Self::Artifact { .. } => "GET, PUT",
            Self::Rollouts => "GET, POST",
            Self::Rollback { .. } | Self::Approve { .. } | Self::Abort { .. } | Self::Supervise => {
                "POST"
            }
            Self::Drain { .. } => "PUT, DELETE",
        }
    }
}

/// A segment without its percent signs; `None` if it is empty or no text.
fn decoded(segment: &str) -> Option<String> {
    let text = percent_decode_str(segment).decode_utf8().ok()?;
    (!text.is_empty()).then(|| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, expected: Option<Resource>) {
        assert_eq!(Resource::of(path), expected, "{path}");
    }

    #[test]
    fn path_names_one_resource() {
        let id = || "r1".to_owned();
        let component = || "voicemail".to_owned();
        for (path, resource) in [
            ("/supervise", Resource::Supervise),
            ("/v1/fleet", Resource::Fleet),
            ("/v1/rollouts", Resource::Rollouts),
            ("/v1/rollouts/r1", Resource::Rollout { id: id() }),
            ("/v1/rollouts/r1/approve", Resource::Approve { id: id() }),
            ("/v1/rollouts/r1/abort", Resource::Abort { id: id() }),
            ("/v1/hosts/r1/drain", Resource::Drain { host: id() }),
            (
                "/v1/components/voicemail/rollback",
                Resource::Rollback {
                    component: component(),
                },
            ),
        ] {
            check(path, Some(resource));
        }
        for digest in ["sha256:0a", "sha256%3A0a"] {
            check(
                &format!("/v1/components/voicemail/artifacts/{digest}"),
                Some(Resource::Artifact {
                    component: component(),
                    digest: "sha256:0a".into(),
                }),
            );
        }
    }

    #[test]
    fn everything_else_is_no_resource() {
        for path in [
            "/",
            "/v1",
            "/v1/",
            "/v1/fleet/",
            "/v1//fleet",
            "/v1/supervise",
            "/v1/../supervise",
            "/supervise/",
            "//supervise",
            "/v1/components/voicemail",
            "/v1/components/voicemail/artifacts/",
            "/v1/components//rollback",
            "/v1/hosts/%ff/drain",
            "/v2/fleet",
            "/V1/fleet",
        ] {
            check(path, None);
        }
    }
}
