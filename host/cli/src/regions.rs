//! `starling regions`: how the regions stand to each other, as a running host sees it.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::admin::{self, OriginView, View};
use crate::args::{Output, Regions};

/// How long the host may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Prints the regions once.
pub(crate) fn run(args: &Regions) -> Result<()> {
    let address = match args.admin {
        Some(address) => address,
        None => admin::read_address(&args.state_dir).with_context(|| {
            format!(
                "no host has its admin listener written down in {}; start it, or say --state-dir or --admin",
                args.state_dir.display()
            )
        })?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let text = runtime
        .block_on(async { tokio::time::timeout(PATIENCE, fetch(address)).await })
        .map_err(anyhow::Error::from)
        .flatten()
        .with_context(|| format!("the host at {address} does not answer; is it running?"))?;
    let mut stdout = std::io::stdout();
    let said = if args.output == Output::Json {
        format!("{text}\n")
    } else {
        let view: View =
            serde_json::from_str(&text).context("the host's answer is not understood")?;
        table(&view, stdout.is_terminal())
    };
    // Nobody may be reading.
    let _ = stdout.write_all(said.as_bytes());
    Ok(())
}

async fn fetch(address: SocketAddr) -> Result<String> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = http::Request::get(admin::REGIONS)
        .header(http::header::HOST, address.to_string())
        .body(Empty::<bytes::Bytes>::new())?;
    let response = sender.send_request(request).await?;
    if response.status() != http::StatusCode::OK {
        bail!("it answers {}", response.status());
    }
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
    let body = body
        .collect()
        .await
        .map_err(|error| anyhow::anyhow!(error))?;
    connection.abort();
    Ok(String::from_utf8(body.to_bytes().into())?)
}

/// The view for people.
fn table(view: &View, colours: bool) -> String {
    let mut text = String::new();
    let region = view.region.as_deref().unwrap_or("local");
    if view.stores.is_empty() {
        let _ = writeln!(
            text,
            "region {region}: no store here has replicas in other regions"
        );
    }
    for store in &view.stores {
        let (mark, said) = match (&store.trouble, store.reachable) {
            (Some(trouble), _) => (Mark::Bad, trouble.as_str()),
            (None, false) => (Mark::Bad, "its NATS does not answer"),
            (None, true) => (Mark::Good, "in order"),
        };
        let _ = writeln!(
            text,
            "store {} in region {region}: {}",
            store.label,
            mark.paint(said, colours)
        );
        let _ = writeln!(
            text,
            "  {:<16} {:<12} {:>12} {:>10} {:>9} {:>10} {:>11}",
            "origin", "state", "applied", "pending", "lag", "conflicts", "regressions"
        );
        for origin in &store.origins {
            let (mark, state) = state(origin);
            let state = format!("{state:<12}");
            let _ = writeln!(
                text,
                "  {:<16} {} {:>12} {:>10} {:>7.1} s {:>10} {:>11}",
                origin.region,
                mark.paint(&state, colours),
                origin.applied,
                origin.pending,
                origin.lag_ms as f64 / 1e3,
                origin.conflicts,
                origin.regressions
            );
            if let Some(regression) = &origin.regression {
                let _ = writeln!(text, "    {}", Mark::Bad.paint(regression, colours));
            }
        }
    }
    for spool in view.spool.iter().filter(|spool| spool.messages > 0) {
        let said = format!(
            "spool: {} {}, {} bytes",
            spool.messages, spool.state, spool.bytes
        );
        let _ = writeln!(text, "{}", Mark::Fair.paint(&said, colours));
    }
    text
}

fn state(origin: &OriginView) -> (Mark, &'static str) {
    match (
        origin.retired,
        origin.regression.is_some(),
        origin.reachable,
        origin.pending,
    ) {
        (true, ..) => (Mark::Plain, "retired"),
        (_, true, ..) => (Mark::Bad, "went back"),
        (_, _, false, _) => (Mark::Bad, "unreachable"),
        (_, _, _, 0) => (Mark::Good, "complete"),
        _ => (Mark::Fair, "behind"),
    }
}

/// How something is shown on a terminal.
#[derive(Clone, Copy)]
enum Mark {
    Plain,
    Good,
    Fair,
    Bad,
}

impl Mark {
    fn paint(self, text: &str, colours: bool) -> String {
        let code = match self {
            Self::Plain => return text.to_owned(),
            Self::Good => 32,
            Self::Fair => 33,
            Self::Bad => 31,
        };
        if colours {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{SpoolView, StoreView};

    #[test]
    fn the_table_tells_each_origin_apart() {
        let origin = |region: &str, pending, reachable, regression: Option<&str>| OriginView {
            region: region.to_owned(),
            retired: region == "old",
            reachable,
            applied: 10,
            pending,
            lag_ms: 250,
            conflicts: 1,
            regressions: 0,
            regression: regression.map(str::to_owned),
        };
        let view = View {
            region: Some("eu".to_owned()),
            stores: vec![StoreView {
                label: "default".to_owned(),
                reachable: true,
                trouble: None,
                origins: vec![
                    origin("ap", 0, true, None),
                    origin("old", 0, false, None),
                    origin("sa", 4, true, None),
                    origin("us", 0, false, None),
                    origin("za", 0, true, Some("it ends at 5, and its replica at 10")),
                ],
            }],
            spool: vec![SpoolView {
                state: "waiting".to_owned(),
                messages: 2,
                bytes: 900,
            }],
        };
        let text = table(&view, false);
        let words: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(words[0].join(" "), "store default in region eu: in order");
        assert_eq!(
            words[2],
            ["ap", "complete", "10", "0", "0.2", "s", "1", "0"]
        );
        assert_eq!(words[3][..2], ["old", "retired"]);
        assert_eq!(words[4][..4], ["sa", "behind", "10", "4"]);
        assert_eq!(words[5][..2], ["us", "unreachable"]);
        assert_eq!(words[6][..3], ["za", "went", "back"]);
        assert_eq!(words[7].join(" "), "it ends at 5, and its replica at 10");
        assert_eq!(words[8].join(" "), "spool: 2 waiting, 900 bytes");
        assert!(!text.contains('\x1b'));
        assert!(table(&view, true).contains("\x1b[32m"));
    }
}
