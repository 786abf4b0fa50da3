//! redis-server starts, dies, comes back and forgets as a test tells it to.

use std::io::BufRead as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use starling_test_servers::{PATIENCE, RedisServer};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Asks one question on a connection of its own, and returns the first line of the answer.
async fn ask(server: &RedisServer, question: &str) -> String {
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let mut stream = BufReader::new(stream);
    let question = format!("{question}\r\n");
    stream.write_all(question.as_bytes()).await.unwrap();
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    line.trim().to_owned()
}

#[tokio::test]
async fn a_restart_keeps_address_and_data_and_a_wipe_the_address_alone() {
    let server = RedisServer::start().await;
    let address = server.address();
    assert_eq!(ask(&server, "SET key value").await, "+OK");
    server.kill();
    assert!(!server.is_up());
    assert!(TcpStream::connect(address).await.is_err());
    server.restart().await;
    assert_eq!(server.address(), address);
    assert_eq!(ask(&server, "EXISTS key").await, ":1");
    server.stop();
    server.wipe();
    server.restart().await;
    assert_eq!(server.address(), address);
    assert_eq!(ask(&server, "EXISTS key").await, ":0");
}

#[tokio::test]
async fn a_volatile_server_forgets() {
    let server = RedisServer::options().volatile().start().await;
    assert_eq!(ask(&server, "SET key value").await, "+OK");
    server.restart().await;
    assert_eq!(ask(&server, "EXISTS key").await, ":0");
}

#[tokio::test]
async fn a_paused_server_answers_when_it_is_resumed() {
    let server = RedisServer::start().await;
    server.pause();
    let answer = ask(&server, "PING");
    let mut answer = std::pin::pin!(answer);
    let soon = Duration::from_millis(50);
    assert!(timeout(soon, &mut answer).await.is_err());
    server.resume();
    assert_eq!(answer.await, "+PONG");
}

#[tokio::test]
async fn a_password_is_asked_for() {
    let server = RedisServer::options().password("s3cret").start().await;
    assert!(ask(&server, "PING").await.starts_with("-NOAUTH"));
    assert_eq!(ask(&server, "AUTH s3cret").await, "+OK");
}

#[tokio::test]
#[should_panic(expected = "redis-server exits with")]
async fn a_configuration_that_it_refuses_fails_the_test_with_its_log() {
    RedisServer::options()
        .extra("no-such-setting 1")
        .start()
        .await;
}

/// Servers that start together do not take each other's ports.
#[tokio::test]
async fn many_start_at_once() {
    let start = || tokio::spawn(RedisServer::start());
    let starting: Vec<_> = std::iter::repeat_with(start).take(8).collect();
    let mut servers = Vec::new();
    for server in starting {
        servers.push(server.await.unwrap());
    }
    for (number, server) in servers.iter().enumerate() {
        assert_eq!(ask(server, &format!("SET number {number}")).await, "+OK");
        assert_eq!(ask(server, "DBSIZE").await, ":1");
    }
}

// === What becomes of a server when the test's process dies ===

/// Set for the process that is to die.
const VICTIM: &str = "STARLING_TEST_VICTIM";

#[tokio::test]
async fn a_server_ends_with_the_process_that_started_it() {
    // Nobody is left to remove the folder of the server.
    let folder = tempfile::tempdir().unwrap();
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim", "--ignored", "--nocapture"])
        .env(VICTIM, "1")
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(victim.stdout.take().unwrap()).lines();
    let address: SocketAddr = lines
        .find_map(|line| line.unwrap().strip_prefix("at ")?.parse().ok())
        .expect("the victim tells where its server is");
    assert!(TcpStream::connect(address).await.is_ok());
    victim.kill().unwrap();
    victim.wait().unwrap();
    timeout(PATIENCE, async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the server ends");
}

#[tokio::test]
#[ignore = "the test above runs it as a process of its own"]
async fn victim() {
    if std::env::var_os(VICTIM).is_some() {
        let server = RedisServer::start().await;
        println!("\nat {}", server.address());
        std::future::pending::<()>().await;
    }
}
