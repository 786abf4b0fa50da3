//! Connections that are encrypted, and who is let in on either side.

use bytes::Bytes;
use starling_kv::Store;
use starling_kv_redis::{Config, OpenError, RedisStore, Tls};
use starling_test_servers::{Certificates, RedisServer};

fn config(server: &RedisServer, tls: Option<Tls>) -> Config {
    let mut config = Config::new(server.address().to_string());
    config.tls = tls;
    config
}

fn trusting(certificates: &Certificates) -> Tls {
    Tls {
        ca_file: Some(certificates.authority.clone()),
        ..Tls::default()
    }
}

async fn serves(config: &Config) {
    let store = RedisStore::open(config).unwrap();
    let value = Bytes::from(vec![7; 900_000]);
    store.set("audio/a", value.clone()).await.unwrap();
    assert!(store.get("audio/a").await.unwrap().unwrap().value == value);
}

fn refused(config: &Config) {
    let error = RedisStore::open(config).unwrap_err();
    assert!(matches!(error, OpenError::Connect { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_is_let_in_by_its_authority_and_its_name() {
    let certificates = Certificates::make();
    let server = RedisServer::options()
        .tls(&certificates.server)
        .start()
        .await;
    let tls = trusting(&certificates);
    serves(&config(&server, Some(tls.clone()))).await;
    let named = |name: &str| Tls {
        server_name: Some(name.to_owned()),
        ..tls.clone()
    };
    serves(&config(&server, Some(named("localhost")))).await;
    refused(&config(&server, Some(named("other.example"))));
    refused(&config(&server, Some(Tls::default())));
    refused(&config(&server, Some(trusting(&Certificates::make()))));
    refused(&config(&server, None));
}

#[tokio::test]
async fn a_client_is_let_in_by_its_certificate() {
    let certificates = Certificates::make();
    let server = RedisServer::options()
        .mutual_tls(&certificates.server, &certificates.authority)
        .start()
        .await;
    let mut tls = trusting(&certificates);
    refused(&config(&server, Some(tls.clone())));
    tls.certificate_file = Some(certificates.client.certificate.clone());
    let error = RedisStore::open(&config(&server, Some(tls.clone()))).unwrap_err();
    assert!(matches!(error, OpenError::Tls(_)), "{error:?}");
    tls.key_file = Some(certificates.client.key.clone());
    serves(&config(&server, Some(tls.clone()))).await;
    tls.ca_file = Some(certificates.client.key.clone());
    let error = RedisStore::open(&config(&server, Some(tls))).unwrap_err();
    assert!(matches!(error, OpenError::TlsFile { .. }), "{error:?}");
}
