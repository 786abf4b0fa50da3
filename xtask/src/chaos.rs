//! `cargo xtask chaos`: the end-to-end test of convergence, for as long as one likes, with a seed that repeats it.

use std::num::NonZeroU32;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::build;
use crate::servers;
use crate::step::{self, Failure};
use crate::test;
use crate::workspace::Workspace;

/// The test.
const TEST: &str = "chaos::acknowledged_is_everywhere_after_servers_hosts_and_links_have_failed";

/// What the test is told by.
const SECONDS: &str = "STARLING_CHAOS_SECONDS";
const SEED: &str = "STARLING_SEED";

const MINUTES_DEFAULT: NonZeroU32 = NonZeroU32::new(5).unwrap();

/// How long, and which schedule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    minutes: NonZeroU32,
    /// From the time of day where it is not said.
    seed: Option<u64>,
}

impl Options {
    /// Reads the arguments after `chaos`.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] for an option that does not exist or a value that is no number.
    pub(crate) fn parse(args: &[String]) -> Result<Self, Failure> {
        let mut options = Self {
            minutes: MINUTES_DEFAULT,
            seed: None,
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let value = || args.next().map(String::as_str).unwrap_or_default();
            match arg.as_str() {
                "--minutes" => options.minutes = number(arg, value)?,
                "--seed" => options.seed = Some(number(arg, value)?),
                unknown => {
                    return Err(Failure::Usage(format!(
                        "`chaos` takes no argument `{unknown}`; it takes --minutes N and --seed N"
                    )));
                }
            }
        }
        Ok(options)
    }
}

fn number<'v, N: std::str::FromStr>(
    option: &str,
    value: impl FnOnce() -> &'v str,
) -> Result<N, Failure> {
    let text = value();
    text.parse().map_err(|_| {
        Failure::Usage(format!(
            "`{option}` wants a whole number that fits, and not `{text}`"
        ))
    })
}

/// Builds, and runs the test.
///
/// # Errors
///
/// The first step that failed.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let workspace = Workspace::find()?;
    test::install_tools()?;
    let servers = servers::provide(&workspace)?;
    build::build(&workspace, &build::Options::default())?;
    let seed = options.seed.unwrap_or_else(seed_of_now);
    let minutes = options.minutes;
    let again = format!("cargo xtask chaos --minutes {minutes} --seed {seed}");
    step::announce(&format!("To repeat this: {again}"));
    let mut cargo = workspace.cargo();
    cargo
        .args(["test", "--release", "-p", test::END_TO_END, "--"])
        .args(["--exact", "--nocapture", TEST])
        .envs(servers)
        .env(SECONDS, (u64::from(minutes.get()) * 60).to_string())
        .env(SEED, seed.to_string());
    step::run("Breaking things", &mut cargo)?;
    step::done(&format!("nothing was lost in {minutes} min; {again}"));
    Ok(())
}

fn seed_of_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = now.map_or(0, |since| since.as_millis());
    u64::try_from(millis).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options, String> {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        Options::parse(&words).map_err(|failure| match failure {
            Failure::Usage(message) => message,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn five_minutes_of_any_seed_unless_told_otherwise() {
        let check = |text, minutes, seed| {
            let options = parse(text).unwrap();
            assert_eq!(
                (options.minutes.get(), options.seed),
                (minutes, seed),
                "{text}"
            );
        };
        check("", 5, None);
        check("--minutes 600", 600, None);
        check("--seed 18446744073709551615 --minutes 1", 1, Some(u64::MAX));
    }

    #[test]
    fn what_is_no_number_is_refused_by_name() {
        for (text, said) in [
            ("--minutes 0", "`--minutes`"),
            ("--minutes", "`--minutes`"),
            ("--seed -1", "`-1`"),
            ("--hours 1", "`--hours`"),
        ] {
            let message = parse(text).unwrap_err();
            assert!(message.contains(said), "{text}: {message}");
        }
    }
}
