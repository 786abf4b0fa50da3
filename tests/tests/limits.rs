//! What a component may use is bounded: past each limit it is stopped or refused, the limit is counted, and whoever else is
//! served does not notice.

use std::time::Duration;

use starling_tests::app::{App, guest_manifest};
use starling_tests::client::Call;
use starling_tests::host::{Host, PATIENCE};
use starling_tests::wire::Wire;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// How often a limit has been reached, by the host's metrics.
pub(crate) async fn times_reached(host: &Host, key: &str) -> u64 {
    let metrics = Call::get("/metrics").send_to(host.admin()).await.text();
    let name = format!("starling_limit_reached_total{{starling_limit_key=\"{key}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    line.unwrap_or_else(|| panic!("{key} is not in {metrics}"))
        .parse()
        .expect("a count is a number")
}

/// Waits until a limit has been reached.
pub(crate) async fn reached(host: &Host, key: &str) {
    let counted = async {
        while times_reached(host, key).await == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let counted = tokio::time::timeout(PATIENCE, counted).await;
    assert!(counted.is_ok(), "{key} is never counted\n{}", host.stderr());
}

async fn serves(host: &Host) {
    assert_eq!(Call::get("/hello").send(host).await.status, 200);
}

#[tokio::test]
async fn computing_waiting_and_memory_are_counted_by_limit() {
    let app = App::guest();
    let host = app
        .launch_with(
            "[limits]\nrequest_timeout_ms = 1000\ncpu_burst_ms_max = 300\nmemory_bytes_max = 33554432\n",
        )
        .start()
        .await;
    for (path, status, key) in [
        ("/loop", 504, "cpu_burst_ms_max"),
        ("/sleep?ms=3600000", 504, "request_timeout_ms"),
        ("/eat", 500, "memory_bytes_max"),
    ] {
        assert_eq!(times_reached(&host, key).await, 0, "{key}");
        Call::get(path).send(&host).await.problem(status);
        assert_eq!(times_reached(&host, key).await, 1, "{key}");
    }
    serves(&host).await;
}

#[tokio::test]
async fn response_without_end_is_cut_off() {
    let app = App::guest();
    let host = app
        .launch_with("[limits]\nresponse_timeout_ms = 300\n")
        .start()
        .await;
    let endless = Call::get("/unframed?bytes=1000000000000000");
    let lost = endless.try_send_to(host.address()).await;
    assert!(lost.is_err(), "it passed for a whole one");
    reached(&host, "response_timeout_ms").await;
    serves(&host).await;
}

#[tokio::test]
async fn request_without_a_free_instance_is_refused_in_time() {
    let app = App::guest();
    let host = app
        .launch_with("[limits]\ninstances_max = 1\nqueue_timeout_ms = 100\n")
        .start()
        .await;
    let slow = || Call::get("/sleep?ms=3000").send(&host);
    let (one, other) = tokio::join!(slow(), slow());
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 503]);
    assert_eq!(times_reached(&host, "instances_max").await, 1);
    assert_eq!(times_reached(&host, "queue_timeout_ms").await, 1);
}

#[tokio::test]
async fn body_past_its_size_is_counted_whether_announced_or_not() {
    let app = App::guest();
    let host = app
        .launch_with("[limits]\nrequest_body_bytes_max = 1000\n")
        .start()
        .await;
    let post = |framing: &str| format!("POST /length HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n");
    let mut wire = Wire::open(host.address()).await;
    wire.send(post("content-length: 1001")).await;
    assert_eq!(wire.status().await, Some(413));
    assert_eq!(times_reached(&host, "request_body_bytes_max").await, 1);
    let mut wire = Wire::open(host.address()).await;
    wire.send(post("transfer-encoding: chunked")).await;
    wire.send(format!("3e9\r\n{}\r\n0\r\n\r\n", "x".repeat(1001)))
        .await;
    wire.status().await;
    reached(&host, "request_body_bytes_max").await;
    assert_eq!(times_reached(&host, "request_body_bytes_max").await, 2);
    let whole = Call::post("/length").body("x".repeat(1000));
    assert_eq!(whole.send(&host).await.text(), "1000");
}

// === What an instance holds ===

#[tokio::test]
async fn handles_without_end_are_refused() {
    let app = App::guest();
    let host = app
        .launch_with("[limits]\nhandles_max = 200\n")
        .start()
        .await;
    Call::get("/hold/default").send(&host).await.problem(500);
    assert_eq!(times_reached(&host, "handles_max").await, 1);
    serves(&host).await;
}

/// A component that lets a table grow until that is refused, and then fails.
const GROWS_A_TABLE: &str = r#"
(component
  (import "wasi:http/types@0.2.0" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $outparam))
  (core module $grows
    (table 1 funcref)
    (func (export "handle") (param i32 i32)
      loop
        ref.null func
        i32.const 1000
        table.grow 0
        i32.const -1
        i32.ne
        br_if 0
      end
      unreachable))
  (core instance $grown (instantiate $grows))
  (func $handle (param "request" (own $request)) (param "response-out" (own $outparam))
    (canon lift (core func $grown "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))
"#;

#[tokio::test]
async fn table_without_end_is_refused() {
    let bytes = wat::parse_str(GROWS_A_TABLE).expect("it is a component");
    let app = App::new("");
    let source = app.write("grows.wasm", bytes);
    app.write(
        "spin.toml",
        format!(
            "{}\n[[trigger.http]]\nroute = \"/grow\"\ncomponent = \"grows\"\n\
             [component.grows]\nsource = {:?}\n",
            guest_manifest("/..."),
            source.display().to_string()
        ),
    );
    let host = app
        .launch_with("[limits]\ntable_entries_max = 20000\n")
        .start()
        .await;
    Call::get("/grow").send(&host).await.problem(500);
    assert_eq!(times_reached(&host, "table_entries_max").await, 1);
    serves(&host).await;
}

// === Stores ===

#[tokio::test]
async fn each_request_has_so_many_store_operations() {
    let app = App::guest();
    let host = app
        .launch_with("[limits]\nstore_operations_max = 3\n")
        .start()
        .await;
    let batch = |keys: &str| Call::get(format!("/batch/default?keys={keys}")).send(&host);
    for times in 1..=3 {
        // On an instance that has done as many before.
        batch("a,b,c").await.expect(200);
        let refused = batch("a,b,c,d").await.expect(500).text();
        assert!(refused.contains("as many store operations"), "{refused}");
        assert_eq!(times_reached(&host, "store_operations_max").await, times);
    }
    Call::put("/kv/default/a")
        .body("1")
        .send(&host)
        .await
        .expect(200);
}

#[tokio::test]
async fn each_request_moves_so_many_bytes_from_and_to_stores() {
    let app = App::guest();
    let host = app
        .launch_with("[limits]\nstore_bytes_max = 1000\n")
        .start()
        .await;
    for interface in ["kv", "bucket"] {
        let path = format!("/{interface}/default/key");
        let put = |bytes| Call::put(&path).body("x".repeat(bytes)).send(&host);
        put(900).await.expect(200);
        let refused = put(1000).await.expect(500).text();
        assert!(refused.contains("as many bytes"), "{refused}");
        let kept = Call::get(&path).send(&host).await.expect(200);
        assert_eq!(kept.body.len(), 900, "the refused write had no effect");
    }
    assert_eq!(times_reached(&host, "store_bytes_max").await, 2);
}

#[tokio::test]
async fn what_a_timer_does_to_stores_is_not_bounded() {
    let app = App::guest_with(
        "key_value_stores = [\"default\"]\n\
         [component.guest.tool.starling]\n\
         timer = { path = \"/shift/default?ms=0\", interval_ms = 100 }\n",
    );
    let host = app
        .launch_with("[limits]\nstore_operations_max = 1\n")
        .start()
        .await;
    let done = async {
        while Call::get("/kv/default/done").send(&host).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let done = tokio::time::timeout(PATIENCE, done).await;
    assert!(
        done.is_ok(),
        "the timer's call is refused\n{}",
        host.stderr()
    );
    assert_eq!(times_reached(&host, "store_operations_max").await, 0);
    Call::post("/shift/default?ms=0")
        .send(&host)
        .await
        .expect(500);
    assert_eq!(times_reached(&host, "store_operations_max").await, 1);
}

// === Other servers ===

/// Accepts a request, whatever it is.
async fn asked(server: &TcpListener) -> TcpStream {
    let (mut stream, _) = server.accept().await.expect("a connection comes");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head comes"));
    }
    stream
}

async fn answer(mut stream: TcpStream) {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nback";
    stream.write_all(answer).await.expect("it is read");
}

#[tokio::test]
async fn component_has_so_many_requests_under_way() {
    let app = App::guest_with("allowed_outbound_hosts = [\"http://127.0.0.1:*\"]");
    let host = app
        .launch_with("[limits]\noutbound_requests_max = 1\n")
        .start()
        .await;
    let server = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = server.local_addr().expect("it has an address");
    let fetch = || Call::get(format!("/fetch?url=http://{address}/")).send(&host);
    for times in 1..=2 {
        let meanwhile = async {
            let stream = asked(&server).await;
            let refused = fetch().await.expect(502).text();
            assert!(refused.contains("ConnectionLimitReached"), "{refused}");
            assert_eq!(times_reached(&host, "outbound_requests_max").await, times);
            answer(stream).await;
        };
        let (first, ()) = tokio::join!(fetch(), meanwhile);
        assert_eq!(first.expect(200).text(), "back");
    }
}
