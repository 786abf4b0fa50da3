//! When one request at a time is taken, to measure a baseline under load.

use std::time::{Duration, Instant};

use crate::Config;

/// How many samples of the kind that is measured end a probe.
const SAMPLES: u32 = 8;
/// How long until the next probe if the baseline is not reliable yet.
const RETRY: Duration = Duration::from_secs(1);

/// At most one probe runs; the next one waits.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    running: Option<Running>,
    not_before: Option<Instant>,
}

#[derive(Debug)]
struct Running {
    kind: usize,
    until: Instant,
    samples: u32,
}

impl Probe {
    /// Whether one runs, now that it is `now`.
    pub(crate) fn is_running(&mut self, now: Instant) -> bool {
        self.running.take_if(|probe| now >= probe.until);
        self.running.is_some()
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
        let until = now + config.probe_duration_max;
        let pause = if young {
            RETRY
        } else {
            config.baseline_age_max
        };
        self.not_before = Some(until + pause);
        self.running = Some(Running {
            kind,
            until,
            samples: 0,
        });
        true
    }

    /// Takes note that a baseline was measured.
    pub(crate) fn measured(&mut self, kind: usize) {
        if let Some(probe) = &mut self.running
            && probe.kind == kind
        {
            probe.samples += 1;
        }
        self.running.take_if(|probe| probe.samples >= SAMPLES);
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
            probe.measured(3);
            probe.measured(4);
            assert!(probe.is_running(now));
        }
        probe.measured(3);
        assert!(!probe.is_running(now));

        let mut probe = Probe::default();
        assert!(probe.start(3, false, now, &config));
        assert!(!probe.is_running(now + config.probe_duration_max));
    }

    #[test]
    fn the_next_one_waits_unless_there_is_no_baseline_yet() {
        let (config, now) = (Config::default(), Instant::now());
        let second = now + Duration::from_secs(2);
        for (young, starts) in [(true, true), (false, false)] {
            let mut probe = Probe::default();
            assert!(probe.start(0, young, now, &config));
            assert!(!probe.start(1, young, now, &config));
            assert!(!probe.is_running(second));
            assert_eq!(probe.start(1, young, second, &config), starts);
        }
    }
}
