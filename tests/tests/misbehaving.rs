//! A component that panics, loops for ever or eats memory is stopped; whoever else is served does not notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use starling_tests::app::{App, guest_manifest};
use starling_tests::client::{Answer, Call, Connection};
use starling_tests::host::Host;
use starling_tests::paths;
use starling_tests::wire::Wire;

const LIMITS: &str =
    "[limits]\nrequest_timeout_ms = 3000\ncpu_burst_ms_max = 1000\nmemory_bytes_max = 33554432\n";

/// Two components of one file: `guest` under /..., `neighbour` under /neighbour/....
fn neighbours() -> App {
    let (manifest, component) = (guest_manifest("/..."), paths::component("test_guest.wasm"));
    App::new(&format!(
        "{manifest}\n[[trigger.http]]\nroute = \"/neighbour/...\"\ncomponent = \"neighbour\"\n\
         [component.neighbour]\nsource = {:?}\n",
        component.display().to_string()
    ))
}

/// Sends `call` several times while neighbours, of the same component and of another, are asked without a pause, and
/// returns the answers. Neighbours must not fail once.
async fn with_neighbours(host: &Host, call: &Call) -> Vec<Answer> {
    let (address, over) = (host.address(), Arc::new(AtomicBool::new(false)));
    // The tests' component knows no /neighbour/hello; that it says so is its own answer all the same.
    let neighbours: Vec<_> = [("/hello", 200), ("/neighbour/hello", 404)]
        .into_iter()
        .map(|(path, status)| {
            let over = Arc::clone(&over);
            tokio::spawn(async move {
                let mut connection = Connection::open(address).await.unwrap();
                let mut answers = 0;
                while !over.load(Ordering::Relaxed) || answers < 20 {
                    let answer = connection
                        .send(Call::get(path))
                        .await
                        .expect("a neighbour is served");
                    assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
                    assert!(
                        !answer.header("content-type").contains("problem"),
                        "{}",
                        answer.text()
                    );
                    answers += 1;
                }
            })
        })
        .collect();
    let calls = (0..4).map(|_| call.clone().send(host));
    let answers = futures::future::join_all(calls).await;
    over.store(true, Ordering::Relaxed);
    for neighbour in neighbours {
        neighbour.await.expect("neighbours are served");
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn panic_is_an_error_of_that_request_alone() {
    let app = neighbours();
    let host = app.launch_with(LIMITS).start().await;
    for answer in with_neighbours(&host, &Call::get("/panic")).await {
        answer.problem(500);
    }
    host.logged("asked to panic").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exit_is_an_error_of_that_request_alone() {
    let app = neighbours();
    let host = app.launch_with(LIMITS).start().await;
    for answer in with_neighbours(&host, &Call::get("/exit")).await {
        answer.problem(500);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_computation_is_stopped() {
    let app = neighbours();
    let host = app.launch_with(LIMITS).start().await;
    for answer in with_neighbours(&host, &Call::get("/loop")).await {
        answer.problem(504);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_wait_is_stopped() {
    let app = neighbours();
    let host = app.launch_with(LIMITS).start().await;
    for answer in with_neighbours(&host, &Call::get("/sleep?ms=3600000")).await {
        answer.problem(504);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boundless_memory_is_refused() {
    let app = neighbours();
    let host = app.launch_with(LIMITS).start().await;
    for answer in with_neighbours(&host, &Call::get("/eat")).await {
        answer.problem(500);
    }
}

#[tokio::test]
async fn wait_within_the_limit_is_no_offence() {
    let app = App::guest();
    let host = app.launch().start().await;
    assert_eq!(
        Call::get("/sleep?ms=500")
            .send(&host)
            .await
            .expect(200)
            .text(),
        "slept 500 ms\n"
    );
}

#[tokio::test]
async fn panic_in_the_middle_of_a_body_does_not_look_like_its_end() {
    let app = App::guest();
    let host = app.launch().start().await;
    let lost = Call::get("/panic-late").try_send_to(host.address()).await;
    assert!(
        lost.is_err(),
        "a cut answer passed for a whole one: {lost:?}"
    );
    let mut wire = Wire::open(host.address()).await;
    wire.send("GET /panic-late HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    let read = wire.read_all(starling_tests::host::PATIENCE).await;
    assert!(!read.ends_with("0\r\n\r\n"), "{read}");
    assert_eq!(Call::get("/hello").send(&host).await.status, 200);
}

#[tokio::test]
async fn many_misbehaving_requests_leave_a_host_that_serves() {
    let app = App::guest();
    let host = app.launch_with(LIMITS).start().await;
    for round in 0..10 {
        let calls = ["/panic", "/exit", "/eat", "/panic", "/exit", "/panic"]
            .map(|path| Call::get(path).send(&host));
        for answer in futures::future::join_all(calls).await {
            assert!(
                answer.status.is_server_error(),
                "round {round}: {}",
                answer.status
            );
        }
        assert_eq!(
            Call::get("/hello").send(&host).await.status,
            200,
            "round {round}"
        );
    }
}
