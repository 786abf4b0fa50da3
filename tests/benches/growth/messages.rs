//! More and more messages in a mailbox, or that were in it. A mailbox is one record of a region, which every request reads whole and every
//! change writes whole, so this grows; the point is by how much.

use http::Method;
use serde_json::json;
use starling_tests::client::Call;

use crate::fill::{self, Contents};
use crate::mailboxes::{ONE_MESSAGE, SUMMARY, any, deposit};
use crate::report::{Curve, Subject, Unit};
use crate::turns::{self, Operation, Place};

/// Mailboxes of each size: deposits go to each of them in turn, so that none grows much by being measured.
const MAILBOXES: u64 = 100;
const ROUNDS: u64 = 200;

const OPERATIONS: [Operation; 6] = [
    SUMMARY,
    Operation {
        name: "list of 20",
        status: 200,
        call: |place, _, random| Call::get(format!("{}/messages?limit=20", any(place, random))),
    },
    ONE_MESSAGE,
    Operation {
        name: "deposit of 8 KB",
        status: 201,
        call: |place, round, _| deposit(&fill::path(round % place.contents.mailboxes), round),
    },
    Operation {
        name: "patch",
        status: 200,
        call: |place, round, random| {
            let mailbox = round % place.contents.mailboxes;
            let message = fill::message_path(mailbox, random.below(place.contents.messages));
            Call::new(Method::PATCH, message)
                .json(&json!({ "seen": round / place.contents.mailboxes % 2 == 0 }))
        },
    },
    Operation {
        name: "delete",
        status: 204,
        call: |place, round, random| {
            let mailbox = round % place.contents.mailboxes;
            Call::new(
                Method::DELETE,
                fill::message_path(mailbox, random.below(place.contents.messages)),
            )
        },
    },
];

/// Messages that a mailbox holds.
pub(crate) async fn measure(quick: bool) -> Subject {
    let sizes = [1, 10, 100, 1_000].map(|messages| {
        let contents = Contents {
            mailboxes: MAILBOXES,
            messages,
            purged: 0,
        };
        (messages, contents)
    });
    Subject {
        name: "messages",
        title: "Messages in a mailbox",
        of: "messages",
        curves: curves(&sizes, quick).await,
    }
}

/// Messages that a mailbox held once and that were purged, beside three that are there.
pub(crate) async fn measure_purged(quick: bool) -> Subject {
    let sizes = [1, 100, 1_000, 10_000].map(|purged| {
        let contents = Contents {
            mailboxes: MAILBOXES,
            messages: 3,
            purged,
        };
        (purged, contents)
    });
    Subject {
        name: "purged",
        title: "Messages purged from a mailbox that holds three",
        of: "purged messages",
        curves: curves(&sizes, quick).await,
    }
}

async fn curves(sizes: &[(u64, Contents)], quick: bool) -> Vec<Curve> {
    let mut places = Vec::new();
    let mut record = Curve::new("record of a mailbox", Unit::Kib);
    for &(size, contents) in sizes {
        places.push(Place::open(size, contents).await);
        let kib = fill::record_bytes(contents) as f64 / 1024.0;
        record.points.push((size as f64, kib));
    }
    let rounds = if quick { 30 } else { ROUNDS };
    let mut curves = turns::measure(&mut places, &OPERATIONS, rounds).await;
    curves.push(record);
    curves
}
