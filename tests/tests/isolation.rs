//! How far requests are kept apart, by configuration: what an instance keeps, and who shares its fate.

use std::time::Duration;

use starling_tests::app::App;
use starling_tests::client::{Answer, Call};
use starling_tests::host::Host;

async fn host(app: &App, isolation: &str) -> Host {
    app.launch_with(&format!("[limits]\nisolation = {isolation:?}\n"))
        .arg("--event-loops")
        .arg("1")
        .start()
        .await
}

/// The number of the request in its instance.
async fn count(host: &Host) -> u32 {
    let answer = Call::get("/count").send(host).await.expect(200);
    answer.text().parse().expect("a number")
}

/// How many instances of the component the host has.
async fn instances(host: &Host) -> u32 {
    let metrics = Call::get("/metrics").send_to(host.admin()).await.text();
    let name = "starling_component_instances{starling_component_name=\"guest\"";
    let mut lines = metrics.lines();
    let line = lines.find(|line| line.starts_with(name));
    let number = line.and_then(|line| line.rsplit(' ').next()?.strip_suffix(".0"));
    let number = number.unwrap_or_else(|| panic!("{name} is not in {metrics}"));
    number.parse().expect("a number")
}

/// A request that waits in its instance until its key is written, and what `meanwhile` gave while it waited.
async fn while_waiting<T>(host: &Host, meanwhile: impl AsyncFnOnce() -> T) -> (Answer, T) {
    let waiting = tokio::spawn({
        let address = host.address();
        async move { Call::get("/shift/default?ms=2000").send_to(address).await }
    });
    while Call::get("/kv/default/begun").send(host).await.status != 200 {}
    let meanwhile = meanwhile().await;
    (waiting.await.expect("it is answered"), meanwhile)
}

#[tokio::test]
async fn an_instance_for_each_request_keeps_nothing() {
    let app = App::guest();
    let host = host(&app, "request").await;
    for _ in 0..5 {
        assert_eq!(count(&host).await, 1);
    }
}

#[tokio::test]
async fn the_instance_for_the_next_request_is_made_before_it_comes() {
    let app = App::guest();
    let host = host(&app, "request").await;
    for _ in 0..3 {
        assert_eq!(count(&host).await, 1);
        let made = async { while instances(&host).await != 1 {} };
        let made = tokio::time::timeout(Duration::from_secs(10), made).await;
        made.expect("an instance is ready");
    }
}

#[tokio::test]
async fn an_instance_serves_one_request_after_another() {
    let app = App::guest();
    let host = host(&app, "instance").await;
    let counts = [count(&host).await, count(&host).await, count(&host).await];
    assert_eq!(counts, [1, 2, 3]);
}

#[tokio::test]
async fn a_request_that_waits_has_its_instance_to_itself() {
    let app = App::guest();
    for isolation in ["request", "instance"] {
        let host = host(&app, isolation).await;
        Call::delete("/kv/default/begun").send(&host).await;
        let (waited, panicked) =
            while_waiting(&host, async || Call::get("/panic").send(&host).await).await;
        panicked.problem(500);
        waited.expect_success();
        host.stop().await;
    }
}

#[tokio::test]
async fn requests_that_share_an_instance_share_its_fate() {
    let app = App::guest();
    let host = host(&app, "shared").await;
    let (waited, served) = while_waiting(&host, async || {
        let served = count(&host).await;
        Call::get("/panic").send(&host).await.problem(500);
        served
    })
    .await;
    // The one that waits came before it, and those that looked whether it had begun.
    assert!(served > 2, "{served}");
    waited.problem(500);
    // The next one finds a new instance.
    assert_eq!(count(&host).await, 1);
}

#[tokio::test]
async fn an_instance_that_is_shared_takes_no_more_than_it_may() {
    let app = App::guest();
    let host = app
        .launch_with("[limits]\nisolation = \"shared\"\ninstance_concurrency_max = 1\n")
        .arg("--event-loops")
        .arg("1")
        .start()
        .await;
    let (waited, panicked) =
        while_waiting(&host, async || Call::get("/panic").send(&host).await).await;
    panicked.problem(500);
    waited.expect_success();
}

#[tokio::test]
async fn a_shared_instance_that_hangs_is_given_up_by_the_request_that_hung() {
    let app = App::guest();
    let host = app
        .launch_with("[limits]\nisolation = \"shared\"\nrequest_timeout_ms = 300\n")
        .arg("--event-loops")
        .arg("1")
        .start()
        .await;
    assert_eq!(count(&host).await, 1);
    Call::get("/sleep?ms=60000").send(&host).await.problem(504);
    assert_eq!(count(&host).await, 1);
}
