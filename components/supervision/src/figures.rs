//! What was seen of one version of a component in a window of time.

use serde::{Deserialize, Serialize};

/// Counts of one version. Those of several hosts can be added.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Figures {
    /// Requests that ended.
    pub requests: u64,
    /// Those of them that the component failed.
    pub errors: u64,
    /// How many requests took how long, in the host's buckets: the same bounds on all hosts of a release; the last one
    /// counts what is above all bounds.
    pub latency: Vec<u64>,
    /// The mean size of the memory of its instances after a request, in bytes.
    pub memory_bytes_mean: u64,
}

impl Figures {
    /// Adds what was seen elsewhere in the same time.
    ///
    /// Counts of latency in another number of buckets cannot be added: those with more buckets stay, which are a newer
    /// release's.
    pub fn add(&mut self, other: &Self) {
        let total = self.requests.saturating_add(other.requests);
        let weighed =
            |figures: &Self| u128::from(figures.memory_bytes_mean) * u128::from(figures.requests);
        let mean = (weighed(self) + weighed(other)).checked_div(u128::from(total));
        self.memory_bytes_mean = mean.map_or(0, |mean| u64::try_from(mean).unwrap_or(u64::MAX));
        self.requests = total;
        self.errors = self.errors.saturating_add(other.errors);
        if self.latency.len() == other.latency.len() {
            for (mine, theirs) in self.latency.iter_mut().zip(&other.latency) {
                *mine = mine.saturating_add(*theirs);
            }
        } else if self.latency.len() < other.latency.len() {
            self.latency.clone_from(&other.latency);
        }
    }

    /// The part of the requests that failed, from 0 to 1; 0 if there were none.
    pub fn error_ratio(&self) -> f64 {
        match self.requests {
            0 => 0.0,
            requests => self.errors as f64 / requests as f64,
        }
    }

    /// The time within which `per_cent` of the requests ended, in milliseconds; `None` if there were none.
    ///
    /// `bounds_us` are the upper bounds of the buckets but the last. Within a bucket requests are taken to be spread
    /// evenly, as Prometheus' `histogram_quantile` does; above all bounds, the last bound is the answer.
    pub fn percentile_ms(&self, per_cent: u8, bounds_us: &[u64]) -> Option<f64> {
        let bucket = self.percentile_bucket(per_cent)?;
        let below: u64 = self.latency[..bucket].iter().sum();
        let wanted = self.counted() as f64 * f64::from(per_cent) / 100.0;
        let Some(upper) = bounds_us.get(bucket) else {
            return bounds_us.last().map(|last| *last as f64 / 1000.0);
        };
        let lower = bucket.checked_sub(1).map_or(0, |before| bounds_us[before]);
        let part = (wanted - below as f64) / self.latency[bucket] as f64;
        Some((lower as f64 + (*upper as f64 - lower as f64) * part) / 1000.0)
    }

    /// The bucket that the request at `per_cent` of all, by time, is in; `None` if there were none.
    pub(crate) fn percentile_bucket(&self, per_cent: u8) -> Option<usize> {
        let wanted = (u128::from(self.counted()) * u128::from(per_cent))
            .div_ceil(100)
            .max(1);
        let mut seen = 0;
        self.latency.iter().position(|count| {
            seen += u128::from(*count);
            seen >= wanted
        })
    }

    /// How many requests took longer than the requests of `bucket`.
    pub(crate) fn slower_than(&self, bucket: usize) -> u64 {
        self.latency
            .iter()
            .skip(bucket + 1)
            .fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// How many requests the buckets count. It may differ a little from `requests`: a host reads them one by one.
    pub(crate) fn counted(&self) -> u64 {
        self.latency
            .iter()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }
}
