//! Rollouts: one with its steps and figures, several as a table, and a line for when one goes on.

use std::fmt::Write as _;

use super::Show;
use super::table::{Cell, Colours, Side, Table, Tone, plain};
use super::words;
use crate::Digest;
use crate::api::{Figures, Observed, Rollout, RolloutState, Rollouts};

/// A version of a rollout: none is what each host's manifest names.
fn version(digest: Option<&Digest>) -> &str {
    digest.map_or("each host's own", Digest::short)
}

impl Show for Rollout {
    fn show(&self, colours: Colours) -> String {
        let state = tone(&self.state).paint(&plain(self.state.as_str()), colours);
        let mut text = format!(
            "Rollout {} of {}: ",
            plain(&self.id),
            plain(&self.component)
        );
        let _ = writeln!(text, "{state}");
        let mut field = |name: &str, value: String| {
            let _ = writeln!(text, "  {name:<10}{}", plain(&value));
        };
        if let Some(reason) = &self.reason {
            field("Reason", reason.clone());
        }
        let (new, old) = (version(self.digest.as_ref()), version(self.base.as_ref()));
        field("Version", format!("{new}, instead of {old}"));
        field("Strategy", strategy(self));
        field(
            "Created",
            format!("{} in {}", self.created_at, self.created_in),
        );
        text.push_str("\nSteps\n");
        text.push_str(&steps(self).render("  ", colours));
        if let Some(observed) = &self.observed {
            text.push_str("\nObserved\n");
            text.push_str(&figures(observed).render("  ", colours));
        }
        if self.state == RolloutState::Waiting {
            let id = plain(&self.id);
            let _ = writeln!(text, "\nIt goes on after `starling rollout approve {id}`.");
        }
        text
    }
}

impl Show for Rollouts {
    fn show(&self, colours: Colours) -> String {
        let mut table = Table::new([
            ("ROLLOUT", Side::Left),
            ("COMPONENT", Side::Left),
            ("DIGEST", Side::Left),
            ("STRATEGY", Side::Left),
            ("STATE", Side::Left),
            ("STEP", Side::Left),
            ("CREATED", Side::Left),
            ("IN", Side::Left),
            ("REASON", Side::Left),
        ]);
        for rollout in &self.rollouts {
            let cell = |text: &str| (text.to_owned(), Tone::Plain);
            table.row([
                cell(&rollout.id),
                cell(&rollout.component),
                cell(version(rollout.digest.as_ref())),
                cell(&rollout.strategy),
                (rollout.state.as_str().to_owned(), tone(&rollout.state)),
                cell(&position(rollout)),
                cell(&rollout.created_at),
                cell(&rollout.created_in),
                cell(rollout.reason.as_deref().unwrap_or_default()),
            ]);
        }
        table.render("", colours)
    }
}

/// How a rollout stands, on a line without a newline.
pub(super) fn line(rollout: &Rollout) -> String {
    let mut text = format!("{} is {}", rollout.id, rollout.state.as_str());
    if !rollout.state.is_ended()
        && let Some(step) = rollout.steps.get(rollout.step)
    {
        let _ = write!(
            text,
            ", at step {}: {} {}%",
            position(rollout),
            step.name,
            step.percent
        );
    }
    if let Some(reason) = &rollout.reason {
        let _ = write!(text, ": {reason}");
    }
    plain(&text)
}

/// At which of its steps it is: `2/4`.
fn position(rollout: &Rollout) -> String {
    format!("{}/{}", rollout.step + 1, rollout.steps.len())
}

fn strategy(rollout: &Rollout) -> String {
    let canary = if rollout.strategy == "canary" {
        format!(" of {}%", rollout.canary_percent)
    } else {
        String::new()
    };
    let gate = if rollout.gate {
        ", each after an approval"
    } else {
        ""
    };
    let step = words::whole_time(rollout.step_ms);
    format!(
        "{}{canary}, steps of {step} or more{gate}",
        rollout.strategy
    )
}

fn steps(rollout: &Rollout) -> Table<5> {
    let mut table = Table::new([
        ("", Side::Left),
        ("STEP", Side::Left),
        ("WHERE", Side::Left),
        ("TRAFFIC", Side::Right),
        ("", Side::Left),
    ]);
    for (index, step) in rollout.steps.iter().enumerate() {
        let is_done = index < rollout.step || rollout.state == RolloutState::Done;
        let is_current = index == rollout.step && !is_done;
        let (marker, tone) = match () {
            () if is_done => ("✓", Tone::Good),
            () if !is_current => ("·", Tone::Plain),
            () if rollout.state.is_ended() => ("✗", tone(&rollout.state)),
            () => ("▶", tone(&rollout.state)),
        };
        let place = match (&step.region, &step.zone) {
            (None, None) => "everywhere".to_owned(),
            (Some(region), Some(zone)) => format!("{region}/{zone}"),
            (Some(name), None) | (None, Some(name)) => name.clone(),
        };
        let mut notes = Vec::new();
        if is_current {
            notes.push(format!("since {}", rollout.step_since));
        }
        if rollout.gate && rollout.approved.is_some_and(|approved| index <= approved) {
            notes.push("approved".to_owned());
        }
        let cell = |text: String| (text, Tone::Plain);
        table.row([
            (marker.to_owned(), tone),
            cell(step.name.clone()),
            cell(place),
            cell(format!("{}%", step.percent)),
            cell(notes.join(", ")),
        ]);
    }
    table
}

fn figures(observed: &Observed) -> Table<5> {
    let mut table = Table::new([
        ("", Side::Left),
        ("REQUESTS", Side::Right),
        ("ERRORS", Side::Right),
        ("P50", Side::Right),
        ("P99", Side::Right),
    ]);
    let row = |name: &str, figures: &Figures| -> [Cell; 5] {
        [
            name.to_owned(),
            figures.requests.to_string(),
            words::share(figures.errors, figures.requests),
            words::time(figures.p50_ms),
            words::time(figures.p99_ms),
        ]
        .map(|text| (text, Tone::Plain))
    };
    table.row(row("new", &observed.new));
    table.row(row("old", &observed.old));
    table
}

fn tone(state: &RolloutState) -> Tone {
    match state {
        RolloutState::Done => Tone::Good,
        RolloutState::Canary | RolloutState::Ramping | RolloutState::Waiting => Tone::Doubtful,
        RolloutState::Reverted | RolloutState::Aborted => Tone::Bad,
        RolloutState::Superseded | RolloutState::Other(_) => Tone::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn rollout(changes: Value) -> Rollout {
        let mut json = json!({
            "id": "r1", "component": "voicemail", "base": null, "strategy": "canary", "gate": true,
            "digest": "sha256:2222222222222222222222222222222222222222222222222222222222222222",
            "canary_percent": 5, "step_ms": 60000, "state": "waiting", "reason": null, "step": 1,
            "steps": [
                { "name": "canary", "region": "eu", "zone": "eu-a", "percent": 5 },
                { "name": "eu-a", "region": "eu", "zone": "eu-a", "percent": 100 },
                { "name": "us-a", "region": "us", "zone": "us-a", "percent": 100 },
            ],
            "created_at": "2026-01-01T00:00:00Z", "created_in": "eu", "step_since": "2026-01-01T00:01:00Z",
            "approved": 0,
            "observed": { "new": { "requests": 50, "errors": 2, "p50_ms": 3, "p99_ms": 1500 },
                "old": { "requests": 950, "errors": 0, "p50_ms": 2.5, "p99_ms": 120 } },
        });
        for (name, value) in changes.as_object().unwrap() {
            json[name] = value.clone();
        }
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_rollout_tells_its_steps_and_how_both_versions_do() {
        let expected = "\
Rollout r1 of voicemail: waiting
  Version   222222222222, instead of each host's own
  Strategy  canary of 5%, steps of 1m or more, each after an approval
  Created   2026-01-01T00:00:00Z in eu

Steps
     STEP    WHERE    TRAFFIC
  ✓  canary  eu/eu-a       5%  approved
  ▶  eu-a    eu/eu-a     100%  since 2026-01-01T00:01:00Z
  ·  us-a    us/us-a     100%

Observed
       REQUESTS  ERRORS    P50    P99
  new        50    4.0%    3ms   1.5s
  old       950    0.0%  2.5ms  120ms

It goes on after `starling rollout approve r1`.
";
        let shown = rollout(json!({})).show(Colours::Off);
        assert_eq!(shown, expected, "\n{shown}");
    }

    #[test]
    fn a_rollout_that_has_ended_tells_why_and_where() {
        let changes =
            json!({ "state": "reverted", "reason": "errors", "gate": false, "observed": null });
        let reverted = rollout(changes);
        let shown = reverted.show(Colours::On);
        assert!(
            shown.contains("\x1b[31mreverted\x1b[0m\n  Reason    errors\n"),
            "{shown}"
        );
        assert!(shown.contains("\x1b[31m✗\x1b[0m  eu-a"), "{shown}");
        assert_eq!(line(&reverted), "r1 is reverted: errors");
        let done = rollout(json!({ "state": "done", "step": 2 }));
        let shown = done.show(Colours::Off);
        assert_eq!(shown.matches('✓').count(), 3, "{shown}");
        assert_eq!(line(&done), "r1 is done");
        assert_eq!(
            line(&rollout(json!({}))),
            "r1 is waiting, at step 2/3: eu-a 100%"
        );
    }

    #[test]
    fn rollouts_are_a_table() {
        let rollouts = Rollouts {
            rollouts: vec![rollout(json!({ "state": "paused", "reason": "later" }))],
        };
        assert_eq!(
            rollouts.show(Colours::Off),
            "ROLLOUT  COMPONENT  DIGEST        STRATEGY  STATE   STEP  CREATED               IN  REASON\n\
             r1       voicemail  222222222222  canary    paused  2/3   2026-01-01T00:00:00Z  eu  later\n"
        );
    }
}
