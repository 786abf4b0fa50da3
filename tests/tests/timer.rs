//! The timer of a component: calls that nobody asks for, one after another, and away from everybody's sight.

use rustix::process::Signal;
use serde_json::Value;
use starling_tests::app::{App, guest_manifest};
use starling_tests::client::Call;
use starling_tests::host::{Host, PATIENCE};
use starling_tests::wire::Wire;

/// The tests' component at `route`, called under `path` every `interval_ms`.
fn timed(route: &str, path: &str, interval_ms: u64) -> String {
    format!(
        "{}\nkey_value_stores = [\"default\"]\n[component.guest.tool.starling]\n\
         timer = {{ path = {path:?}, interval_ms = {interval_ms} }}\n",
        guest_manifest(route)
    )
}

/// Waits until `key` has a value that will do, and returns it.
async fn value(host: &Host, key: &str, will_do: impl Fn(&str) -> bool) -> String {
    let path = format!("/kv/default/{key}");
    let poll = async {
        loop {
            let answer = Call::get(&path).send(host).await;
            if answer.status == 200 && will_do(&answer.text()) {
                return answer.text();
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, poll)
        .await
        .unwrap_or_else(|_| panic!("{key} never has such a value"))
}

fn count(text: &str) -> u64 {
    text.parse().expect("the tests' component counts")
}

#[tokio::test]
async fn call_is_a_post_that_needs_no_route() {
    let app = App::new(&timed("/kv/...", "/note/default/call", 100));
    let host = app.launch().start().await;
    let first = value(&host, "call", |_| true).await;
    let call: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(call["method"], "POST");
    assert_eq!(call["uri"], "http://localhost/note/default/call");
    assert_eq!(call["body_bytes"], 0);
    let headers = call["headers"].as_array().unwrap();
    let names: Vec<&str> = headers
        .iter()
        .filter_map(|header| header[0].as_str())
        .collect();
    assert!(names.contains(&"traceparent"), "{call}");
    assert!(
        names
            .iter()
            .all(|name| ["traceparent", "host"].contains(name)),
        "nothing else is told: {call}"
    );
    // And another one comes, of another trace.
    value(&host, "call", |next| next != first).await;
    Call::post("/note/default/call")
        .send(&host)
        .await
        .problem(404);
}

#[tokio::test]
async fn calls_follow_one_another_and_never_overlap() {
    // Each takes longer than the interval.
    let app = App::new(&timed("/...", "/shift/default?ms=250", 100));
    let host = app.launch().start().await;
    value(&host, "done", |done| count(done) >= 4).await;
    Call::get("/kv/default/twice").send(&host).await.expect(404);
}

#[tokio::test]
async fn call_has_an_instance_even_if_clients_keep_all_others_busy() {
    let app = App::new(&timed("/...", "/print?text=tick", 100));
    let host = app
        .launch_with(
            "[limits]\ninstances_max = 1\nqueue_timeout_ms = 1\nrequest_timeout_ms = 600000\n",
        )
        .arg("--event-loops=1")
        .start()
        .await;
    let busy = async || Call::get("/hello").send(&host).await.status == 503;
    let ticks = || host.stderr().matches("stdout: tick").count();
    let mut wire = Wire::open(host.address()).await;
    wire.send("GET /sleep?ms=3600000 HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    while !busy().await {
        tokio::task::yield_now().await;
    }
    let before = ticks();
    while ticks() < before + 3 {
        assert!(busy().await, "clients have no instance left");
    }
    assert!(!host.stderr().contains("calls fail"), "{}", host.stderr());
}

#[tokio::test]
async fn failures_are_logged_when_they_begin_and_end() {
    let app = App::new(&timed("/...", "/gate/default/open", 100));
    let host = app.launch().arg("--log-format=json").start().await;
    host.logged("the timer's calls fail").await;
    Call::put("/kv/default/open").send(&host).await.expect(200);
    host.logged("the timer's calls succeed again").await;
    let log = host.stderr();
    let lines: Vec<Value> = log
        .lines()
        .filter(|line| line.contains("the timer's calls"))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let [begin, end] = &lines[..] else {
        panic!("one line each: {log}")
    };
    for line in [begin, end] {
        assert_eq!(line["starling.component.name"], "guest", "{line}");
    }
    assert_eq!(begin["http.response.status_code"], 503, "{begin}");
    assert_eq!(
        begin["trace_id"].as_str().map(str::len),
        Some(32),
        "{begin}"
    );
}

#[tokio::test]
async fn component_that_fails_on_time_serves_its_clients() {
    let app = App::new(&timed("/...", "/panic", 100));
    let host = app.launch().arg("--log-format=json").start().await;
    host.logged("component-failed").await;
    assert_eq!(Call::get("/hello").send(&host).await.text(), "hello\n");
}

#[tokio::test]
async fn call_in_flight_is_finished_before_the_host_goes_and_none_follows() {
    let app = App::new(&timed("/...", "/shift/default?ms=1000", 100));
    let mut host = app.launch().start().await;
    value(&host, "at-work", |_| true).await;
    host.signal(Signal::TERM);
    assert_eq!(host.exited().await.code(), Some(0));

    // The same store, without a timer.
    app.write(
        "spin.toml",
        format!(
            "{}\nkey_value_stores = [\"default\"]\n",
            guest_manifest("/...")
        ),
    );
    let host = app.launch().start().await;
    let begun = value(&host, "begun", |_| true).await;
    let done = value(&host, "done", |_| true).await;
    assert_eq!(begun, done);
}

#[tokio::test]
async fn call_that_does_not_end_cannot_hold_the_host_for_ever() {
    let app = App::new(&timed("/...", "/shift/default?ms=3600000", 100));
    let limits = "[limits]\nrequest_timeout_ms = 600000\ndrain_timeout_ms = 500\n";
    let mut host = app.launch_with(limits).start().await;
    value(&host, "at-work", |_| true).await;
    host.signal(Signal::TERM);
    assert_eq!(host.exited().await.code(), Some(0));
    host.logged("a timer's call was cut off").await;
}

#[tokio::test]
async fn timer_that_cannot_be_is_refused_by_name() {
    for (path, interval_ms, culprit) in [
        ("maintenance", 1_000, "`maintenance`"),
        ("/main tenance", 1_000, "`/main tenance`"),
        ("/maintenance", 99, "99"),
        ("/maintenance", 3_600_001, "3600001"),
    ] {
        let app = App::new(&timed("/...", path, interval_ms));
        app.launch().refused().await.names(&["guest", culprit]);
    }
    let misspelt = timed("/...", "/maintenance", 1_000).replace("interval_ms", "interval");
    let app = App::new(&misspelt);
    app.launch().refused().await.names(&["interval"]);
}
