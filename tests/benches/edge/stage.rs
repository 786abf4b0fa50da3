//! The servers that most rows are about, and what they hold.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use starling_tests::app::App;
use starling_tests::audio;
use starling_tests::client::Call;
use starling_tests::host::Host;

use crate::connection::{get, post};
use crate::load::{Load, Pace, WARM_UP};
use crate::machine::Cores;
use crate::native::Native;

/// Mailboxes that deposits go to in turn: one alone would be full, and its slot ever larger.
const DEPOSIT_MAILBOXES: usize = 64;

/// Servers on the first core.
pub(crate) struct Stage {
    /// Serves voicemail.
    pub(crate) host: Host,
    /// Serves `hello`.
    pub(crate) guest: Host,
    /// Does the work of both natively.
    pub(crate) native: Native,
    /// Memory of the first and the last while nobody had asked them anything, in bytes.
    pub(crate) idle_bytes: (u64, u64),
    on_host: Prepared,
    on_native: Prepared,
    /// Keep their folders.
    _apps: [App; 2],
}

/// Work that is measured on both sides.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    ours: (SocketAddr, Arc<[Vec<u8>]>),
    base: (SocketAddr, Arc<[Vec<u8>]>),
}

impl Stage {
    pub(crate) async fn set() -> Self {
        let (app, hello) = (App::voicemail(), App::hello());
        let on_first = Cores::First.wrapper();
        // The first start compiles, which takes memory that a host in service never needs.
        let compiled = app.launch().through(on_first).start().await;
        let host = compiled.stop().await.start().await;
        let idle = host.resident_bytes();
        let guest = hello.launch().through(on_first).start().await;
        let native = Native::start(Cores::First);
        let idle_bytes = (idle, native.resident_bytes());
        Self {
            on_host: Prepared::on(host.address()).await,
            on_native: Prepared::on(native.address()).await,
            host,
            guest,
            native,
            idle_bytes,
            _apps: [app, hello],
        }
    }

    pub(crate) fn hello(&self) -> Case {
        let hello = get("/hello");
        self.case("hello", self.guest.address(), [hello.clone(), hello])
    }

    pub(crate) fn list(&self) -> Case {
        let lists = [&self.on_host, &self.on_native].map(|prepared| get(&prepared.list));
        self.case("list of 20 messages", self.host.address(), lists)
    }

    pub(crate) fn audio(&self) -> Case {
        let audio = [&self.on_host, &self.on_native].map(|prepared| get(&prepared.audio));
        self.case("audio of 480 KB", self.host.address(), audio)
    }

    pub(crate) fn deposit(&self) -> Case {
        let deposits = deposits();
        Case {
            name: "deposit of 480 KB with fsync",
            ours: (self.host.address(), deposits.clone()),
            base: (self.native.address(), deposits),
        }
    }

    fn case(&self, name: &'static str, host: SocketAddr, [ours, base]: [Vec<u8>; 2]) -> Case {
        Case {
            name,
            ours: (host, Arc::new([ours])),
            base: (self.native.address(), Arc::new([base])),
        }
    }
}

impl Case {
    /// Loads of it in a closed loop: on the host, and on the baseline.
    pub(crate) fn loads(&self, connections: usize, duration: Duration) -> [Load; 2] {
        [&self.ours, &self.base].map(|(address, requests)| Load {
            address: *address,
            requests: requests.clone(),
            connections,
            pace: Pace::Closed,
            warm_up: WARM_UP,
            duration,
        })
    }
}

/// A mailbox with 20 messages, one of them of 480 KB, and the mailboxes for deposits.
pub(crate) struct Prepared {
    pub(crate) list: String,
    audio: String,
}

impl Prepared {
    /// Makes them on a server.
    pub(crate) async fn on(address: SocketAddr) -> Self {
        let created = async |name: String| {
            let path = format!("/v1/mailboxes/{name}");
            let call = Call::new(Method::PUT, path).send_to(address).await;
            call.expect_success();
        };
        for index in 0..DEPOSIT_MAILBOXES {
            created(format!("deposit-{index}")).await;
        }
        created("listed".to_owned()).await;
        let list = "/v1/mailboxes/listed/messages".to_owned();
        let deposit = async |audio: &[u8]| {
            Call::new(Method::POST, list.clone())
                .header("content-type", "audio/wav")
                .header("voicemail-from", "+15551230002")
                .body(audio.to_vec())
                .send_to(address)
                .await
                .expect(201)
        };
        for _ in 0..19 {
            deposit(audio::speech(audio::Encoding::MuLaw)).await;
        }
        let long = deposit(audio::long_speech()).await;
        let audio = format!("{}/audio", long.header("location"));
        Self {
            audio,
            list: format!("{list}?limit=20"),
        }
    }
}

fn deposits() -> Arc<[Vec<u8>]> {
    let deposit = |index| {
        let path = format!("/v1/mailboxes/deposit-{index}/messages");
        post(&path, "audio/wav", audio::long_speech())
    };
    (0..DEPOSIT_MAILBOXES).map(deposit).collect()
}
