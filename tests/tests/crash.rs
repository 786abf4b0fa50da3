//! `kill -9` at any moment: whatever was acknowledged is there afterwards, once, with its audio.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::json;
use starling_tests::app::App;
use starling_tests::audio::{self, Encoding};
use starling_tests::client::{Call, Connection, Lost};
use starling_tests::host::Host;
use starling_tests::mailbox::{Mailbox, created_id, persist};
use starling_tests::random::Random;

const WRITERS: u64 = 8;
const MAILBOXES: u64 = 3;
const ROUNDS: u32 = 5;

/// What a writer knows of its deposits, by number: the id of those that were acknowledged.
type Deposits = BTreeMap<u64, Option<String>>;

/// The mailbox that a deposit goes to.
fn mailbox_of(number: u64) -> Mailbox {
    Mailbox::named(format!("box-{}", number % MAILBOXES))
}

/// The audio of a deposit, unlike any other's. Every fifth takes two chunks of stored audio.
fn audio_of(number: u64) -> Bytes {
    let wav = if number.is_multiple_of(5) {
        audio::long_speech()
    } else {
        audio::speech(Encoding::MuLaw)
    };
    audio::tagged(wav, number).into()
}

fn deposit(number: u64) -> Call {
    mailbox_of(number).deposit_once(audio_of(number), &format!("deposit-{number}"))
}

/// Deposits again and again until nobody answers any more. The last one may or may not have had its effect.
async fn write(address: std::net::SocketAddr, next: Arc<Mutex<u64>>) -> Deposits {
    let mut deposits = Deposits::new();
    let mut connection: Option<Connection> = None;
    loop {
        let number = {
            let mut next = next.lock().unwrap();
            *next += 1;
            *next
        };
        deposits.insert(number, None);
        match persist(&mut connection, address, &deposit(number)).await {
            Ok(answer) => deposits.insert(number, Some(created_id(&answer))),
            Err(Lost::NotConnected(_)) => return deposits,
            Err(other) => panic!("{other:?}"),
        };
    }
}

/// Every deposit that was acknowledged is listed once in its mailbox, and its audio is what was sent.
async fn check(host: &Host, deposits: &Deposits) {
    for mailbox in (0..MAILBOXES).map(mailbox_of) {
        let mut ids = mailbox.ids(host, "inbox").await;
        let listed = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), listed, "something appears twice");
    }
    for (number, id) in deposits
        .iter()
        .filter_map(|(number, id)| Some((*number, id.as_ref()?)))
    {
        let mailbox = mailbox_of(number);
        let fetched = Call::get(mailbox.audio(id)).send(host).await;
        assert_eq!(
            fetched.status, 200,
            "deposit {number} was acknowledged as {id} and is gone"
        );
        assert!(
            fetched.body == audio_of(number),
            "the audio of deposit {number} differs"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_deposits_survive_kills_at_random_points_under_load() {
    let mut random = Random::from_environment();
    let app = App::voicemail();
    let mut host = app.launch().start().await;
    for number in 0..MAILBOXES {
        let mailbox = mailbox_of(number);
        Call::put(mailbox.path())
            .json(&json!({}))
            .send(&host)
            .await
            .expect_success();
    }
    let next = Arc::new(Mutex::new(0));
    let mut deposits = Deposits::new();
    for round in 0..ROUNDS {
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| tokio::spawn(write(host.address(), Arc::clone(&next))))
            .collect();
        tokio::time::sleep(random.milliseconds(20, 700)).await;
        let launch = host.kill().await;
        let before = deposits.len();
        for writer in writers {
            deposits.extend(writer.await.unwrap());
        }
        println!("round {round}: {} deposits begun", deposits.len() - before);
        host = launch.start().await;
        check(&host, &deposits).await;
    }

    // Clients that never heard back try again: whatever became of the first try, there is one message in the end.
    for (number, id) in &mut deposits {
        let again = persist(&mut None, host.address(), &deposit(*number))
            .await
            .unwrap();
        let again = created_id(&again);
        assert_eq!(*id.get_or_insert(again.clone()), again, "deposit {number}");
    }
    check(&host, &deposits).await;
    for mailbox in 0..MAILBOXES {
        let mut listed = mailbox_of(mailbox).ids(&host, "inbox").await;
        let mut expected: Vec<String> = deposits
            .iter()
            .filter(|(number, _)| *number % MAILBOXES == mailbox)
            .filter_map(|(_, id)| id.clone())
            .collect();
        listed.sort();
        expected.sort();
        assert_eq!(listed, expected, "mailbox {mailbox}");
    }
}

#[tokio::test]
async fn acknowledged_flags_survive_a_kill() {
    let app = App::voicemail();
    let host = app.launch().start().await;
    let mailbox = Mailbox::create(&host, "anna").await;
    let wav = audio::speech(Encoding::ALaw);
    let (seen, binned, back) = (
        mailbox.leave(&host, wav).await,
        mailbox.leave(&host, wav).await,
        mailbox.leave(&host, wav).await,
    );
    mailbox.patch(&host, &seen, json!({ "seen": true })).await;
    for id in [&binned, &back] {
        Call::delete(mailbox.message(id))
            .send(&host)
            .await
            .expect_success();
    }
    mailbox
        .patch(&host, &back, json!({ "deleted": false }))
        .await;

    let host = host.kill().await.start().await;
    assert_eq!(mailbox.get(&host, &seen).await["seen"], true);
    assert_eq!(mailbox.get(&host, &binned).await["deleted"], true);
    assert_eq!(mailbox.get(&host, &back).await["deleted"], false);
}

#[tokio::test]
async fn kill_during_an_upload_leaves_nothing_half_done() {
    let app = App::voicemail();
    let host = app.launch().start().await;
    let mailbox = Mailbox::create(&host, "anna").await;
    let mut wire = starling_tests::wire::Wire::open(host.address()).await;
    let wav = audio::long_speech();
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: a\r\ncontent-type: audio/wav\r\ncontent-length: {}\r\n\r\n",
        mailbox.messages(),
        wav.len()
    );
    wire.send(head).await;
    wire.send(&wav[..wav.len() / 2]).await;
    // Its answer shows that the host has long read what came before.
    assert!(mailbox.ids(&host, "inbox").await.is_empty());

    let host = host.kill().await.start().await;
    assert!(mailbox.ids(&host, "inbox").await.is_empty());
    let id = mailbox.leave(&host, wav).await;
    assert_eq!(mailbox.fetch(&host, &id).await, wav);
}
