//! More and more components in one application: the tests' own, under as many names.

use std::fmt::Write as _;
use std::time::Instant;

use starling_tests::app::App;
use starling_tests::client::{Call, Connection};
use starling_tests::flat::median;
use starling_tests::paths;
use starling_tests::usage::mib;

use crate::report::{Curve, Subject, Unit, progress};

const STARTS: usize = 7;
const HELLOS: usize = 2_000;

pub(crate) async fn measure(quick: bool) -> Subject {
    let (sizes, hellos): (&[usize], usize) = if quick {
        (&[1, 10, 50], 200)
    } else {
        (&[1, 2, 5, 10, 20, 50], HELLOS)
    };
    let mut start = Curve::new("start to the first answer", Unit::Milliseconds);
    let mut in_turn = Curve::new("an answer of each in turn", Unit::Milliseconds);
    let mut of_one = Curve::new("an answer of one of them", Unit::Milliseconds);
    let mut idle = Curve::new("RSS, idle", Unit::Mib);
    let mut used = Curve::new("RSS after an answer of each", Unit::Mib);
    let mut of_each = Curve::new("RSS of one more component", Unit::Kib);
    for &components in sizes {
        progress(&format!("{components} components"));
        let app = App::new(&manifest(components));
        let launch = app.launch();
        // The first start compiles.
        launch.start().await.stop().await;
        let mut starts = Vec::new();
        let host = loop {
            let begun = Instant::now();
            let host = launch.start().await;
            answer_of(0).send(&host).await.expect(404);
            starts.push(begun.elapsed().as_secs_f64() * 1e3);
            if starts.len() == STARTS {
                break host;
            }
            host.stop().await;
        };
        let size = components as f64;
        start.points.push((size, median(&starts)));
        idle.points.push((size, mib(host.resident_bytes())));
        let mut connection = Connection::open(host.address())
            .await
            .expect("the host accepts");
        let turns = (0..components).cycle().take(hellos);
        in_turn
            .points
            .push((size, time(&mut connection, turns).await));
        let same = std::iter::repeat_n(0, hellos);
        of_one
            .points
            .push((size, time(&mut connection, same).await));
        used.points.push((size, mib(host.resident_bytes())));
        if let [(_, first), .., (_, now)] = idle.points.as_slice() {
            of_each
                .points
                .push((size, (now - first) * 1024.0 / (size - 1.0)));
        }
    }
    Subject {
        name: "components",
        title: "Components in one application",
        of: "components",
        curves: vec![start, in_turn, of_one, idle, used, of_each],
    }
}

/// The median time of an answer of each of these components, in milliseconds.
async fn time(connection: &mut Connection, components: impl Iterator<Item = usize>) -> f64 {
    let mut times = Vec::new();
    for component in components {
        let begun = Instant::now();
        let answer = connection.send(answer_of(component)).await;
        answer.expect("an answer").expect(404);
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    median(&times)
}

/// A request to one component. The tests' component knows `/hello` alone and says so: an answer as short, and as cheap.
fn answer_of(component: usize) -> Call {
    Call::get(format!("/{component}/hello"))
}

/// An application of so many components, each under the path of its number.
fn manifest(components: usize) -> String {
    let wasm = paths::component("test_guest.wasm");
    let mut manifest = "spin_manifest_version = 2\n\
                        [application]\nname = \"growth\"\nversion = \"0.1.0\"\n"
        .to_owned();
    for number in 0..components {
        write!(
            manifest,
            "[[trigger.http]]\nroute = \"/{number}/...\"\ncomponent = \"guest-n{number}\"\n\
             [component.guest-n{number}]\nsource = {:?}\nkey_value_stores = [\"default\"]\n",
            wasm.display().to_string()
        )
        .expect("a text takes any length");
    }
    manifest
}
