//! nats-server starts, dies, comes back and forgets as a test tells it to.

use serde_json::Value;
use starling_test_servers::{Certificates, NatsOptions, NatsServer};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// As much of a client as these tests need.
struct Client {
    stream: BufReader<TcpStream>,
    info: Value,
}

impl Client {
    async fn connect(server: &NatsServer, options: &str) -> Self {
        let stream = TcpStream::connect(server.address()).await.unwrap();
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        let info = line.strip_prefix("INFO ").expect("a greeting");
        let info = serde_json::from_str(info).unwrap();
        let connect = format!("CONNECT {{\"verbose\":false{options}}}\r\nPING\r\n");
        stream.write_all(connect.as_bytes()).await.unwrap();
        Self { stream, info }
    }

    /// What comes next: `PONG` where the server lets this client in.
    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).await.unwrap();
        line.trim().to_owned()
    }

    /// Asks JetStream, and returns its answer.
    async fn ask(&mut self, subject: &str, body: &str) -> Value {
        let request = format!(
            "SUB answer 1\r\nPUB {subject} answer {}\r\n{body}\r\n",
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await.unwrap();
        loop {
            let line = self.line().await;
            if line == "PING" {
                self.stream.write_all(b"PONG\r\n").await.unwrap();
            }
            if let Some(head) = line.strip_prefix("MSG answer 1 ") {
                let length: usize = head.split(' ').next_back().unwrap().parse().unwrap();
                let mut body = vec![0; length];
                self.stream.read_exact(&mut body).await.unwrap();
                return serde_json::from_slice(&body).unwrap();
            }
        }
    }
}

/// Makes a stream and stores one message in it.
async fn store(server: &NatsServer) {
    let mut client = Client::connect(server, "").await;
    assert_eq!(client.line().await, "PONG");
    let made = client
        .ask(
            "$JS.API.STREAM.CREATE.s",
            r#"{"name":"s","subjects":["k"],"storage":"file","retention":"limits"}"#,
        )
        .await;
    assert!(made.get("error").is_none(), "{made}");
    let mut client = Client::connect(server, "").await;
    assert_eq!(client.line().await, "PONG");
    assert_eq!(client.ask("k", "hello").await["seq"], 1);
}

/// How many messages the stream has; `None` where there is no stream.
async fn stored(server: &NatsServer) -> Option<u64> {
    let mut client = Client::connect(server, "").await;
    assert_eq!(client.line().await, "PONG");
    client.ask("$JS.API.STREAM.INFO.s", "").await["state"]["messages"].as_u64()
}

async fn is_let_in(server: &NatsServer, options: &str) -> bool {
    Client::connect(server, options).await.line().await == "PONG"
}

#[tokio::test]
async fn it_serves_with_jetstream_and_is_new_enough() {
    let server = NatsServer::start().await;
    let client = Client::connect(&server, "").await;
    assert_eq!(client.info["jetstream"], true);
    assert_eq!(client.info["max_payload"], 1_048_576);
    let version = client.info["version"].as_str().unwrap();
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap());
    assert!((parts.next(), parts.next()) >= (Some(2), Some(10)));
    assert_eq!(server.url(), format!("nats://{}", server.address()));
}

#[tokio::test]
async fn a_restart_keeps_address_and_data_and_a_wipe_the_address_alone() {
    let server = NatsServer::start().await;
    let address = server.address();
    store(&server).await;
    server.kill();
    assert!(!server.is_up());
    assert!(TcpStream::connect(address).await.is_err());
    server.restart().await;
    assert_eq!(
        (server.address(), stored(&server).await),
        (address, Some(1))
    );
    server.stop();
    server.wipe();
    server.restart().await;
    assert_eq!((server.address(), stored(&server).await), (address, None));
}

#[tokio::test]
async fn a_store_outlives_its_server_where_the_test_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let options = NatsServer::options().store(folder.path());
    store(&options.clone().start().await).await;
    assert_eq!(stored(&options.start().await).await, Some(1));
}

#[tokio::test]
async fn a_paused_server_answers_when_it_is_resumed() {
    let server = NatsServer::start().await;
    server.pause();
    let client = Client::connect(&server, "");
    let mut client = std::pin::pin!(client);
    let soon = std::time::Duration::from_millis(50);
    assert!(tokio::time::timeout(soon, &mut client).await.is_err());
    server.resume();
    assert_eq!(client.await.line().await, "PONG");
}

#[tokio::test]
async fn users_are_let_in_by_password_and_nobody_else() {
    let server = NatsServer::options()
        .user("host", "s3cret")
        .name("one")
        .start()
        .await;
    assert_eq!(
        Client::connect(&server, "").await.info["server_name"],
        "one"
    );
    assert!(is_let_in(&server, r#","user":"host","pass":"s3cret""#).await);
    assert!(!is_let_in(&server, r#","user":"host","pass":"other""#).await);
    assert!(!is_let_in(&server, "").await);
}

#[tokio::test]
async fn holders_of_nkeys_are_challenged() {
    let key = "UBRYFM6MRAKBFN337SXO2ATAAHAA3HRQEXTGYIHW47US6B4YKFDCURCQ";
    let options: NatsOptions = NatsServer::options().nkey(key);
    let server = options.start().await;
    let client = Client::connect(&server, "").await;
    assert!(client.info["nonce"].is_string(), "{}", client.info);
    assert!(!is_let_in(&server, "").await);
}

#[tokio::test]
#[should_panic(expected = "nats-server exits with")]
async fn a_configuration_that_it_refuses_fails_the_test_with_its_log() {
    NatsServer::options()
        .extra("no_such_setting: 1")
        .start()
        .await;
}

#[tokio::test]
async fn tls_is_asked_for_where_it_is_set_up() {
    let certificates = Certificates::make();
    let server = NatsServer::options()
        .tls(&certificates.server)
        .start()
        .await;
    let client = Client::connect(&server, "").await;
    assert_eq!(client.info["tls_required"], true);
    assert_eq!(server.url(), format!("tls://{}", server.address()));
    let server = NatsServer::options()
        .mutual_tls(&certificates.server, &certificates.authority)
        .start()
        .await;
    let client = Client::connect(&server, "").await;
    assert_eq!(client.info["tls_verify"], true);
}
