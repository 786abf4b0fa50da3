//! What `starling` prints for people: addresses, routes, and failures. Pure.

use std::error::Error;
use std::ffi::OsStr;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use starling_server::Routes;

/// The path of the mailbox that [`first_mailbox`] makes.
pub(crate) const FIRST_MAILBOX: &str = "/v1/mailboxes/+15551230001";

/// The address and the routes, as `spin up` prints them.
pub(crate) fn serving<T>(address: SocketAddr, routes: &Routes<T>) -> String {
    let mut text = format!("\nServing http://{address}\nAvailable Routes:\n");
    for route in routes.iter() {
        let _ = writeln!(
            text,
            "  {}: http://{address}{}",
            route.component, route.pattern
        );
    }
    text
}

/// How to make a first mailbox, ready to be pasted into a shell. It names the command that makes the token, `program`
/// being this one as it was started, and never a token.
///
/// Nothing, if a name cannot be written down.
pub(crate) fn first_mailbox(
    address: SocketAddr,
    program: &OsStr,
    state_dir: &Path,
) -> Option<String> {
    let address = reachable(address);
    let program = shlex::try_quote(program.to_str()?).ok()?;
    let state_dir = shlex::try_quote(state_dir.to_str()?).ok()?;
    Some(format!(
        "\nMake a mailbox:\n  curl -X PUT http://{address}{FIRST_MAILBOX} \
         -H \"Authorization: Bearer $({program} token --state-dir {state_dir} --scope provision)\"\n"
    ))
}

/// Where what listens at `address` is reached from this machine.
pub(crate) fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        let loopback: IpAddr = match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        address.set_ip(loopback);
    }
    address
}

/// A failure with its causes, each on its line, none said twice.
pub(crate) fn failure(error: &anyhow::Error) -> String {
    let mut text = format!("error: {error}\n");
    let mut said = error.to_string();
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(next) = cause {
        let words = next.to_string();
        if !said.contains(&words) {
            let _ = writeln!(text, "  because {}", words.replace('\n', "\n  "));
            said = words;
        }
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use starling_server::Route;

    #[test]
    fn routes_are_printed_as_spin_prints_them() {
        let route = |pattern: &str, component: &str| Route {
            pattern: pattern.parse().unwrap(),
            component: component.to_owned(),
            spin_headers: true,
            priorities: std::sync::Arc::default(),
            target: (),
        };
        let routes = Routes::new(vec![route("/v1/...", "voicemail"), route("/", "home")]).unwrap();
        let expected = "\nServing http://127.0.0.1:3000\nAvailable Routes:\n  \
            voicemail: http://127.0.0.1:3000/v1 (wildcard)\n  home: http://127.0.0.1:3000/\n";
        assert_eq!(serving(([127, 0, 0, 1], 3000).into(), &routes), expected);
    }

    fn check_first_mailbox(address: &str, words: [&str; 2], expected: &str) {
        let address = address.parse().unwrap();
        let line = first_mailbox(address, words[0].as_ref(), words[1].as_ref()).unwrap();
        let (_, line) = line.split_once(":\n").unwrap();
        assert_eq!(line, format!("  {expected}\n"));
    }

    #[test]
    fn a_first_mailbox_is_made_by_pasting_a_line() {
        check_first_mailbox(
            "127.0.0.1:3000",
            ["starling", ".starling"],
            "curl -X PUT http://127.0.0.1:3000/v1/mailboxes/+15551230001 \
             -H \"Authorization: Bearer $(starling token --state-dir .starling --scope provision)\"",
        );
        check_first_mailbox(
            "0.0.0.0:80",
            ["target/release/starling", "it's here"],
            "curl -X PUT http://127.0.0.1:80/v1/mailboxes/+15551230001 \
             -H \"Authorization: Bearer $(target/release/starling token --state-dir \"it's here\" \
             --scope provision)\"",
        );
        check_first_mailbox(
            "[::]:80",
            ["starling", "/var/lib/a b"],
            "curl -X PUT http://[::1]:80/v1/mailboxes/+15551230001 \
             -H \"Authorization: Bearer $(starling token --state-dir '/var/lib/a b' \
             --scope provision)\"",
        );
    }

    #[test]
    fn a_failure_lists_each_cause_once() {
        let error = anyhow::anyhow!("disk full")
            .context("cannot write a: disk full")
            .context("cannot start");
        let expected = "error: cannot start\n  because cannot write a: disk full\n";
        assert_eq!(failure(&error), expected);
    }
}
