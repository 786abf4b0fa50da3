//! How a region stands, in one line: from what this program knows of its processes, and from what `starling regions` says
//! of its stores.

/// What `starling regions` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    /// What is wrong with the region's own store, if anything is.
    trouble: Option<String>,
    /// Each other region, and how the copy of it here stands.
    origins: Vec<(String, Standing)>,
    /// What waits in the spool.
    spool: Option<String>,
}

/// How the copy of another region stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// All of it is here.
    Complete,
    /// So many changes are not.
    Behind(u64),
    /// Anything else, as it is called.
    Other(String),
}

impl View {
    /// Reads the table for people. A line that is not understood is left out.
    pub(super) fn parse(text: &str) -> Self {
        let mut view = Self::default();
        for line in text.lines() {
            if line.starts_with("store ") {
                let said = line.split_once(": ").map_or("", |(_, said)| said);
                view.trouble = (said != "in order").then(|| said.to_owned());
            } else if let Some(said) = line.strip_prefix("spool: ") {
                view.spool = Some(said.to_owned());
            } else if let Some(origin) = origin(line) {
                view.origins.push(origin);
            }
        }
        view
    }
}

/// Reads `  us  complete  10  0  …`: two spaces, then a name, a state of one or two words, and numbers.
fn origin(line: &str) -> Option<(String, Standing)> {
    let line = line.strip_prefix("  ")?;
    if line.starts_with(' ') {
        return None;
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    let numbers = words
        .iter()
        .skip(1)
        .position(|word| word.parse::<u64>().is_ok())?
        + 1;
    let pending = words.get(numbers + 1)?.parse().ok()?;
    let standing = match words[1..numbers].join(" ").as_str() {
        "complete" => Standing::Complete,
        "behind" => Standing::Behind(pending),
        other => Standing::Other(other.to_owned()),
    };
    Some((words[0].to_owned(), standing))
}

/// What is known of a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) hosts_up: usize,
    pub(super) hosts: usize,
    pub(super) nats_up: bool,
    /// What a host of it says, if one does.
    pub(super) view: Option<View>,
}

impl Summary {
    /// The line, painted where `colours`.
    pub(super) fn line(&self, colours: bool) -> String {
        if self.hosts_up == 0 && !self.nats_up {
            return paint(Mark::Bad, "down", colours);
        }
        let hosts = format!("{} of {} hosts up", self.hosts_up, self.hosts);
        let mark = if self.hosts_up == self.hosts {
            Mark::Good
        } else {
            Mark::Bad
        };
        let nats = match self.nats_up {
            true => paint(Mark::Good, "NATS up", colours),
            false => paint(Mark::Bad, "NATS down", colours),
        };
        let mut parts = vec![paint(mark, &hosts, colours), nats];
        match &self.view {
            Some(view) => parts.extend(view.parts(colours)),
            None => parts.push(paint(Mark::Fair, "no word from its hosts", colours)),
        }
        parts.join(", ")
    }
}

impl View {
    fn parts(&self, colours: bool) -> Vec<String> {
        let mut parts = Vec::new();
        if let Some(trouble) = &self.trouble {
            parts.push(paint(Mark::Bad, &format!("store: {trouble}"), colours));
        }
        for (region, standing) in &self.origins {
            let (mark, said) = match standing {
                Standing::Complete => (Mark::Good, "complete".to_owned()),
                Standing::Behind(changes) => (Mark::Fair, format!("behind by {changes}")),
                Standing::Other(said) => (Mark::Bad, said.clone()),
            };
            parts.push(format!("{region} {}", paint(mark, &said, colours)));
        }
        if let Some(spool) = &self.spool {
            parts.push(paint(Mark::Fair, &format!("spool: {spool}"), colours));
        }
        parts
    }
}

/// How something is shown on a terminal.
#[derive(Clone, Copy)]
enum Mark {
    Good,
    Fair,
    Bad,
}

fn paint(mark: Mark, text: &str, colours: bool) -> String {
    let code = match mark {
        Mark::Good => 32,
        Mark::Fair => 33,
        Mark::Bad => 31,
    };
    match colours {
        true => format!("\x1b[{code}m{text}\x1b[0m"),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
store default in region eu: in order
  origin           state             applied    pending       lag  conflicts regressions
  ap               complete               10          0     0.2 s          1           0
  sa               behind                 10          4     1.5 s          1           0
  us               unreachable            10          0     9.0 s          1           0
  za               went back              10          0     0.0 s          1           1
    it ends at 5, and its replica at 10
spool: 2 waiting, 900 bytes
";

    #[test]
    fn a_region_is_one_line() {
        let check = |hosts_up, nats_up, view: Option<&str>, expected: &str| {
            let summary = Summary {
                hosts_up,
                hosts: 2,
                nats_up,
                view: view.map(View::parse),
            };
            assert_eq!(summary.line(false), expected);
        };
        check(
            2,
            true,
            Some(TABLE),
            "2 of 2 hosts up, NATS up, ap complete, sa behind by 4, us unreachable, za went back, \
             spool: 2 waiting, 900 bytes",
        );
        check(
            1,
            false,
            Some("store default in region eu: its NATS does not answer\n"),
            "1 of 2 hosts up, NATS down, store: its NATS does not answer",
        );
        check(
            2,
            true,
            None,
            "2 of 2 hosts up, NATS up, no word from its hosts",
        );
        check(0, false, None, "down");
    }

    #[test]
    fn colours_are_for_terminals() {
        let summary = Summary {
            hosts_up: 0,
            hosts: 2,
            nats_up: false,
            view: None,
        };
        assert_eq!(summary.line(true), "\x1b[31mdown\x1b[0m");
    }
}
