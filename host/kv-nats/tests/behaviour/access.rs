//! How a host is let in by a region's servers, and what it says where it is not.

use std::error::Error as _;

use starling_kv::Store;
use starling_kv_nats::{OpenError, Regions, RegionsError, StoreConfig, SystemConfig, SystemError};
use starling_test_servers::{Certificates, NatsServer};

use crate::support::{Host, alone, bytes, read, soon, system, write};

async fn open(config: SystemConfig) -> Result<Host, OpenError> {
    let systems = alone(config);
    let opened = Host::open("eu", &systems, StoreConfig::new("default"));
    soon("it opens, or does not", opened).await
}

async fn check_let_in(config: SystemConfig) {
    let host = open(config).await.expect("the store opens");
    write(&host.own(), "key").await;
    assert_eq!(
        read(&host.own(), "key").await.unwrap().as_deref(),
        Some("key")
    );
}

/// The host is told so, without a word of what it must not tell.
async fn check_refused(config: SystemConfig, secret: &str) {
    let error = open(config).await.err().expect("it is not let in");
    assert!(
        matches!(error, OpenError::System(SystemError::Refused(_))),
        "{error:?}"
    );
    let mut text = format!("{error} {error:?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(" {error} {error:?}");
        cause = error.source();
    }
    assert!(!text.contains(secret), "{text}");
}

fn user(server: &NatsServer, password: &str) -> SystemConfig {
    SystemConfig {
        user: Some("host".to_owned()),
        password: Some(password.to_owned()),
        ..system(&server.url())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn user_is_let_in_by_password() {
    let server = NatsServer::options().user("host", "right").start().await;
    check_let_in(user(&server, "right")).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "right\n").unwrap();
    check_let_in(SystemConfig {
        user: Some("host".to_owned()),
        password_file: Some(file),
        ..system(&server.url())
    })
    .await;
    check_refused(user(&server, "wrong-word"), "wrong-word").await;
    check_refused(system(&server.url()), "right").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn host_is_let_in_by_nkey() {
    // The pair of NATS's own documentation.
    const SEED: &str = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
    const PUBLIC: &str = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";
    const OTHER: &str = "SUANQDPB2RUOE4ETUA26CNX7FUKE5ZZKFCQIIW63OX225F2CO7UEXTM7ZY";
    let server = NatsServer::options().nkey(PUBLIC).start().await;
    let folder = tempfile::tempdir().unwrap();
    let seeded = |seed: &str| {
        let file = folder.path().join("seed");
        std::fs::write(&file, format!("{seed}\n")).unwrap();
        SystemConfig {
            nkey_seed_file: Some(file),
            ..system(&server.url())
        }
    };
    check_let_in(seeded(SEED)).await;
    check_refused(seeded(OTHER), OTHER).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn server_is_known_by_its_authority() {
    let certificates = Certificates::make();
    let server = NatsServer::options()
        .tls(&certificates.server)
        .start()
        .await;
    check_let_in(SystemConfig {
        ca_file: Some(certificates.authority.clone()),
        ..system(&server.url())
    })
    .await;
    // Without TLS in the address, but asked for.
    check_let_in(SystemConfig {
        servers: vec![format!("nats://{}", server.address())],
        tls: true,
        ca_file: Some(certificates.authority.clone()),
        ..SystemConfig::default()
    })
    .await;
    // One that somebody else has signed is not used.
    let others = Certificates::make();
    let host = open(SystemConfig {
        ca_file: Some(others.authority.clone()),
        ..system(&server.url())
    });
    let host = host.await.expect("that may pass");
    assert!(!host.store.report().reachable);
    assert!(host.own().set("key", bytes("")).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_server_is_not_used_where_tls_is_asked_for() {
    let server = NatsServer::start().await;
    let host = open(SystemConfig {
        tls: true,
        ..system(&server.url())
    });
    let host = host.await.expect("that may pass");
    assert!(!host.store.report().reachable);
}

#[tokio::test(flavor = "multi_thread")]
async fn client_is_known_by_its_certificate() {
    let certificates = Certificates::make();
    let options = NatsServer::options().mutual_tls(&certificates.server, &certificates.authority);
    let server = options.start().await;
    check_let_in(SystemConfig {
        ca_file: Some(certificates.authority.clone()),
        cert_file: Some(certificates.client.certificate.clone()),
        key_file: Some(certificates.client.key.clone()),
        ..system(&server.url())
    })
    .await;
    let nobody = open(SystemConfig {
        ca_file: Some(certificates.authority.clone()),
        ..system(&server.url())
    });
    // A server may say so, or close the connection without a word.
    if let Ok(host) = nobody.await {
        assert!(!host.store.report().reachable);
        assert!(host.own().set("key", bytes("")).await.is_err());
    }
}

async fn check_not_connected(change: impl FnOnce(&mut SystemConfig), said: &str) {
    let mut config = system("nats://127.0.0.1:4222");
    change(&mut config);
    let regions = Regions::connect("eu", &alone(config)).await;
    match regions.err() {
        Some(RegionsError::System { region, source }) => {
            assert_eq!(region, "eu");
            assert!(source.to_string().contains(said), "{source}");
            assert!(!source.to_string().contains("secret"), "{source}");
        }
        other => panic!("{said}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn configuration_that_cannot_work_is_refused() {
    let said = |text: &str| Some(text.to_owned());
    let missing = || Some("/nonexistent/file".into());
    check_not_connected(|config| config.servers.clear(), "no servers").await;
    check_not_connected(
        |config| config.servers = vec!["nats://host:secret@127.0.0.1:4222".to_owned()],
        "credentials",
    )
    .await;
    check_not_connected(
        |config| config.servers = vec!["http://127.0.0.1:4222".to_owned()],
        "http://127.0.0.1:4222",
    )
    .await;
    check_not_connected(|config| config.user = said("host"), "password").await;
    check_not_connected(|config| config.password = said("secret"), "password").await;
    check_not_connected(
        |config| {
            config.user = said("host");
            config.password = said("secret");
            config.nkey_seed_file = missing();
        },
        "one of",
    )
    .await;
    check_not_connected(|config| config.nkey_seed_file = missing(), "nkey_seed_file").await;
    check_not_connected(|config| config.ca_file = missing(), "ca_file").await;
    check_not_connected(|config| config.cert_file = missing(), "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn debug_text_tells_no_secret() {
    let config = SystemConfig {
        user: Some("host".to_owned()),
        password: Some("secret".to_owned()),
        ..system("nats://127.0.0.1:4222")
    };
    assert!(!format!("{config:?}").contains("secret"));
}
