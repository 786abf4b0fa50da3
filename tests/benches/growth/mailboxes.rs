//! More and more mailboxes on an embedded store, of three messages each.

use http::Method;
use starling_tests::audio;
use starling_tests::client::Call;
use starling_tests::random::Random;

use crate::fill::{self, Contents};
use crate::report::Subject;
use crate::turns::{self, Operation, Place};

const MESSAGES: u64 = 3;
const ROUNDS: u64 = 300;

/// A deposit that is written to the disk in no time, so that what else it costs shows.
pub(crate) const SMALL_BYTES: usize = 8_000;

/// The summary of a mailbox of chance.
pub(crate) const SUMMARY: Operation = Operation {
    name: "summary",
    status: 200,
    call: |place, _, random| Call::get(format!("{}/summary", any(place, random))),
};

/// A message of chance.
pub(crate) const ONE_MESSAGE: Operation = Operation {
    name: "one message",
    status: 200,
    call: |place, _, random| {
        let mailbox = random.below(place.contents.mailboxes);
        Call::get(fill::message_path(
            mailbox,
            random.below(place.contents.messages),
        ))
    },
};

/// Each request is for a mailbox of chance, so that caches help as much as they would.
const OPERATIONS: [Operation; 6] = [
    SUMMARY,
    Operation {
        name: "list of its messages",
        status: 200,
        call: |place, _, random| Call::get(format!("{}/messages?limit=20", any(place, random))),
    },
    ONE_MESSAGE,
    Operation {
        name: "deposit of 8 KB",
        status: 201,
        call: |place, round, random| deposit(&any(place, random), round),
    },
    Operation {
        name: "a new mailbox",
        status: 201,
        call: |_, round, _| Call::new(Method::PUT, format!("/v1/mailboxes/new-{round}")),
    },
    Operation {
        name: "list of 20 mailboxes",
        status: 200,
        call: |place, _, random| {
            let path = fill::path(random.below(place.contents.mailboxes));
            let name = path.rsplit('/').next().unwrap_or_default();
            Call::get(format!("/v1/mailboxes?limit=20&cursor={name}"))
        },
    },
];

pub(crate) async fn measure(quick: bool) -> Subject {
    let (sizes, rounds): (&[u64], u64) = if quick {
        (&[10, 1_000, 10_000], 30)
    } else {
        (&[10, 1_000, 100_000, 1_000_000], ROUNDS)
    };
    let mut places = Vec::new();
    for &size in sizes {
        let contents = Contents {
            mailboxes: size,
            messages: MESSAGES,
            purged: 0,
        };
        places.push(Place::open(size, contents).await);
    }
    Subject {
        name: "mailboxes",
        title: "Mailboxes of three messages on an embedded store",
        of: "mailboxes",
        curves: turns::measure(&mut places, &OPERATIONS, rounds).await,
    }
}

/// The path of a mailbox of chance.
pub(crate) fn any(place: &Place, random: &mut Random) -> String {
    fill::path(random.below(place.contents.mailboxes))
}

/// A small deposit, different in each round.
pub(crate) fn deposit(mailbox: &str, round: u64) -> Call {
    Call::new(Method::POST, format!("{mailbox}/messages"))
        .header("content-type", "audio/wav")
        .header("voicemail-from", "+15551230002")
        .body(audio::noise(SMALL_BYTES, round))
}
