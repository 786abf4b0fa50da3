//! Versions of components: the same file with other bytes, so with another digest, and where that is wanted with another
//! behaviour.

use crate::paths;

/// What the mark in the test guest begins with; `tests/guest/src/variant.rs` reads it.
const MARK: &[u8] = b"variant:";

/// How long the mark is, in all.
const MARK_BYTES: usize = 24;

/// The test guest as it is served unless told otherwise.
///
/// # Panics
///
/// Where it is not built.
#[must_use]
pub fn guest() -> Vec<u8> {
    read("test_guest.wasm")
}

/// A version of the test guest that fails as `variant` says.
///
/// # Panics
///
/// Where it is not built, or the name is too long.
#[must_use]
pub fn failing_guest(variant: &str) -> Vec<u8> {
    let mut bytes = guest();
    let place = bytes
        .windows(MARK.len())
        .position(|window| window == MARK)
        .expect("the guest has its mark");
    let name = &mut bytes[place + MARK.len()..place + MARK_BYTES];
    name.fill(b' ');
    name[..variant.len()].copy_from_slice(variant.as_bytes());
    bytes
}

/// The voicemail component.
///
/// # Panics
///
/// Where it is not built.
#[must_use]
pub fn voicemail() -> Vec<u8> {
    read("voicemail.wasm")
}

/// A version of a component that does the same: with a custom section more (WebAssembly core specification, 5.5.3).
///
/// # Panics
///
/// Where the note is too long for a section of one length byte.
#[must_use]
pub fn annotated(mut component: Vec<u8>, note: &str) -> Vec<u8> {
    let name = b"note";
    let length = 1 + name.len() + note.len();
    let byte = |length: usize| u8::try_from(length).ok().filter(|byte| *byte < 0x80);
    component.push(0);
    component.push(byte(length).expect("a short note"));
    component.push(byte(name.len()).expect("a short name"));
    component.extend_from_slice(name);
    component.extend_from_slice(note.as_bytes());
    component
}

fn read(file: &str) -> Vec<u8> {
    std::fs::read(paths::component(file)).expect("a component that was built is readable")
}
