//! Versions of this component: a mark in its bytes that a test overwrites, which makes another component of it, with a
//! digest of its own, and says how that one fails.

use std::time::Duration;

use spin_sdk::http::StatusCode;

use crate::answer::{Answer, text};

/// How long the mark is. Tests know it, and what it begins with.
const MARK_BYTES: usize = 24;

/// `variant:`, a name, and blanks.
#[used]
static MARK: [u8; MARK_BYTES] = *b"variant:well            ";

/// What every request is answered with, where this version fails.
pub(crate) async fn failure() -> Option<Answer> {
    // The mark is not what the compiler saw.
    let mark = std::hint::black_box(&MARK);
    let name = std::str::from_utf8(&mark[b"variant:".len()..]).ok()?;
    match name.trim() {
        "errors" => Some(text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "this version fails\n",
        )),
        "slow" => {
            spin_sdk::time::sleep(Duration::from_secs(2)).await;
            None
        }
        "crashing" => panic!("this version crashes"),
        "hungry" => {
            let eaten = vec![1_u8; 48 << 20];
            std::hint::black_box(&eaten);
            None
        }
        _ => None,
    }
}
