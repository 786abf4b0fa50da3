//! What `starling` prints for people: addresses, routes, and failures. Pure.

use std::error::Error;
use std::fmt::Write;
use std::net::SocketAddr;

use starling_server::Routes;

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
            target: (),
        };
        let routes = Routes::new(vec![route("/v1/...", "voicemail"), route("/", "home")]).unwrap();
        let expected = "\nServing http://127.0.0.1:3000\nAvailable Routes:\n  \
            voicemail: http://127.0.0.1:3000/v1 (wildcard)\n  home: http://127.0.0.1:3000/\n";
        assert_eq!(serving(([127, 0, 0, 1], 3000).into(), &routes), expected);
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
