//! Deposits as forms: what is taken as the audio is what was sent as the audio.
//!
//! The input is a form: a line with its `Content-Type`, then its body. The body is then also sent as
//! the audio of a form that is well made.

#![no_main]

use libfuzzer_sys::fuzz_target;
use voicemail::fuzzing;

fuzz_target!(|input: &[u8]| {
    let line = input.iter().position(|byte| *byte == b'\n');
    let Some((line, [_, body @ ..])) = line.map(|at| input.split_at(at)) else {
        return;
    };
    if let Ok(content_type) = std::str::from_utf8(line)
        && let Some(Some(audio)) = fuzzing::form(content_type, body)
    {
        let sent = audio.is_empty() || body.windows(audio.len()).any(|part| part == audio);
        assert!(sent, "the audio is none of the body");
    }

    let boundary = boundary(body);
    let form = [
        format!("--{boundary}\r\nContent-Disposition: form-data; name=audio\r\n\r\n").as_bytes(),
        body,
        format!("\r\n--{boundary}--\r\n").as_bytes(),
    ]
    .concat();
    let content_type = format!("multipart/form-data; boundary={boundary}");
    let audio = fuzzing::form(&content_type, &form)
        .expect("a form")
        .expect("audio");
    assert_eq!(audio, body, "the audio was changed on its way");
});

/// One that the content does not have in it.
fn boundary(content: &[u8]) -> String {
    let mut boundary = String::from("b");
    while content
        .windows(boundary.len())
        .any(|part| part == boundary.as_bytes())
    {
        boundary.push(if boundary.len() % 2 == 0 { 'b' } else { 'a' });
    }
    boundary
}
