//! The same requests to hosts that hold more and more, in turns: what slows the machine down meanwhile slows all of them.

use std::time::Instant;

use starling_tests::app::App;
use starling_tests::client::{Answer, Call, Connection};
use starling_tests::flat::median;
use starling_tests::host::Host;
use starling_tests::random::Random;
use starling_tests::usage::{self, mib};

use crate::fill::{self, Contents};
use crate::report::{Curve, Unit, progress};

/// How often a host is started, to tell how long that takes; the median counts.
const STARTS: usize = 5;

/// A host that serves what was put into its store.
pub(crate) struct Place {
    /// How large it is, in what the subject counts.
    pub(crate) size: u64,
    pub(crate) contents: Contents,
    start_ms: f64,
    idle_bytes: u64,
    host: Host,
    connection: Connection,
    _app: App,
}

/// A kind of request.
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    /// What success is.
    pub(crate) status: u16,
    /// The request of a round.
    pub(crate) call: fn(&Place, u64, &mut Random) -> Call,
}

impl Place {
    /// Fills a store and starts a host on it.
    pub(crate) async fn open(size: u64, contents: Contents) -> Self {
        let app = App::voicemail();
        let launch = app.launch();
        let begun = Instant::now();
        fill::fill(launch.state(), contents).await;
        progress(&format!("filling a store: {:.1?}", begun.elapsed()));
        let mut starts = Vec::new();
        let (host, idle_bytes) = loop {
            let begun = Instant::now();
            let host = launch.start().await;
            let summary = Call::get(format!("{}/summary", fill::path(contents.mailboxes - 1)));
            let summary = summary.send(&host).await.expect(200).json();
            starts.push(begun.elapsed().as_secs_f64() * 1e3);
            assert_eq!(summary["messages"], contents.messages, "{summary}");
            if starts.len() == STARTS {
                let idle_bytes = host.resident_bytes();
                break (host, idle_bytes);
            }
            host.stop().await;
        };
        Self {
            size,
            contents,
            start_ms: median(&starts),
            idle_bytes,
            connection: Connection::open(host.address())
                .await
                .expect("the host accepts"),
            host,
            _app: app,
        }
    }

    async fn send(&mut self, call: Call) -> Answer {
        let what = call.to_string();
        if self.connection.is_closed() {
            let again = Connection::open(self.host.address()).await;
            self.connection = again.expect("the host accepts");
        }
        let answer = self.connection.send(call).await;
        answer.unwrap_or_else(|lost| panic!("{what}: {lost:?}"))
    }
}

/// Sends every operation to every place, `rounds` times, and tells the median time of each; and what the hosts take before
/// and after.
pub(crate) async fn measure(
    places: &mut [Place],
    operations: &[Operation],
    rounds: u64,
) -> Vec<Curve> {
    let mut random = Random::new(1);
    let mut curves = Vec::new();
    for operation in operations {
        progress(operation.name);
        let mut times = vec![Vec::new(); places.len()];
        for round in 0..rounds {
            for (place, times) in places.iter_mut().zip(&mut times) {
                let call = (operation.call)(place, round, &mut random);
                let begun = Instant::now();
                place.send(call).await.expect(operation.status);
                times.push(begun.elapsed().as_secs_f64() * 1e3);
            }
        }
        let mut curve = Curve::new(operation.name, Unit::Milliseconds);
        for (place, times) in places.iter().zip(&times) {
            curve.points.push((place.size as f64, median(times)));
        }
        curves.push(curve);
    }
    let mut of_hosts = |name, unit, figure: fn(&Place) -> f64| {
        let mut curve = Curve::new(name, unit);
        let points = places.iter();
        let points = points.map(|place| (place.size as f64, figure(place)));
        curve.points.extend(points);
        curves.push(curve);
    };
    let start = "start to the first answer";
    of_hosts(start, Unit::Milliseconds, |place| place.start_ms);
    of_hosts("RSS, idle", Unit::Mib, |place| mib(place.idle_bytes));
    let after = "RSS after the requests";
    of_hosts(after, Unit::Mib, |place| mib(place.host.resident_bytes()));
    of_hosts("disk", Unit::Mib, |place| {
        mib(usage::disk_bytes(&place.host.state().join("stores")))
    });
    curves
}
