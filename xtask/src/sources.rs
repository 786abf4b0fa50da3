//! Where this machine's apt gets packages from: its configuration in both of apt's formats.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// The file and the folder of the configuration.
const LIST: &str = "/etc/apt/sources.list";
const PARTS: &str = "/etc/apt/sources.list.d";

/// The fields that are kept: where packages are, and how they are checked. None that would make apt check less.
const FIELDS: &[&str] = &[
    "URIs",
    "Suites",
    "Components",
    "Architectures",
    "Signed-By",
    "Check-Valid-Until",
];

/// Mirrors, what to read there, and how to check it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// Of [`FIELDS`], with values as they are written in a `.sources` file.
    fields: Vec<(&'static str, String)>,
}

impl Source {
    /// All sources of binary packages that the machine is configured with. Files that cannot be read are left out: apt
    /// leaves them out too, or complains itself.
    pub(crate) fn configured() -> Vec<Self> {
        let parts = fs::read_dir(PARTS).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> = parts.map(|entry| entry.path()).collect();
        files.sort();
        files.insert(0, PathBuf::from(LIST));
        files
            .iter()
            .flat_map(|file| {
                let text = fs::read_to_string(file).unwrap_or_default();
                match file.extension().and_then(|extension| extension.to_str()) {
                    Some("list") => Self::parse_list(&text),
                    Some("sources") => Self::parse_stanzas(&text),
                    _ => Vec::new(),
                }
            })
            .collect()
    }

    /// Reads lines such as `deb [signed-by=/a/keyring.gpg] <mirror> bookworm main`.
    fn parse_list(text: &str) -> Vec<Self> {
        let source = |line: &str| {
            let line = line.split('#').next()?.trim().strip_prefix("deb")?;
            let line = line.starts_with([' ', '\t']).then(|| line.trim())?;
            let (options, rest) = match line.strip_prefix('[') {
                Some(line) => line.split_once(']')?,
                None => ("", line),
            };
            let mut words = rest.split_whitespace();
            let (mirror, suite) = (words.next()?, words.next()?);
            let components: Vec<&str> = words.collect();
            let mut fields = vec![
                ("URIs", mirror.to_owned()),
                ("Suites", suite.to_owned()),
                ("Components", components.join(" ")),
            ];
            for option in options.split_whitespace() {
                let (name, value) = option.split_once('=')?;
                let name = match name {
                    "arch" => "Architectures",
                    "signed-by" => "Signed-By",
                    "check-valid-until" => "Check-Valid-Until",
                    _ => continue,
                };
                fields.push((name, value.replace(',', " ")));
            }
            Some(Self { fields })
        };
        text.lines().filter_map(source).collect()
    }

    /// Reads the stanzas of a `.sources` file.
    fn parse_stanzas(text: &str) -> Vec<Self> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let lines: Vec<&str> = lines.map(str::trim_end).collect();
        lines
            .split(|line| line.is_empty())
            .filter_map(|stanza| {
                let fields = fields(stanza);
                let is = |wanted: &str, value: &str| {
                    let mut named = fields.iter().filter(|(name, _)| is_name(name, wanted));
                    named.any(|(_, values)| values.split_whitespace().any(|is| is == value))
                };
                if !is("Types", "deb") || is("Enabled", "no") {
                    return None;
                }
                let known = |(name, value): &(&str, String)| {
                    let field = FIELDS.iter().find(|field| is_name(field, name))?;
                    Some((*field, value.clone()))
                };
                Some(Self {
                    fields: fields.iter().filter_map(known).collect(),
                })
            })
            .collect()
    }

    /// This source with nothing but the suites of `release`: itself, its updates, its security updates.
    pub(crate) fn of_release_and_its_updates(mut self, release: &str) -> Option<Self> {
        let (_, suites) = self.fields.iter_mut().find(|(name, _)| *name == "Suites")?;
        let wanted = |suite: &&str| {
            let rest = suite.strip_prefix(release);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        *suites = suites
            .split_whitespace()
            .filter(wanted)
            .collect::<Vec<_>>()
            .join(" ");
        (!suites.is_empty()).then_some(self)
    }

    /// Whether it has this component of this very suite.
    pub(crate) fn has(&self, suite: &str, component: &str) -> bool {
        let holds = |name, value| {
            let values = self.value(name).unwrap_or_default();
            values.split_whitespace().any(|word| word == value)
        };
        holds("Suites", suite) && holds("Components", component)
    }

    /// The main component of another release, from the same mirrors. Signed by a key of `keyring`, or else as before.
    pub(crate) fn of_release(&self, release: &str, keyring: Option<&Path>) -> Self {
        let keyring = keyring.map(|keyring| keyring.display().to_string());
        let signed_by = keyring.or_else(|| self.value("Signed-By").map(str::to_owned));
        let mut fields = vec![
            ("URIs", self.value("URIs").unwrap_or_default().to_owned()),
            ("Suites", release.to_owned()),
            ("Components", "main".to_owned()),
        ];
        fields.extend(signed_by.map(|value| ("Signed-By", value)));
        Self { fields }
    }

    fn value(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(field, _)| *field == name);
        field.map(|(_, value)| value.as_str())
    }
}

/// The fields of a stanza. A line that begins with a space goes on with the field before it.
fn fields<'s>(stanza: &[&'s str]) -> Vec<(&'s str, String)> {
    let mut fields: Vec<(&str, String)> = Vec::new();
    for line in stanza {
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name, value.trim().to_owned()));
        }
    }
    fields
}

fn is_name(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// A stanza of a `.sources` file that reads the list of packages and nothing else.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Types: deb\nTargets: Packages")?;
        for (name, value) in &self.fields {
            writeln!(f, "{name}: {value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANZAS: &str = "\
Types: deb deb-src
# A comment.
URIs: http://mirror.example/debian
suites: bookworm bookworm-updates sid
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc

Types: deb
Enabled: no
URIs: http://off.example/
Suites: bookworm
Components: main

Types: deb-src
URIs: http://source.example/
Suites: bookworm
Components: main
";

    #[test]
    fn stanzas_are_read_with_keys_and_without_what_is_off() {
        let sources = Source::parse_stanzas(STANZAS);
        assert_eq!(sources.len(), 1, "{sources:?}");
        let own = sources[0].clone();
        let own = own.of_release_and_its_updates("bookworm").unwrap();
        assert_eq!(
            own.to_string(),
            "Types: deb\nTargets: Packages\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\n\
             Components: main contrib\nSigned-By: \n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n"
        );
        assert_eq!(Source::parse_stanzas(&own.to_string()), [own]);
    }

    #[test]
    fn lines_are_read_with_the_options_that_matter() {
        let sources = Source::parse_list(
            "# deb http://off.example/ bookworm main\n\
             deb [arch=amd64 trusted=yes signed-by=/a.gpg,/b.gpg] http://mirror.example/debian bookworm main contrib # x\n\
             deb-src http://mirror.example/debian bookworm main\n\
             deb http://other.example/ stable main\n",
        );
        assert_eq!(sources.len(), 2, "{sources:?}");
        assert_eq!(
            sources[0].to_string(),
            "Types: deb\nTargets: Packages\nURIs: http://mirror.example/debian\nSuites: bookworm\n\
             Components: main contrib\nArchitectures: amd64\nSigned-By: /a.gpg /b.gpg\n"
        );
        assert!(sources[0].has("bookworm", "main"));
        assert!(!sources[0].has("bookworm", "non-free"));
        let other = sources[1].clone();
        assert_eq!(other.of_release_and_its_updates("bookworm"), None);
    }

    #[test]
    fn another_release_comes_from_the_same_mirror_and_is_checked_too() {
        let source =
            &Source::parse_list("deb [signed-by=/a.gpg] http://m.example/ bookworm main")[0];
        let check = |keyring: Option<&str>, signed_by: &str| {
            let newer = source.of_release("trixie", keyring.map(Path::new));
            assert_eq!(
                newer.to_string(),
                format!(
                    "Types: deb\nTargets: Packages\nURIs: http://m.example/\nSuites: trixie\nComponents: main\n\
                     Signed-By: {signed_by}\n"
                )
            );
        };
        check(None, "/a.gpg");
        check(Some("/all.gpg"), "/all.gpg");
    }
}
