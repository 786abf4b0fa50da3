//! Traces (W3C Trace Context): a client's goes on through the host to the component, and every request has one.

use serde_json::Value;
use starling_tests::app::App;
use starling_tests::client::Call;
use starling_tests::host::Host;

/// The example of the specification.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn traceparent() -> String {
    format!("00-{TRACE}-{PARENT}-01")
}

/// Trace id, parent id and flags that the component gets.
async fn passed_on(host: &Host, call: Call) -> [String; 3] {
    let echo = call.send(host).await.expect(200).json();
    let headers = echo["headers"].as_array().unwrap().iter();
    let values: Vec<&str> = headers
        .filter(|header| header[0] == "traceparent")
        .map(|header| header[1].as_str().unwrap())
        .collect();
    let [value] = values[..] else {
        panic!("one traceparent: {echo}")
    };
    let fields: Vec<&str> = value.split('-').collect();
    let ["00", trace, parent, flags] = fields[..] else {
        panic!("{value}")
    };
    let is_id = |text: &str, digits| {
        text.len() == digits && text.bytes().all(|c| c.is_ascii_hexdigit()) && text != "0"
    };
    assert!(is_id(trace, 32) && is_id(parent, 16), "{value}");
    [trace, parent, flags].map(str::to_owned)
}

#[tokio::test]
async fn trace_of_a_client_goes_on_with_a_parent_of_each_request_its_own() {
    let app = App::guest();
    let host = app.launch().start().await;
    let mut parents = vec![PARENT.to_owned()];
    for _ in 0..3 {
        let call = Call::get("/echo").header("traceparent", traceparent());
        let [trace, parent, flags] = passed_on(&host, call).await;
        assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "01"));
        assert!(!parents.contains(&parent), "{parent} again");
        parents.push(parent);
    }
}

#[tokio::test]
async fn request_without_a_valid_trace_begins_one() {
    let app = App::guest();
    let host = app.launch().start().await;
    let mut traces = vec![TRACE.to_owned()];
    for given in [
        "",
        "00-1-2-3",
        &traceparent().to_uppercase(),
        &traceparent().replace("00-", "01-"),
        &traceparent().replace(TRACE, &"0".repeat(32)),
        &traceparent().replace(PARENT, &"0".repeat(16)),
    ] {
        let call = match given {
            "" => Call::get("/echo"),
            given => Call::get("/echo").header("traceparent", given),
        };
        let [trace, _, flags] = passed_on(&host, call).await;
        assert!(!traces.contains(&trace), "{given}: {trace} again");
        assert_eq!(flags, "00", "{given}");
        traces.push(trace);
    }
}

#[tokio::test]
async fn problem_and_log_name_the_same_trace() {
    let app = App::guest();
    let host = app.launch().arg("--log-format=json").start().await;
    let problem = Call::get("/panic")
        .header("traceparent", traceparent())
        .send(&host)
        .await
        .problem(500);
    assert_eq!(problem["instance"], format!("urn:starling:trace:{TRACE}"));
    host.logged("a request failed").await;
    let log = host.stderr();
    let line = log
        .lines()
        .find(|line| line.contains("a request failed"))
        .unwrap();
    let line: Value = serde_json::from_str(line).expect("each line is JSON");
    assert_eq!(line["trace_id"], TRACE, "{line}");
    assert_eq!(line["span_id"].as_str().map(str::len), Some(16), "{line}");

    // Without a client's trace the host's own is named.
    let problem = Call::get("/panic").send(&host).await.problem(500);
    let instance = problem["instance"].as_str().unwrap();
    let trace = instance.strip_prefix("urn:starling:trace:").unwrap();
    assert_ne!(trace, TRACE);
    host.logged(trace).await;
}
