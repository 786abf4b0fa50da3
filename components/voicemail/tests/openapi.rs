//! The document of the API.

mod support;

use http::StatusCode;
use support::World;

const DOCUMENT: &str = include_str!("../src/openapi.json");

#[test]
fn document_is_served_to_anybody_and_kept_by_its_tag() {
    let world = World::local();
    let answer = world.get("/v1/openapi.json").send().expect(StatusCode::OK);
    assert_eq!(answer.body, DOCUMENT.as_bytes());
    let tag = answer.header("etag").expect("a tag");
    let again = world.get("/v1/openapi.json").header("if-none-match", tag);
    let again = again.send().expect(StatusCode::NOT_MODIFIED);
    assert_eq!(again.header("etag"), Some(tag));
    let other = world
        .get("/v1/openapi.json")
        .header("if-none-match", "\"other\"");
    other.send().expect(StatusCode::OK);
    let answer = world
        .get("/v1/openapi.json")
        .header("accept", "text/html")
        .send();
    assert_eq!(answer.problem(), "not-acceptable");
}
