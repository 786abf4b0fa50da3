//! What a component is given by the host: requests, configuration, the network, bodies that stream.

use std::time::Duration;

use serde_json::json;
use starling_tests::app::{App, guest_manifest};
use starling_tests::client::{Call, Connection};
use starling_tests::wire::Wire;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const MIB: u64 = 1024 * 1024;

// === Requests ===

#[tokio::test]
async fn component_gets_the_request_and_the_headers_that_spin_sets() {
    let app = App::new(&guest_manifest("/..."));
    let host = app.launch().start().await;
    let call = Call::post("/echo?a=b%20c")
        .header("x-own", "one")
        .header("x-own", "two")
        .body("12345");
    let echo = call
        .header("spin-client-addr", "203.0.113.9:1")
        .send(&host)
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&echo["method"], &echo["body_bytes"]),
        (&json!("POST"), &json!(5)),
        "{echo}"
    );
    let values = |name: &str| -> Vec<String> {
        let headers = echo["headers"].as_array().unwrap().iter();
        let of_name = headers.filter(|header| header[0] == name);
        of_name
            .map(|header| header[1].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(values("x-own"), ["one", "two"]);
    assert_eq!(values("spin-full-url"), [host.url("/echo?a=b%20c")]);
    assert_eq!(values("spin-path-info"), ["/echo"]);
    assert_eq!(values("spin-matched-route"), ["/..."]);
    assert_eq!(values("spin-raw-component-route"), ["/..."]);
    assert_eq!(values("spin-component-route"), [""]);
    assert_eq!(values("spin-base-path"), ["/"]);
    let [client] = &values("spin-client-addr")[..] else {
        panic!("one client address: {echo}")
    };
    assert!(
        client.starts_with("127.0.0.1:"),
        "what the client claims is not believed: {client}"
    );
}

#[tokio::test]
async fn answers_pass_with_their_status_and_without_a_body_for_head() {
    let app = App::guest();
    let host = app.launch().start().await;
    for status in [200, 202, 299, 404, 418, 500, 503, 599] {
        let answer = Call::get(format!("/status?code={status}"))
            .send(&host)
            .await;
        assert_eq!(answer.status.as_u16(), status);
    }
    let head = Call::head("/hello").send(&host).await.expect(200);
    assert_eq!((head.body.len(), head.header("content-length")), (0, "6"));
}

#[tokio::test]
async fn one_connection_carries_many_requests() {
    let app = App::guest();
    let host = app.launch().start().await;
    let mut connection = Connection::open(host.address()).await.unwrap();
    for _ in 0..200 {
        assert_eq!(
            connection.send(Call::get("/hello")).await.unwrap().text(),
            "hello\n"
        );
    }
    let mut pipelined = Wire::open(host.address()).await;
    pipelined
        .send("GET /hello HTTP/1.1\r\nhost: a\r\n\r\n".repeat(3))
        .await;
    let answers = pipelined.read_all(Duration::from_secs(2)).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3, "{answers}");
}

#[tokio::test]
async fn http2_with_prior_knowledge_is_served() {
    let app = App::guest();
    let host = app.launch().start().await;
    assert_eq!(
        Call::get("/hello")
            .send_http2(&host)
            .await
            .expect(200)
            .text(),
        "hello\n"
    );
    let echo = Call::post("/echo")
        .body(vec![b'x'; 300_000])
        .send_http2(&host)
        .await
        .expect(200)
        .json();
    assert_eq!(echo["body_bytes"], 300_000);
}

// === Bodies ===

#[tokio::test]
async fn large_bodies_stream_both_ways() {
    let app = App::guest();
    let host = app.launch().start().await;
    let big = Call::get(format!("/big?bytes={}", 40 * MIB + 1))
        .send(&host)
        .await
        .expect(200);
    assert_eq!(big.body.len() as u64, 40 * MIB + 1);
    let length = Call::post("/length")
        .body(vec![7; 10 * MIB as usize + 3])
        .send(&host)
        .await
        .expect(200);
    assert_eq!(length.text(), (10 * MIB + 3).to_string());
}

#[tokio::test]
async fn body_of_unknown_length_is_chunked() {
    let app = App::guest();
    let host = app.launch().start().await;
    let answer = Call::get("/unframed?bytes=100000")
        .send(&host)
        .await
        .expect(200);
    assert_eq!(
        (answer.body.len(), answer.header("transfer-encoding")),
        (100_000, "chunked")
    );
}

#[tokio::test]
async fn body_that_the_component_does_not_read_is_no_obstacle() {
    let app = App::guest();
    let host = app.launch().start().await;
    let head = format!("POST /ignore HTTP/1.1\r\nhost: a\r\ncontent-length: {MIB}\r\n\r\n");
    let mut wire = Wire::open(host.address()).await;
    wire.send([head.as_bytes(), &[7; MIB as usize]].concat())
        .await;
    assert_eq!(wire.status().await, Some(200));
    assert_eq!(Call::get("/hello").send(&host).await.status, 200);
}

#[tokio::test]
async fn slow_reader_costs_no_memory() {
    let app = App::guest_with("");
    let host = app.launch().start().await;
    Call::get("/hello").send(&host).await.expect(200);
    let before = host.resident_bytes();
    let mut slow = Wire::open(host.address()).await;
    slow.send(format!(
        "GET /big?bytes={} HTTP/1.1\r\nhost: a\r\n\r\n",
        1024 * MIB
    ))
    .await;
    // More than all buffers on the way hold: had the rest been made ahead, it would be in the host's memory by now.
    assert_eq!(slow.read(32 * MIB as usize).await.len() as u64, 32 * MIB);
    let grown = host.resident_bytes().saturating_sub(before);
    assert!(grown < 100 * MIB, "{grown} bytes more");
    assert_eq!(Call::get("/hello").send(&host).await.status, 200);
}

// === Configuration ===

#[tokio::test]
async fn component_sees_its_own_environment_and_not_the_hosts() {
    let app = App::guest_with("environment = { GREETING = \"hello\", EMPTY = \"\" }");
    let host = app.launch().env("HOST_SECRET", "do not tell").start().await;
    let environment = Call::get("/env").send(&host).await.expect(200).json();
    assert_eq!(
        environment["variables"],
        json!({ "GREETING": "hello", "EMPTY": "" })
    );
}

#[tokio::test]
async fn component_knows_what_the_host_does_for_it_and_no_manifest_pretends_it() {
    let pretends = "environment = { STARLING_CONTENT_DIGEST = \"trailer\", STARLING_SEND_VALUES = \"header\" }";
    let tool = |setting| format!("[component.guest.tool.starling]\n{setting} = true");
    for (settings, told) in [
        (pretends, json!({})),
        (
            &tool("content_digest"),
            json!({ "STARLING_CONTENT_DIGEST": "trailer" }),
        ),
        (
            &tool("send_values"),
            json!({ "STARLING_SEND_VALUES": "header" }),
        ),
    ] {
        let host = App::guest_with(settings);
        let host = host.launch().start().await;
        let environment = Call::get("/env").send(&host).await.expect(200).json();
        assert_eq!(environment["variables"], told, "{settings}");
    }
}

#[tokio::test]
async fn variables_come_from_the_environment_else_from_their_default() {
    let app = App::new(&format!(
        "{}\nvariables = {{ place = \"{{{{ region }}}}\", url = \"http://{{{{ region }}}}.{{{{ domain }}}}/\", fixed = \"as it is\" }}\n\
         [variables]\nregion = {{ default = \"local\" }}\ndomain = {{ default = \"example\" }}\n",
        guest_manifest("/...")
    ));
    let host = app.launch().env("SPIN_VARIABLE_REGION", "eu").start().await;
    for by in ["variable", "config"] {
        let check = async |name: &str, expected: &str| {
            let value = Call::get(format!("/{by}?name={name}"))
                .send(&host)
                .await
                .expect(200)
                .text();
            assert_eq!(value, expected, "{name} by {by}");
        };
        check("place", "eu").await;
        check("url", "http://eu.example/").await;
        check("fixed", "as it is").await;
        // The component's own variables alone, not the application's.
        Call::get(format!("/{by}?name=region"))
            .send(&host)
            .await
            .expect(404);
    }
    let all = Call::get("/config").send(&host).await.expect(200).json();
    assert_eq!(
        all,
        json!({ "place": "eu", "url": "http://eu.example/", "fixed": "as it is" })
    );
    Call::get("/variable?name=No-Name")
        .send(&host)
        .await
        .expect(400);
}

#[tokio::test]
async fn what_a_component_prints_is_logged_with_its_name() {
    let app = App::guest();
    let host = app.launch().arg("--log-format=json").start().await;
    Call::get("/print?text=caf%C3%A9")
        .send(&host)
        .await
        .expect(200);
    for text in ["stdout: café", "stderr: café"] {
        host.logged(text).await;
        let log = host.stderr();
        let line = log.lines().find(|line| line.contains(text)).unwrap();
        let line: serde_json::Value = serde_json::from_str(line).expect("each line is JSON");
        assert!(
            line.to_string().contains("\"guest\""),
            "the component is named: {line}"
        );
    }
}

// === Reach ===

/// A server that answers one request after another with `pong`, and its address.
async fn pong() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let answer =
                    "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\npong";
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn component_reaches_the_hosts_that_its_manifest_allows_and_no_other() {
    let (allowed, other) = (pong().await, pong().await);
    let settings = format!("allowed_outbound_hosts = [\"http://{allowed}\"]");
    let app = App::guest_with(&settings);
    let host = app.launch().start().await;
    let fetch = async |url: String| {
        Call::get(format!("/fetch?url={}", url.replace(':', "%3A")))
            .send(&host)
            .await
    };
    assert_eq!(
        fetch(format!("http://{allowed}/")).await.expect(200).text(),
        "pong"
    );
    let denied = fetch(format!("http://{other}/")).await.expect(502).text();
    assert!(denied.contains("HttpRequestDenied"), "{denied}");
    fetch("http://localhost:1/".to_owned()).await.expect(502);
}

#[tokio::test]
async fn nothing_is_reachable_unless_allowed() {
    let server = pong().await;
    let app = App::guest();
    let host = app.launch().start().await;
    let url = format!("/fetch?url=http%3A//{}/", server.replace(':', "%3A"));
    let denied = Call::get(url).send(&host).await.expect(502).text();
    assert!(denied.contains("HttpRequestDenied"), "{denied}");
    let connected = Call::get(format!("/connect?address={server}"))
        .send(&host)
        .await
        .expect(200)
        .json();
    assert!(connected["error"].is_string(), "{connected}");
    for path in ["/etc/passwd", "/", ".", "spin.toml"] {
        let file = Call::get(format!("/file?path={path}"))
            .send(&host)
            .await
            .expect(200)
            .json();
        assert!(file["error"].is_string(), "{path}: {file}");
    }
}

#[tokio::test]
async fn host_to_reach_can_be_left_to_the_operator() {
    let server = pong().await;
    // Spin takes no empty entry and no list: a name that never resolves (RFC 6761) stands for none.
    let app = App::new(&format!(
        "{}\nallowed_outbound_hosts = [\"http://{{{{ webhook_host }}}}\"]\n\
         [variables]\nwebhook_host = {{ default = \"webhooks.invalid\" }}\n",
        guest_manifest("/...")
    ));
    let url = format!("/fetch?url=http%3A//{}/", server.replace(':', "%3A"));
    let host = app.launch().start().await;
    let denied = Call::get(&url).send(&host).await.expect(502).text();
    assert!(denied.contains("HttpRequestDenied"), "{denied}");

    let launch = host.stop().await.env("SPIN_VARIABLE_WEBHOOK_HOST", &server);
    let host = launch.start().await;
    assert_eq!(Call::get(&url).send(&host).await.expect(200).text(), "pong");
}

#[tokio::test]
async fn component_can_allow_every_host() {
    let server = pong().await;
    let app = App::guest_with("allowed_outbound_hosts = [\"*://*:*\"]");
    let host = app.launch().start().await;
    let url = format!("/fetch?url=http%3A//{}/", server.replace(':', "%3A"));
    assert_eq!(Call::get(url).send(&host).await.expect(200).text(), "pong");
}
