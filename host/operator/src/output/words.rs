//! Figures in words.

/// A time in milliseconds: `0.3ms`, `12ms`, `1.5s`, `4m`, `3h`, `2d`. None: `-`.
pub(super) fn time(ms: Option<f64>) -> String {
    const SECOND: f64 = 1000.0;
    const MINUTE: f64 = 60.0 * SECOND;
    const HOUR: f64 = 60.0 * MINUTE;
    const DAY: f64 = 24.0 * HOUR;
    match ms {
        None => "-".to_owned(),
        Some(ms) if ms < 10.0 => format!("{}ms", (ms * 10.0).round() / 10.0),
        Some(ms) if ms < SECOND => format!("{ms:.0}ms"),
        Some(ms) if ms < MINUTE => format!("{}s", (ms / SECOND * 10.0).round() / 10.0),
        Some(ms) if ms < HOUR => format!("{:.0}m", (ms / MINUTE).floor()),
        Some(ms) if ms < 2.0 * DAY => format!("{:.0}h", (ms / HOUR).floor()),
        Some(ms) => format!("{:.0}d", (ms / DAY).floor()),
    }
}

/// A number of milliseconds, as [`time`].
pub(super) fn whole_time(ms: u64) -> String {
    time(Some(ms as f64))
}

/// A share of requests, of 0 to 100 %: `0.4%`. None, if there were no requests: `-`.
pub(super) fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    let percent = part as f64 * 100.0 / whole as f64;
    // What is not nothing is not shown as nothing.
    if part > 0 && percent < 0.1 {
        return "<0.1%".to_owned();
    }
    format!("{percent:.1}%")
}

/// A size in bytes: `812 B`, `4.2 MiB`.
pub(super) fn size(bytes: usize) -> String {
    const KIB: f64 = 1024.0;
    let bytes_shown = bytes as f64;
    if bytes_shown < KIB {
        format!("{bytes} B")
    } else if bytes_shown < KIB * KIB {
        format!("{:.1} KiB", bytes_shown / KIB)
    } else {
        format!("{:.1} MiB", bytes_shown / KIB / KIB)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_unit_that_is_read_most_easily() {
        let check = |ms: f64, expected: &str| assert_eq!(time(Some(ms)), expected, "{ms}");
        check(0.0, "0ms");
        check(0.26, "0.3ms");
        check(5.0, "5ms");
        check(123.4, "123ms");
        check(999.0, "999ms");
        check(1_500.0, "1.5s");
        check(60_000.0, "1m");
        check(3_599_000.0, "59m");
        check(3_600_000.0, "1h");
        check(90_000_000.0, "25h");
        check(200_000_000.0, "2d");
        assert_eq!(time(None), "-");
    }

    #[test]
    fn few_errors_are_not_none() {
        let check = |part, whole, expected| assert_eq!(share(part, whole), expected);
        check(0, 0, "-");
        check(0, 10, "0.0%");
        check(1, 100_000, "<0.1%");
        check(1, 8, "12.5%");
        check(3, 3, "100.0%");
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(size(812), "812 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(4_404_019), "4.2 MiB");
    }
}
