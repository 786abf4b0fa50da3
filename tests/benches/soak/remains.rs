//! What is left in the store when all is over: the audio of the messages that there are, and of no others.

use std::path::Path;
use std::time::Duration;

use starling_kv::Store as _;
use starling_kv_embedded::{Config, EmbeddedStore};
use starling_mailbox::AUDIO_CHUNK_BYTES;
use starling_tests::host::Host;

use crate::client::{Client, Known, Log};

/// How often, and for how long each time, the host may go on with its chores before what is left counts as forgotten. A
/// round through the directory takes it some four seconds.
const TRIES: usize = 6;
const TIME: Duration = Duration::from_secs(10);

const PAGE: usize = 1_000;

/// Stops the host and counts the pieces of audio. Where there are too many, lets it go on with its chores, and counts
/// again.
pub(crate) async fn check(host: Host, clients: &[Client], log: &Log) {
    let held = clients.iter().flat_map(|client| &client.held);
    let messages = held.flat_map(|held| held.messages.values());
    let expected: usize = messages.map(pieces).sum();
    let mut launch = host.stop().await;
    let mut found = count(launch.state()).await;
    for _ in 0..TRIES {
        if found <= expected {
            break;
        }
        let host = launch.start().await;
        tokio::time::sleep(TIME).await;
        launch = host.stop().await;
        found = count(launch.state()).await;
    }
    println!("\npieces of audio in the store: {found}; of messages that there are: {expected}");
    if found != expected {
        log.wrong(format!(
            "{found} pieces of audio are in the store, and {expected} should be"
        ));
    }
}

/// How many pieces the audio of a message is stored in.
fn pieces(known: &Known) -> usize {
    let piece = AUDIO_CHUNK_BYTES.get() as usize;
    starling_tests::audio::noise(known.bytes, known.seed)
        .len()
        .div_ceil(piece)
}

async fn count(state: &Path) -> usize {
    let config = Config::new(state.join("stores/default"));
    let store = EmbeddedStore::open(config).expect("the store opens");
    let (mut count, mut after) = (0, None);
    loop {
        let page = store.list("audio/", after.as_deref(), PAGE).await;
        let page = page.expect("the store lists");
        count += page.keys.len();
        after = page.next;
        if after.is_none() {
            return count;
        }
    }
}
