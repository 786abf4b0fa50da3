//! `starling ps`: a line for each host and version of a component that it has.

use super::Show;
use super::table::{Cell, Colours, Side, Table, Tone, plain};
use super::words;
use crate::api::{ArtifactState, Component, Fleet, Host, Life, Readiness};

/// `REQ/S` is the host's rate, shared out by the requests that its versions had. `AGE` is how long ago the host was last heard
/// of. Reasons follow below the table.
impl Show for Fleet {
    fn show(&self, colours: Colours) -> String {
        let mut table = Table::new([
            ("REGION", Side::Left),
            ("ZONE", Side::Left),
            ("HOST", Side::Left),
            ("LIFE", Side::Left),
            ("READY", Side::Left),
            ("COMPONENT", Side::Left),
            ("DIGEST", Side::Left),
            ("TRAFFIC", Side::Right),
            ("STATE", Side::Left),
            ("REQ/S", Side::Right),
            ("ERRORS", Side::Right),
            ("P50", Side::Right),
            ("P99", Side::Right),
            ("AGE", Side::Right),
        ]);
        let mut reasons = Vec::new();
        for host in &self.hosts {
            if let Some(reason) = &host.reason {
                reasons.push(format!(
                    "{} is {}: {reason}",
                    host.id,
                    host.readiness.as_str()
                ));
            }
            // A host without components is a line too.
            let components: Vec<Option<&Component>> = match host.components.as_slice() {
                [] => vec![None],
                components => components.iter().map(Some).collect(),
            };
            for component in components {
                table.row(row(host, component));
                let reason = component.and_then(|it| Some((it, it.reason.as_ref()?)));
                if let Some((it, reason)) = reason {
                    let (name, digest) = (&it.component, it.digest.short());
                    reasons.push(format!(
                        "{} has {name} {digest} {}: {reason}",
                        host.id,
                        it.state.as_str()
                    ));
                }
            }
        }
        let mut text = table.render("", colours);
        if !reasons.is_empty() {
            text.push('\n');
        }
        for reason in reasons {
            text.push_str(&plain(&reason));
            text.push('\n');
        }
        text
    }
}

fn row(host: &Host, component: Option<&Component>) -> [Cell; 14] {
    let cell = |text: String| (text, Tone::Plain);
    let of =
        |text: &dyn Fn(&Component) -> String| cell(component.map_or_else(|| "-".to_owned(), text));
    let life = match host.life {
        Life::Alive => Tone::Good,
        Life::Suspected => Tone::Doubtful,
        Life::Out => Tone::Bad,
        Life::Other(_) => Tone::Plain,
    };
    let readiness = match host.readiness {
        Readiness::Ready => Tone::Good,
        Readiness::Degraded => Tone::Bad,
        Readiness::Draining => Tone::Doubtful,
        Readiness::Other(_) => Tone::Plain,
    };
    let state = component.map_or(Tone::Plain, |it| match it.state {
        ArtifactState::Ready => Tone::Good,
        ArtifactState::Staging => Tone::Doubtful,
        ArtifactState::Refused => Tone::Bad,
        ArtifactState::Other(_) => Tone::Plain,
    });
    [
        cell(host.region.clone()),
        cell(host.zone.clone()),
        cell(host.id.clone()),
        (host.life.as_str().to_owned(), life),
        (host.readiness.as_str().to_owned(), readiness),
        of(&|it| it.component.clone()),
        of(&|it| it.digest.short().to_owned()),
        of(&|it| format!("{}%", it.percent)),
        (of(&|it| it.state.as_str().to_owned()).0, state),
        of(&|it| format!("{:.1}", rate(host, it))),
        of(&|it| words::share(it.errors, it.requests)),
        of(&|it| words::time(it.p50_ms)),
        of(&|it| words::time(it.p99_ms)),
        cell(words::whole_time(host.age_ms)),
    ]
}

/// The requests a second that a version has of its host's: all versions' requests are counted over the same time.
fn rate(host: &Host, component: &Component) -> f64 {
    let all: u64 = host.components.iter().map(|it| it.requests).sum();
    if all == 0 {
        return 0.0;
    }
    host.load.requests_per_second * component.requests as f64 / all as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLEET: &str = r#"{ "region": "eu", "host": "h1", "hosts": [
        { "id": "h1", "region": "eu", "zone": "eu-a", "address": "http://10.0.0.1:3000",
          "management": "https://10.0.0.1:8443", "version": "0.1.0", "life": "alive", "readiness": "ready",
          "reason": null, "beat_at": "2026-01-01T00:00:00Z", "age_ms": 420, "started_at": "2026-01-01T00:00:00Z",
          "capacity": { "instances_max": 100, "event_loops": 2 },
          "load": { "in_flight": 1, "requests_per_second": 20.0, "error_ratio": 0.0 }, "drain": false,
          "components": [
            { "component": "voicemail", "percent": 95, "own": true, "state": "ready", "reason": null, "in_flight": 1,
              "digest": "sha256:1111111111111111111111111111111111111111111111111111111111111111",
              "requests": 950, "errors": 0, "p50_ms": 2.5, "p99_ms": 120 },
            { "component": "voicemail", "percent": 5, "own": false, "state": "ready", "reason": null, "in_flight": 0,
              "digest": "sha256:2222222222222222222222222222222222222222222222222222222222222222",
              "requests": 50, "errors": 2, "p50_ms": 3, "p99_ms": 1500 } ] },
        { "id": "host-two", "region": "us", "zone": "us-a", "address": "http://10.0.0.2:3000", "management": null,
          "version": "0.2.0", "life": "suspected", "readiness": "degraded", "reason": "errors\u001b[2J", "later": 1,
          "beat_at": "2026-01-01T00:00:00Z", "age_ms": 5200, "started_at": "2026-01-01T00:00:00Z",
          "capacity": { "instances_max": 100, "event_loops": 2 },
          "load": { "in_flight": 0, "requests_per_second": 0, "error_ratio": 0.0 }, "drain": false,
          "components": [
            { "component": "voicemail", "percent": 0, "own": false, "state": "refused", "reason": "unsigned",
              "digest": "sha256:2222222222222222222222222222222222222222222222222222222222222222",
              "in_flight": 0, "requests": 0, "errors": 0, "p50_ms": null, "p99_ms": null } ] },
        { "id": "h3", "region": "us", "zone": "us-b", "address": "http://10.0.0.3:3000", "version": "0.3.0",
          "life": "asleep", "readiness": "draining", "beat_at": "2026-01-01T00:00:00Z", "age_ms": 90000,
          "started_at": "2026-01-01T00:00:00Z", "capacity": { "instances_max": 100, "event_loops": 2 },
          "load": { "in_flight": 0, "requests_per_second": 0, "error_ratio": 0.0 }, "drain": true, "components": [] } ] }"#;

    #[test]
    fn a_fleet_is_a_line_for_each_host_and_version() {
        let fleet: Fleet = serde_json::from_str(FLEET).unwrap();
        let expected = "\
REGION  ZONE  HOST      LIFE       READY     COMPONENT  DIGEST        TRAFFIC  STATE    REQ/S  ERRORS    P50    P99    AGE
eu      eu-a  h1        alive      ready     voicemail  111111111111      95%  ready     19.0    0.0%  2.5ms  120ms  420ms
eu      eu-a  h1        alive      ready     voicemail  222222222222       5%  ready      1.0    4.0%    3ms   1.5s  420ms
us      us-a  host-two  suspected  degraded  voicemail  222222222222       0%  refused    0.0       -      -      -   5.2s
us      us-b  h3        asleep     draining  -          -                   -  -            -       -      -      -     1m

host-two is degraded: errors\u{fffd}[2J
host-two has voicemail 222222222222 refused: unsigned
";
        let shown = fleet.show(Colours::Off);
        assert_eq!(shown, expected, "\n{shown}");
        let coloured = fleet.show(Colours::On);
        assert!(coloured.contains("\x1b[33msuspected\x1b[0m"), "{coloured}");
        assert!(coloured.contains("\x1b[31mrefused\x1b[0m"), "{coloured}");
    }
}
