//! The way out: the audio whole, in part, or not at all because the client has it.

mod support;

use http::{Method, StatusCode};
use support::{Answer, World, wav};

const PIECE: usize = 256 * 1024;

/// A world with one message, which is stored in four pieces; the path of its audio; and the audio.
fn world() -> (World, String, Vec<u8>) {
    let world = World::with_mailbox();
    let audio = wav(3 * PIECE + 1000, 7);
    let answer = world.deposit(&audio).send().expect(StatusCode::CREATED);
    let path = format!("{}/audio", answer.header("location").expect("a location"));
    world.reads();
    (world, path, audio)
}

fn etag(answer: &Answer) -> String {
    answer.header("etag").expect("an entity tag").to_owned()
}

#[test]
fn whole_audio_is_what_was_deposited() {
    let (world, path, audio) = world();
    let answer = world.get(&path).send().expect(StatusCode::OK);
    assert_eq!(answer.body, audio);
    assert_eq!(answer.header("content-type"), Some("audio/wav"));
    assert_eq!(
        answer.header("content-length"),
        Some(audio.len().to_string().as_str())
    );
    assert_eq!(answer.header("accept-ranges"), Some("bytes"));
    assert_eq!(
        answer.header("cache-control"),
        Some("private, max-age=31536000, immutable")
    );
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    let digest = starling_mailbox::Digest::of(&audio);
    assert_eq!(etag(&answer), format!("\"{digest}\""));
}

#[test]
fn every_range_is_the_same_bytes_and_reads_only_its_pieces() {
    ranges_of(world());
}

#[test]
fn host_that_sends_values_sends_the_same() {
    let (world, path, audio) = world();
    world.send_values();
    let whole = world.get(&path).send().expect(StatusCode::OK);
    assert!(whole.body == audio);
    let head = world.call(Method::HEAD, &path).send();
    assert_eq!(
        head.header("content-length"),
        whole.header("content-length")
    );

    // What is not there is said while it can be.
    let first = world.keys("audio/").remove(0);
    let values = world.values("local");
    let bytes = values.borrow_mut().remove(&first).expect("a piece");
    assert_eq!(world.get(&path).send().problem(), "stored-data-damaged");
    values.borrow_mut().insert(first, bytes);
    ranges_of((world, path, audio));
}

fn ranges_of((world, path, audio): (World, String, Vec<u8>)) {
    let size = audio.len();
    for (from, to) in [
        (0, 0),
        (0, PIECE - 1),
        (0, PIECE),
        (PIECE - 1, PIECE),
        (PIECE, 2 * PIECE - 1),
        (PIECE + 5, 3 * PIECE + 5),
        (3 * PIECE, size - 1),
        (size - 1, size - 1),
        (0, size - 1),
    ] {
        world.reads();
        let answer = world
            .get(&path)
            .header("range", &format!("bytes={from}-{to}"))
            .send();
        let answer = answer.expect(StatusCode::PARTIAL_CONTENT);
        assert_eq!(answer.body, audio[from..=to]);
        assert_eq!(
            answer.header("content-range"),
            Some(format!("bytes {from}-{to}/{size}").as_str())
        );
        assert_eq!(
            answer.header("content-length"),
            Some((to - from + 1).to_string().as_str())
        );
        let pieces: Vec<_> = world
            .reads()
            .into_iter()
            .filter(|key| key.starts_with("audio/"))
            .collect();
        let expected: Vec<_> = (from / PIECE..=to / PIECE)
            .map(|n| format!("/{n}"))
            .collect();
        assert_eq!(pieces.len(), expected.len());
        assert!(
            pieces
                .iter()
                .zip(&expected)
                .all(|(key, end)| key.ends_with(end)),
            "{pieces:?}"
        );
    }
    let tail = world
        .get(&path)
        .header("range", "bytes=-100")
        .send()
        .expect(StatusCode::PARTIAL_CONTENT);
    assert_eq!(tail.body, audio[size - 100..]);
}

#[test]
fn range_outside_is_refused_with_the_size() {
    let (world, path, audio) = world();
    let answer = world
        .get(&path)
        .header("range", &format!("bytes={}-", audio.len()))
        .send();
    assert_eq!(
        (answer.status.as_u16(), answer.problem().as_str()),
        (416, "range-not-satisfiable")
    );
    assert_eq!(
        answer.header("content-range"),
        Some(format!("bytes */{}", audio.len()).as_str())
    );
}

#[test]
fn client_that_has_it_gets_nothing_and_costs_no_audio() {
    let (world, path, _) = world();
    let tag = etag(&world.call(Method::HEAD, &path).send());
    world.reads();
    for method in [Method::GET, Method::HEAD] {
        let answer = world
            .call(method, &path)
            .header("if-none-match", &tag)
            .send();
        let answer = answer.expect(StatusCode::NOT_MODIFIED);
        assert_eq!((answer.body.len(), etag(&answer)), (0, tag.clone()));
        assert_eq!(answer.header("content-length"), None);
    }
    assert!(world.reads().iter().all(|key| key.starts_with("slot/")));
    world
        .get(&path)
        .header("if-none-match", "\"other\"")
        .send()
        .expect(StatusCode::OK);
}

#[test]
fn head_tells_all_and_reads_no_audio() {
    let (world, path, audio) = world();
    let answer = world
        .call(Method::HEAD, &path)
        .header("range", "bytes=0-0")
        .send()
        .expect(StatusCode::OK);
    assert_eq!(
        answer.header("content-length"),
        Some(audio.len().to_string().as_str())
    );
    assert!(world.reads().iter().all(|key| key.starts_with("slot/")));
}

#[test]
fn range_for_another_audio_gets_the_whole() {
    let (world, path, audio) = world();
    let call = || world.get(&path).header("range", "bytes=0-0");
    assert_eq!(
        call()
            .header("if-range", "\"other\"")
            .send()
            .expect(StatusCode::OK)
            .body,
        audio
    );
    let tag = etag(&call().send());
    call()
        .header("if-range", &tag)
        .send()
        .expect(StatusCode::PARTIAL_CONTENT);
}

#[test]
fn accept_must_leave_room_for_audio() {
    let (world, path, _) = world();
    for accept in [
        "*/*",
        "audio/*",
        "audio/wav",
        "audio/x-wav",
        "audio/ogg, audio/wav;q=0.2",
    ] {
        world
            .get(&path)
            .header("accept", accept)
            .send()
            .expect(StatusCode::OK);
    }
    for accept in [
        "application/json",
        "audio/ogg",
        "*/*;q=0",
        "audio/*;q=0, */*",
    ] {
        let answer = world.get(&path).header("accept", accept).send();
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (406, "not-acceptable"),
            "{accept}"
        );
    }
}

#[test]
fn message_in_the_trash_can_still_be_heard() {
    let (world, path, audio) = world();
    world
        .delete(path.strip_suffix("/audio").expect("a message"))
        .send()
        .expect(StatusCode::NO_CONTENT);
    assert_eq!(world.get(&path).send().expect(StatusCode::OK).body, audio);
}

#[test]
fn missing_first_piece_is_told_before_the_body() {
    let (world, path, _) = world();
    let key = world.keys("audio/").remove(0);
    world.values("local").borrow_mut().remove(&key);
    let answer = world.get(&path).send();
    assert_eq!(
        (answer.status.as_u16(), answer.problem().as_str()),
        (500, "stored-data-damaged")
    );
    assert!(world.log()[0].contains(&key));
    // What does not touch it is still served.
    world
        .get(&path)
        .header("range", "bytes=-10")
        .send()
        .expect(StatusCode::PARTIAL_CONTENT);
}

#[test]
fn damaged_later_piece_breaks_the_body_off() {
    let (world, path, audio) = world();
    let key = world.keys("audio/").remove(2);
    world.values("local").borrow_mut().insert(key, vec![0; 5]);
    let answer = world.get(&path).send().expect(StatusCode::OK);
    assert_eq!(answer.body, audio[..2 * PIECE]);
    assert!(answer.broken.is_some());
}
