//! When one request at a time is taken, to measure a baseline under load.

use std::time::{Duration, Instant};

use crate::Config;

/// How many samples of the kind that is measured end a probe.
const SAMPLES: u32 = 8;
/// How long until the next probe if the baseline is not reliable yet.
const RETRY: Duration = Duration::from_secs(1);

/// How long a probe waits for what was admitted before it.
const DRAIN_MAX: Duration = Duration::from_secs(1);

/// At most one probe runs; the next one waits.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    running: Option<Running>,
    not_before: Option<Instant>,
}

#[derive(Debug)]
struct Running {
    kind: usize,
    /// How long until the next one.
    pause: Duration,
    until: Instant,
    /// How long it takes once what was admitted before it has been answered; none if it has.
    duration: Option<Duration>,
    samples: u32,
}

impl Probe {
    /// Whether one runs, now that it is `now` and there is something to answer or not.
    pub(crate) fn is_running(&mut self, now: Instant, empty: bool) -> bool {
        let Some(probe) = &mut self.running else {
            return false;
        };
        if empty && let Some(duration) = probe.duration.take() {
            probe.until = now + duration;
        }
        if now < probe.until {
            return true;
        }
        self.end(now);
        false
    }

    /// Whether the one that runs, if one does, measures this kind.
    pub(crate) fn is_of(&self, kind: usize) -> bool {
        self.running
            .as_ref()
            .is_some_and(|probe| probe.kind == kind)
    }

    /// Starts one for the kind, unless one runs or ran lately. Tells whether it did.
    pub(crate) fn start(
        &mut self,
        kind: usize,
        young: bool,
        now: Instant,
        config: &Config,
    ) -> bool {
        if self.running.is_some() || self.not_before.is_some_and(|at| now < at) {
            return false;
        }
        self.running = Some(Running {
            kind,
            pause: if young {
                RETRY
            } else {
                config.baseline_age_max
            },
            until: now + DRAIN_MAX,
            duration: Some(config.probe_duration_max),
            samples: 0,
        });
        true
    }

    /// Takes note that a baseline was measured.
    pub(crate) fn measured(&mut self, kind: usize, now: Instant) {
        if let Some(probe) = &mut self.running
            && probe.kind == kind
        {
            probe.samples += 1;
            if probe.samples >= SAMPLES {
                self.end(now);
            }
        }
    }

    fn end(&mut self, now: Instant) {
        if let Some(probe) = self.running.take() {
            self.not_before = Some(now + probe.pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_after_its_samples_or_its_time() {
        let (config, now) = (Config::default(), Instant::now());
        let mut probe = Probe::default();
        assert!(probe.start(3, false, now, &config));
        for _ in 1..SAMPLES {
            probe.measured(3, now);
            probe.measured(4, now);
            assert!(probe.is_running(now, false));
        }
        probe.measured(3, now);
        assert!(!probe.is_running(now, false));

        let mut probe = Probe::default();
        assert!(probe.start(3, false, now, &config));
        assert!(probe.is_running(now, true));
        assert!(!probe.is_running(now + config.probe_duration_max, true));
    }

    #[test]
    fn its_time_begins_when_what_came_before_it_has_been_answered() {
        let (config, now) = (Config::default(), Instant::now());
        let mut probe = Probe::default();
        assert!(probe.start(3, false, now, &config));
        let drained = now + config.probe_duration_max * 5;
        assert!(probe.is_running(drained, false));
        assert!(probe.is_running(drained, true));
        assert!(!probe.is_running(drained + config.probe_duration_max, true));

        let mut probe = Probe::default();
        assert!(probe.start(3, false, now, &config));
        assert!(!probe.is_running(now + DRAIN_MAX, false));
    }

    #[test]
    fn the_next_one_waits_unless_there_is_no_baseline_yet() {
        let (config, now) = (Config::default(), Instant::now());
        let ended = now + DRAIN_MAX;
        let second = ended + Duration::from_secs(2);
        for (young, starts) in [(true, true), (false, false)] {
            let mut probe = Probe::default();
            assert!(probe.start(0, young, now, &config));
            assert!(!probe.start(1, young, now, &config));
            assert!(!probe.is_running(ended, false));
            assert_eq!(probe.start(1, young, second, &config), starts);
        }
    }
}
