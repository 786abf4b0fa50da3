//! How a host is found and trusted, and who gets to see the token.

use serde_json::json;
use starling_operator::client::{Error, InvalidToken, Target, Token};
use starling_test_servers::Certificates;

use crate::host::{Answer, Asked, Host, TOKEN, client, token, write_management};

fn fleet(_: &Asked) -> Answer {
    Answer::Json(200, json!({ "region": "eu", "host": "h1", "hosts": [] }))
}

fn no_secret_in(error: &Error) {
    let told = format!("{error} {error:?}");
    assert!(!told.contains(TOKEN), "{told}");
}

#[tokio::test]
async fn the_host_of_a_state_directory_is_asked_with_the_token_that_it_has_there() {
    let folder = tempfile::tempdir().unwrap();
    let client = client(Target::StateDir(folder.path().to_owned()));
    let error = client.fleet().await.unwrap_err();
    assert!(matches!(error, Error::NoHost(_)), "{error:?}");

    let host = Host::start(fleet).await;
    let url = format!("http://{}/", host.address);
    write_management(folder.path(), &json!({ "url": url, "token": TOKEN }), 0o600);
    assert_eq!(client.fleet().await.unwrap().region, "eu");
    assert_eq!(host.lines(), ["GET /v1/fleet"]);

    // Started again, it is elsewhere.
    host.stop().await;
    let error = client.fleet().await.unwrap_err();
    assert!(matches!(error, Error::NotRunning { .. }), "{error:?}");
    let told = error.to_string();
    assert!(
        told.contains(&folder.path().display().to_string()),
        "{told}"
    );
    no_secret_in(&error);
    let host = Host::start(fleet).await;
    let url = format!("http://{}", host.address);
    write_management(folder.path(), &json!({ "url": url, "token": TOKEN }), 0o600);
    client.fleet().await.unwrap();
}

#[tokio::test]
async fn a_token_that_others_can_read_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(fleet).await;
    let url = format!("http://{}", host.address);
    write_management(folder.path(), &json!({ "url": url, "token": TOKEN }), 0o640);
    let error = client(Target::StateDir(folder.path().to_owned()))
        .fleet()
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Exposed { mode: 0o640, .. }),
        "{error:?}"
    );
    assert!(host.asked().is_empty());
}

#[tokio::test]
async fn a_broken_file_is_named_and_not_quoted() {
    let folder = tempfile::tempdir().unwrap();
    for json in [
        json!(TOKEN),
        json!({ "url": 1, "token": TOKEN }),
        json!({ "url": "http://127.0.0.1", "token": "s3 c" }),
    ] {
        write_management(folder.path(), &json, 0o600);
        let client = client(Target::StateDir(folder.path().to_owned()));
        let error = client.fleet().await.unwrap_err();
        assert!(matches!(error, Error::MalformedFile(_)), "{error:?}");
        no_secret_in(&error);
        assert!(!format!("{client:?}").contains(TOKEN));
    }
}

#[tokio::test]
async fn the_token_leaves_this_machine_by_https_alone() {
    for (url, plain) in [
        ("http://host.example:8443", true),
        ("http://10.0.0.1", true),
        ("ftp://127.0.0.1", false),
        ("host.example", false),
        ("127.0.0.1:8443", false),
    ] {
        let url = url.to_owned();
        let target = Target::Url {
            url: url.clone(),
            token: token(),
            ca: None,
        };
        assert!(!format!("{target:?}").contains(TOKEN));
        let error = client(target).fleet().await.unwrap_err();
        match &error {
            Error::Plain(_) if plain => assert!(error.to_string().contains("https"), "{error}"),
            Error::Url(_) if !plain => {}
            error => panic!("{url}: {error:?}"),
        }
        no_secret_in(&error);
    }
}

#[tokio::test]
async fn a_refused_token_is_told_what_is_needed_and_not_what_it_was() {
    let host = Host::start(fleet).await;
    let target = Target::Url {
        url: format!("http://{}", host.address),
        token: "another.token".parse().unwrap(),
        ca: None,
    };
    let error = client(target).fleet().await.unwrap_err();
    let told = format!("{error} {error:?}");
    assert!(matches!(error, Error::Token(_)), "{told}");
    assert!(told.contains("--scope operator"), "{told}");
    assert!(!told.contains("another.token"), "{told}");
}

#[test]
fn what_cannot_be_a_token_is_refused() {
    for text in ["", " ", "a b", "a\nb", "\u{e9}"] {
        assert_eq!(text.parse::<Token>().err(), Some(InvalidToken), "{text:?}");
    }
    assert!("abc\n".parse::<Token>().is_ok());
}

// === Certificates ===

#[tokio::test]
async fn a_host_is_trusted_by_its_authority_or_by_name() {
    let certificates = Certificates::make();
    let host = Host::start_tls(&certificates.server, fleet).await;
    let target = |ca: Option<&std::path::Path>| Target::Url {
        url: format!("https://{}", host.address),
        token: token(),
        ca: ca.map(Into::into),
    };
    let error = client(target(None)).fleet().await.unwrap_err();
    assert!(matches!(error, Error::Untrusted { .. }), "{error:?}");
    assert!(error.to_string().contains("--ca"), "{error}");
    let other = Certificates::make();
    let error = client(target(Some(&other.authority)))
        .fleet()
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Untrusted { .. }), "{error:?}");
    assert!(host.asked().is_empty(), "the token went to a stranger");
    for ca in [&certificates.authority, &certificates.server.certificate] {
        client(target(Some(ca))).fleet().await.unwrap();
    }
    let error = client(target(Some(&certificates.server.key)))
        .fleet()
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Certificates(_)), "{error:?}");
}

#[tokio::test]
async fn a_state_directory_tells_the_certificate_and_no_other_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (Certificates::make(), Certificates::make());
    let host = Host::start_tls(&own.server, fleet).await;
    let url = format!("https://{}", host.address);
    let client = client(Target::StateDir(folder.path().to_owned()));
    let trust = |identity: &std::path::Path| {
        let ca = std::fs::read_to_string(identity).unwrap();
        let json = json!({ "url": url, "token": TOKEN, "ca": ca });
        write_management(folder.path(), &json, 0o600);
    };
    trust(&other.server.certificate);
    let error = client.fleet().await.unwrap_err();
    assert!(matches!(error, Error::Untrusted { .. }), "{error:?}");
    assert!(host.asked().is_empty(), "the token went to a stranger");
    trust(&own.server.certificate);
    client.fleet().await.unwrap();
}
