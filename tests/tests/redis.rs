//! The voicemail application on a Redis server that two hosts share.

use serde_json::json;
use starling_test_servers::RedisServer;
use starling_tests::app::App;
use starling_tests::audio::long_speech;
use starling_tests::client::Call;
use starling_tests::deployment::until;
use starling_tests::mailbox::{Mailbox, created_id};

#[tokio::test]
async fn hosts_share_a_redis_server_and_lose_nothing_when_it_is_killed() {
    let redis = RedisServer::start().await;
    let config = format!(
        "[key_value_store.default]\ntype = \"redis\"\naddress = \"{}\"\n",
        redis.address()
    );
    let apps = [App::voicemail(), App::voicemail()];
    let one = apps[0].launch_with(&config).start().await;
    let other = apps[1].launch_with(&config).start().await;
    let mailbox = Mailbox::create(&one, "anna").await;
    let first = mailbox.leave(&one, long_speech()).await;
    mailbox.patch(&other, &first, json!({"saved": true})).await;
    assert_eq!(mailbox.fetch(&other, &first).await, long_speech());

    redis.kill();
    let deposit = mailbox.deposit_once(long_speech(), "while-it-is-down");
    let answer = until(&other, &deposit, |answer| answer.status == 202).await;
    let second = answer.json()["id"].as_str().expect("an id").to_owned();
    redis.restart().await;
    for host in [&one, &other] {
        let saved = Call::get(mailbox.message(&first));
        until(host, &saved, |answer| {
            answer.status == 200 && answer.json()["saved"] == true
        })
        .await;
        let audio = Call::get(mailbox.audio(&second));
        let answer = until(host, &audio, |answer| answer.status == 200).await;
        assert_eq!(answer.body, long_speech());
    }
    let again = until(&one, &deposit, |answer| answer.status.is_success()).await;
    assert_eq!(created_id(&again), second);
}
