//! What no component should do. A host stops each of these and serves the neighbours meanwhile.

use std::convert::Infallible;
use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use spin_sdk::experimental::wasi::keyvalue::store as buckets;
use spin_sdk::http::box_body;

use crate::answer::Answer;

pub(crate) fn panic_now() -> Answer {
    panic!("asked to panic");
}

/// Panics when the status and one piece of the body are on their way.
pub(crate) fn panic_late() -> Answer {
    Answer::new(box_body(OnePieceThenPanic { sent: false }))
}

pub(crate) fn exit() -> Answer {
    std::process::exit(3)
}

pub(crate) fn compute_for_ever() -> Answer {
    let mut step: u64 = 0;
    loop {
        step = black_box(step).wrapping_add(1);
    }
}

pub(crate) fn eat() -> Answer {
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    loop {
        // Not zero: pages of zeros would cost the host nothing.
        eaten.push(black_box(vec![0xA5; 1 << 20]));
    }
}

pub(crate) fn hold(label: &str) -> Answer {
    let mut held = Vec::new();
    loop {
        held.push(buckets::open(label));
    }
}

struct OnePieceThenPanic {
    sent: bool,
}

impl Body for OnePieceThenPanic {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        assert!(!self.sent, "asked to panic late");
        self.sent = true;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(
            b"the first piece\n",
        )))))
    }
}
