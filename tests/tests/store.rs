//! The key-value interfaces as components see them, through the real host and the real store.

use futures::future::join_all;
use http::Method;
use serde_json::json;
use starling_tests::app::App;
use starling_tests::client::Call;
use starling_tests::host::Host;

async fn host() -> (App, Host) {
    let app = App::guest_with("key_value_stores = [\"default\", \"other\"]");
    let host = app.launch().start().await;
    (app, host)
}

/// The two interfaces, by the path of the tests' component that uses them.
const INTERFACES: [&str; 2] = ["kv", "bucket"];

#[tokio::test]
async fn value_that_was_set_is_read_until_it_is_deleted() {
    let (_app, host) = host().await;
    for by in INTERFACES {
        let path = format!("/{by}/default/a%2Fkey%20{by}");
        Call::get(&path).send(&host).await.expect(404);
        Call::head(&path).send(&host).await.expect(404);
        let value: Vec<u8> = (0..=255).collect();
        Call::put(&path)
            .body(value.clone())
            .send(&host)
            .await
            .expect(200);
        assert_eq!(Call::get(&path).send(&host).await.expect(200).body, value);
        Call::head(&path).send(&host).await.expect(200);
        Call::put(&path).body("").send(&host).await.expect(200);
        assert!(
            Call::get(&path)
                .send(&host)
                .await
                .expect(200)
                .body
                .is_empty(),
            "an empty value is a value"
        );
        Call::delete(&path).send(&host).await.expect(200);
        Call::get(&path).send(&host).await.expect(404);
        Call::delete(&path).send(&host).await.expect(200);
    }
}

#[tokio::test]
async fn both_interfaces_see_the_same_store() {
    let (_app, host) = host().await;
    Call::put("/kv/default/a")
        .body("one")
        .send(&host)
        .await
        .expect(200);
    assert_eq!(
        Call::get("/bucket/default/a").send(&host).await.text(),
        "one"
    );
    Call::put("/bucket/default/a")
        .body("two")
        .send(&host)
        .await
        .expect(200);
    assert_eq!(Call::get("/kv/default/a").send(&host).await.text(), "two");
}

#[tokio::test]
async fn labels_are_stores_of_their_own() {
    let (_app, host) = host().await;
    Call::put("/kv/default/a")
        .body("here")
        .send(&host)
        .await
        .expect(200);
    Call::get("/kv/other/a").send(&host).await.expect(404);
    assert_eq!(Call::get("/keys/other").send(&host).await.json(), json!([]));
}

#[tokio::test]
async fn store_that_the_manifest_does_not_name_cannot_be_opened() {
    let (_app, host) = host().await;
    for by in INTERFACES {
        let answer = Call::get(format!("/{by}/secret/a")).send(&host).await;
        let told = answer.text();
        assert!(
            matches!(told.trim(), "access-denied" | "no-such-store"),
            "{by}: {} {told}",
            answer.status
        );
    }
}

#[tokio::test]
async fn acknowledged_values_survive_a_kill() {
    let (_app, host) = host().await;
    let key = |n: usize| format!("/kv/default/key-{n}");
    let puts = (0..64).map(|n| Call::put(key(n)).body(format!("value {n}")).send(&host));
    for answer in join_all(puts).await {
        answer.expect(200);
    }
    Call::delete(key(7)).send(&host).await.expect(200);
    Call::post("/append/default/list")
        .body("line")
        .send(&host)
        .await
        .expect(200);
    Call::post("/increment/default/sum?by=41")
        .send(&host)
        .await
        .expect(200);

    let host = host.kill().await.start().await;
    for n in (0..64).filter(|n| *n != 7) {
        assert_eq!(
            Call::get(key(n)).send(&host).await.text(),
            format!("value {n}")
        );
    }
    Call::get(key(7)).send(&host).await.expect(404);
    assert_eq!(
        Call::get("/kv/default/list").send(&host).await.text(),
        "line\n"
    );
    assert_eq!(
        Call::post("/increment/default/sum?by=1")
            .send(&host)
            .await
            .text(),
        "42"
    );
}

#[tokio::test]
async fn lost_swap_keeps_first_value() {
    let (_app, host) = host().await;
    // The first time the key is missing, the second time it is there: a creation is guarded like a change.
    for when in ["missing", "present"] {
        let outcome = Call::post("/lost-swap/default/a")
            .send(&host)
            .await
            .expect(200)
            .json();
        let expected =
            json!({ "first": "swapped", "second": "lost", "fresh": "first", "stored": "first" });
        assert_eq!(outcome, expected, "{when}");
    }
}

#[tokio::test]
async fn racing_swaps_lose_no_line() {
    const LINES: usize = 50;
    let (_app, host) = host().await;
    let appends = (0..LINES).map(|n| {
        Call::post("/append/default/list")
            .body(format!("line {n}"))
            .send(&host)
    });
    for answer in join_all(appends).await {
        answer.expect(200);
    }
    let list = Call::get("/kv/default/list").send(&host).await.text();
    let mut lines: Vec<&str> = list.lines().collect();
    lines.sort_unstable();
    let mut expected: Vec<String> = (0..LINES).map(|n| format!("line {n}")).collect();
    expected.sort();
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn racing_increments_add_up() {
    let (_app, host) = host().await;
    let increments =
        (1..=40).map(|by| Call::post(format!("/increment/default/sum?by={by}")).send(&host));
    for answer in join_all(increments).await {
        answer.expect(200);
    }
    assert_eq!(
        Call::post("/increment/default/sum?by=-20")
            .send(&host)
            .await
            .text(),
        "800"
    );
}

#[tokio::test]
async fn batch_sets_gets_and_deletes() {
    let (_app, host) = host().await;
    let set = Call::put("/batch/default").body("a=1\nb=2\nc=3\n");
    set.send(&host).await.expect(200);
    let get = async || {
        Call::get("/batch/default?keys=a,b,missing,c")
            .send(&host)
            .await
            .expect(200)
            .json()
    };
    assert_eq!(
        get().await,
        json!({ "a": "1", "b": "2", "missing": null, "c": "3" })
    );
    Call::delete("/batch/default?keys=a,missing,c")
        .send(&host)
        .await
        .expect(200);
    assert_eq!(
        get().await,
        json!({ "a": null, "b": "2", "missing": null, "c": null })
    );
}

#[tokio::test]
async fn every_key_is_listed_once_whatever_the_page() {
    const KEYS: usize = 250;
    let (_app, host) = host().await;
    let pairs: Vec<String> = (0..KEYS).map(|n| format!("key-{n:04}=x")).collect();
    Call::put("/batch/default")
        .body(pairs.join("\n"))
        .send(&host)
        .await
        .expect(200);
    let expected: Vec<String> = (0..KEYS).map(|n| format!("key-{n:04}")).collect();

    let mut all: Vec<String> =
        serde_json::from_slice(&Call::get("/keys/default").send(&host).await.body).unwrap();
    all.sort();
    assert_eq!(all, expected);

    let (mut paged, mut cursor) = (Vec::new(), None);
    for _ in 0..=KEYS {
        let path = cursor.map_or_else(
            || "/page/default".to_owned(),
            |cursor: String| format!("/page/default?cursor={cursor}"),
        );
        let page = Call::get(path).send(&host).await.expect(200).json();
        paged.extend(
            page["keys"]
                .as_array()
                .unwrap()
                .iter()
                .map(|key| key.as_str().unwrap().to_owned()),
        );
        cursor = page["cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    paged.sort();
    assert_eq!(paged, expected);
}

#[tokio::test]
async fn key_and_value_past_the_limit_are_refused_and_change_nothing() {
    let (_app, host) = host().await;
    Call::put("/kv/default/a")
        .body("small")
        .send(&host)
        .await
        .expect(200);
    let refused = Call::put("/kv/default/a")
        .body(vec![7; 12 * 1024 * 1024])
        .send(&host)
        .await
        .expect(500);
    assert!(refused.text().contains("other"), "{}", refused.text());
    assert_eq!(Call::get("/kv/default/a").send(&host).await.text(), "small");
    let long = format!("/kv/default/{}", "k".repeat(8000));
    for method in [Method::PUT, Method::GET] {
        Call::new(method, &long).send(&host).await.expect(500);
    }
}

#[tokio::test]
async fn memory_store_forgets_and_embedded_store_beside_it_does_not() {
    let app = App::guest_with("key_value_stores = [\"default\", \"other\"]");
    let config = "[key_value_store.other]\ntype = \"memory\"\n[key_value_store.default]\ntype = \"embedded\"\n";
    let host = app.launch_with(config).start().await;
    for label in ["default", "other"] {
        Call::put(format!("/kv/{label}/a"))
            .body("kept?")
            .send(&host)
            .await
            .expect(200);
    }
    let host = host.stop().await.start().await;
    assert_eq!(Call::get("/kv/default/a").send(&host).await.text(), "kept?");
    Call::get("/kv/other/a").send(&host).await.expect(404);
}
