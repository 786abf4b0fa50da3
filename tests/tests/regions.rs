//! Several regions with real servers and real hosts: each goes on alone, and what one has acknowledged is in all.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::json;
use starling_test_servers::NatsServer;
use starling_tests::app::App;
use starling_tests::audio::{Encoding, long_speech, speech, tagged};
use starling_tests::client::Call;
use starling_tests::deployment::{Deployment, POLL, Shape, try_call, until};
use starling_tests::host::{Host, PATIENCE};
use starling_tests::mailbox::{Mailbox, created_id};
use tokio::time::timeout;

const EU: usize = 0;
const US: usize = 1;
const AP: usize = 2;

const THREE: Shape<'static> = Shape {
    regions: &["eu", "us", "ap"],
    hosts: 1,
    ..Shape::VOICEMAIL
};

const TWO: Shape<'static> = Shape {
    regions: &["eu", "us"],
    hosts: 1,
    ..Shape::VOICEMAIL
};

/// Waits until a host shows exactly these messages, in any order.
async fn shows(host: &Host, mailbox: &Mailbox, folder: &str, ids: &BTreeSet<String>) {
    let shown = async {
        loop {
            let list = Call::get(format!("{}?folder={folder}&limit=1", mailbox.messages()));
            // A region that has not heard of the mailbox says that there is none.
            let known = try_call(host.address(), &list).await;
            if known.is_some_and(|answer| answer.status == 200) {
                let shown = mailbox.ids(host, folder).await;
                if shown.len() == ids.len() && shown.iter().all(|id| ids.contains(id)) {
                    return;
                }
            }
            tokio::time::sleep(POLL).await;
        }
    };
    if timeout(PATIENCE, shown).await.is_err() {
        let shown = mailbox.ids(host, folder).await;
        panic!(
            "{} {folder} messages are shown, not {}",
            shown.len(),
            ids.len()
        );
    }
}

#[tokio::test]
async fn message_left_in_one_region_is_heard_and_marked_in_every_other() {
    let deployment = Deployment::start(&THREE).await;
    let (eu, us, ap) = (
        deployment.host(EU, 0),
        deployment.host(US, 0),
        deployment.host(AP, 0),
    );
    let mailbox = Mailbox::create(eu, "anna").await;
    let wav = long_speech();
    let id = mailbox.leave(eu, wav).await;

    for host in [us, ap] {
        shows(host, &mailbox, "inbox", &BTreeSet::from([id.clone()])).await;
        assert_eq!(mailbox.fetch(host, &id).await, wav);
    }
    mailbox.patch(us, &id, json!({"seen": true})).await;
    mailbox.patch(ap, &id, json!({"saved": true})).await;
    for host in [eu, us, ap] {
        let message = Call::get(mailbox.message(&id));
        until(host, &message, |answer| {
            let message = answer.json();
            message["seen"] == true && message["saved"] == true
        })
        .await;
    }
}

#[tokio::test]
async fn retry_in_another_region_makes_one_message() {
    let deployment = Deployment::start(&TWO).await;
    let (eu, us) = (deployment.host(EU, 0), deployment.host(US, 0));
    let mailbox = Mailbox::create(eu, "anna").await;
    shows(us, &mailbox, "inbox", &BTreeSet::new()).await;
    deployment.cut(EU, US);
    let deposit = mailbox.deposit_once(speech(Encoding::MuLaw), "once");
    let first = created_id(&deposit.clone().send(eu).await);
    let second = created_id(&deposit.send(us).await);
    assert_eq!(first, second);
    deployment.heal(EU, US);
    // Something later from each region, so that both have heard all before it.
    let wav = speech(Encoding::MuLaw);
    let mut ids = BTreeSet::from([first]);
    for host in [eu, us] {
        ids.insert(mailbox.leave(host, wav).await);
    }
    for host in [eu, us] {
        shows(host, &mailbox, "inbox", &ids).await;
    }
}

/// Audio is written before its header, and regions hear of both in this order: who sees a message can hear it.
#[tokio::test]
async fn header_is_never_visible_before_its_audio() {
    const MESSAGES: u64 = 40;

    let deployment = Deployment::start(&TWO).await;
    let (eu, us) = (deployment.host(EU, 0), deployment.host(US, 0));
    let mailbox = Mailbox::create(eu, "anna").await;
    shows(us, &mailbox, "inbox", &BTreeSet::new()).await;
    let wav = long_speech();
    let leave = async {
        for number in 0..MESSAGES {
            mailbox.leave(eu, tagged(wav, number)).await;
        }
    };
    let catch = async {
        let mut heard = BTreeSet::new();
        while heard.len() < MESSAGES as usize {
            for id in mailbox.ids(us, "inbox").await {
                if heard.insert(id.clone()) {
                    let audio = Call::get(mailbox.audio(&id)).send(us).await.expect(200);
                    assert_eq!(audio.body.len(), wav.len());
                }
            }
        }
    };
    let both = async { tokio::join!(leave, catch) };
    timeout(PATIENCE, both).await.expect("all are heard");
}

#[tokio::test]
async fn region_that_is_cut_off_goes_on_and_catches_up() {
    let mut deployment = Deployment::start(&TWO).await;
    let mailbox = Mailbox::create(deployment.host(EU, 0), "anna").await;
    let wav = speech(Encoding::MuLaw);
    let mut ids = BTreeSet::from([mailbox.leave(deployment.host(EU, 0), wav).await]);
    shows(deployment.host(US, 0), &mailbox, "inbox", &ids).await;

    deployment.isolate(US);
    let alone = mailbox.leave(deployment.host(US, 0), wav).await;
    assert_eq!(mailbox.fetch(deployment.host(US, 0), &alone).await, wav);
    ids.insert(alone);
    // A host that starts inside the isolation, after another that was killed.
    deployment.kill_host(US, 0).await;
    deployment.start_host(US, 0).await;
    let us = deployment.host(US, 0);
    let later = mailbox.deposit_once(wav, "later");
    let answer = until(us, &later, |answer| answer.status == 201).await;
    ids.insert(created_id(&answer));
    shows(us, &mailbox, "inbox", &ids).await;
    let meanwhile = mailbox.leave(deployment.host(EU, 0), wav).await;

    deployment.rejoin(US);
    let healed = Instant::now();
    ids.insert(meanwhile);
    for region in [EU, US] {
        shows(deployment.host(region, 0), &mailbox, "inbox", &ids).await;
    }
    println!(
        "caught up {:.1} s after it healed",
        healed.elapsed().as_secs_f64()
    );
}

#[tokio::test]
async fn deposit_is_spooled_while_the_regions_store_is_down_and_delivered_afterwards() {
    let mut deployment = Deployment::start(&TWO).await;
    let mailbox = Mailbox::create(deployment.host(EU, 0), "anna").await;
    let wav = speech(Encoding::MuLaw);
    deployment.regions[EU].nats.kill();
    let deposit = mailbox.deposit_once(wav, "spooled");
    let answer = until(deployment.host(EU, 0), &deposit, |answer| {
        answer.status == 202
    })
    .await;
    let id = answer.json()["id"].as_str().expect("an id").to_owned();
    // What waits is on the host's disk.
    deployment.kill_host(EU, 0).await;
    deployment.start_host(EU, 0).await;
    deployment.regions[EU].nats.restart().await;
    let ids = BTreeSet::from([id]);
    for region in [EU, US] {
        let host = deployment.host(region, 0);
        shows(host, &mailbox, "inbox", &ids).await;
        for id in &ids {
            assert_eq!(mailbox.fetch(host, id).await, wav);
        }
    }
}

#[tokio::test]
async fn region_that_is_lost_after_geo_acknowledgements_is_missed_by_nobody() {
    const MESSAGES: u64 = 24;

    let mut deployment = Deployment::start(&Shape {
        store: "acks = \"geo\"",
        ..THREE
    })
    .await;
    let mailbox = Mailbox::create(deployment.host(EU, 0), "anna").await;
    for region in [US, AP] {
        shows(
            deployment.host(region, 0),
            &mailbox,
            "inbox",
            &BTreeSet::new(),
        )
        .await;
    }
    let wav = speech(Encoding::MuLaw);
    let mut acknowledged = BTreeSet::new();
    for number in 0..MESSAGES {
        let left = mailbox.deposit(tagged(wav, number));
        let answer = left.send(deployment.host(EU, 0)).await;
        acknowledged.insert(created_id(&answer));
    }
    deployment.regions[EU].nats.kill();
    deployment.regions[EU].nats.wipe();
    deployment.kill_host(EU, 0).await;

    let mut elsewhere = BTreeSet::new();
    for region in [US, AP] {
        elsewhere.extend(mailbox.ids(deployment.host(region, 0), "inbox").await);
    }
    let missing: Vec<_> = acknowledged.difference(&elsewhere).collect();
    assert!(missing.is_empty(), "{missing:?} are missing elsewhere");

    // The region comes back with an empty disk, and has all again before it takes anything.
    deployment.regions[EU].nats.restart().await;
    deployment.start_host(EU, 0).await;
    let last = mailbox.deposit_once(wav, "after-the-loss");
    let answer = until(deployment.host(EU, 0), &last, |answer| answer.status == 201).await;
    acknowledged.insert(created_id(&answer));
    for region in [EU, US, AP] {
        shows(deployment.host(region, 0), &mailbox, "inbox", &acknowledged).await;
    }
}

#[tokio::test]
async fn writers_of_one_mailbox_on_two_hosts_lose_nothing() {
    const WRITERS: u64 = 8;
    const EACH: u64 = 10;

    let deployment = Deployment::start(&Shape { hosts: 2, ..TWO }).await;
    let mailbox = Mailbox::create(deployment.host(EU, 0), "anna").await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let host = usize::try_from(writer % 2).expect("0 or 1");
        let address = deployment.host(EU, host).address();
        let mailbox = mailbox.clone();
        writers.spawn(async move {
            let mut ids = Vec::new();
            for number in 0..EACH {
                let wav = tagged(speech(Encoding::MuLaw), writer * EACH + number);
                let deposit = mailbox.deposit_once(wav, &format!("{writer}-{number}"));
                let deposited = async {
                    loop {
                        match try_call(address, &deposit).await {
                            Some(answer) if answer.status == 201 => return created_id(&answer),
                            _ => tokio::time::sleep(POLL).await,
                        }
                    }
                };
                ids.push(timeout(PATIENCE, deposited).await.expect("it is taken"));
            }
            ids
        });
    }
    let mut ids = BTreeSet::new();
    while let Some(written) = writers.join_next().await {
        ids.extend(written.expect("the writer ends"));
    }
    assert_eq!(ids.len() as u64, WRITERS * EACH);
    for (region, host) in [(EU, 0), (EU, 1), (US, 0), (US, 1)] {
        shows(deployment.host(region, host), &mailbox, "inbox", &ids).await;
    }
}

#[tokio::test]
async fn region_is_added_to_a_running_system_and_retired_for_good() {
    let (eu_nats, us_nats) = (NatsServer::start().await, NatsServer::start().await);
    let system = |region: &str, nats: &NatsServer| {
        format!("[regions.{region}.nats]\nservers = [\"{}\"]\n", nats.url())
    };
    let config = |own: &str, regions: &[String]| {
        format!(
            "region = \"{own}\"\n{}[key_value_store.default]\ntype = \"nats\"\nsync_always = true\n",
            regions.concat()
        )
    };
    let (eu_system, us_system) = (system("eu", &eu_nats), system("us", &us_nats));
    let wav = speech(Encoding::MuLaw);

    // One region, which knows of no other.
    let (eu_app, us_app) = (App::voicemail(), App::voicemail());
    let alone = config("eu", std::slice::from_ref(&eu_system));
    let eu = eu_app.launch_with(&alone).start().await;
    let mailbox = Mailbox::create(&eu, "anna").await;
    let mut ids = BTreeSet::from([mailbox.leave(&eu, wav).await]);
    eu.stop().await;

    // It is told of another, which then begins.
    let both = [eu_system.clone(), us_system];
    let eu = eu_app.launch_with(&config("eu", &both)).start().await;
    shows(&eu, &mailbox, "inbox", &ids).await;
    let us = us_app.launch_with(&config("us", &both)).start().await;
    shows(&us, &mailbox, "inbox", &ids).await;
    ids.insert(mailbox.leave(&us, wav).await);
    shows(&eu, &mailbox, "inbox", &ids).await;

    // The other is removed for good; what came from it stays.
    us.stop().await;
    us_nats.stop();
    eu.stop().await;
    let retired = [eu_system, "[regions.us]\n".to_owned()];
    let eu = eu_app.launch_with(&config("eu", &retired)).start().await;
    shows(&eu, &mailbox, "inbox", &ids).await;
    assert!(
        eu.regions().await.contains("retired"),
        "{}",
        eu.regions().await
    );
    ids.insert(mailbox.leave(&eu, wav).await);
    shows(&eu, &mailbox, "inbox", &ids).await;
}

#[tokio::test]
async fn regions_command_and_metrics_tell_how_the_regions_stand() {
    let deployment = Deployment::start(&TWO).await;
    let eu = deployment.host(EU, 0);
    let mailbox = Mailbox::create(deployment.host(US, 0), "anna").await;
    shows(eu, &mailbox, "inbox", &BTreeSet::new()).await;
    let told = async |wanted: &str| {
        let told = async {
            loop {
                let text = eu.regions().await;
                if text.contains(wanted) {
                    return text;
                }
                tokio::time::sleep(POLL).await;
            }
        };
        timeout(PATIENCE, told).await
    };
    let text = told("complete").await.expect("the replica is complete");
    assert!(
        text.contains("store default in region eu: in order"),
        "{text}"
    );
    let metrics = Call::get("/metrics")
        .send_to(eu.admin())
        .await
        .expect(200)
        .text();
    let labels = "starling_store_label=\"default\",starling_replication_origin=\"us\"";
    assert!(
        metrics.contains(&format!("starling_replication_reachable{{{labels}}} 1.0")),
        "{metrics}"
    );
    deployment.isolate(EU);
    told("unreachable")
        .await
        .expect("the origin is told to be unreachable");
}

#[tokio::test]
async fn configuration_that_does_not_fit_is_refused_at_the_start() {
    let app = App::voicemail();
    for (config, said) in [
        ("[key_value_store.default]\ntype = \"nats\"\n", "region ="),
        ("[regions.eu]\n", "say region"),
        (
            "region = \"eu\"\n[regions.eu]\n[key_value_store.default]\ntype = \"nats\"\n",
            "[regions.eu.nats]",
        ),
        (
            "region = \"eu\"\n[regions.eu.nats]\nservers = [\"nats://u:secret@127.0.0.1:1\"]\n\
             [key_value_store.default]\ntype = \"nats\"\n",
            "holds credentials",
        ),
        (
            "region = \"eu\"\n[regions.eu.nats]\nservers = [\"nats://127.0.0.1:1\"]\n\
             [key_value_store.default]\ntype = \"nats\"\nacks = \"geo\"\n",
            "second region",
        ),
    ] {
        let refusal = app.launch_with(config).refused().await;
        assert!(
            refusal.stderr.contains(said),
            "{config}: {}",
            refusal.stderr
        );
        assert!(!refusal.stderr.contains("secret"), "{}", refusal.stderr);
    }
}

/// A host starts without its region's server, and serves once it is there.
#[tokio::test]
async fn host_starts_before_its_server() {
    let mut deployment = Deployment::start(&Shape {
        regions: &["eu"],
        ..TWO
    })
    .await;
    deployment.kill_host(EU, 0).await;
    deployment.regions[EU].nats.kill();
    deployment.start_host(EU, 0).await;
    let put = Call::put("/v1/mailboxes/anna").json(&json!({}));
    let refused = try_call(deployment.host(EU, 0).address(), &put).await;
    refused.expect("an answer").problem(503);
    deployment.regions[EU].nats.restart().await;
    until(deployment.host(EU, 0), &put, |answer| {
        answer.status.is_success()
    })
    .await;
}

/// What a pause of a server looks like from outside: an answer in time, and none that is wrong.
#[tokio::test]
async fn server_that_hangs_delays_a_deposit_and_loses_none() {
    let deployment = Deployment::start(&Shape {
        regions: &["eu"],
        ..TWO
    })
    .await;
    let host = deployment.host(EU, 0);
    let mailbox = Mailbox::create(host, "anna").await;
    let nats = &deployment.regions[EU].nats;
    nats.pause();
    let wav = speech(Encoding::MuLaw);
    let mut ids = BTreeSet::new();
    for number in 0..3 {
        let deposit = mailbox.deposit_once(tagged(wav, number), &number.to_string());
        let answer = until(host, &deposit, |answer| {
            matches!(answer.status.as_u16(), 201 | 202)
        })
        .await;
        ids.insert(answer.json()["id"].as_str().expect("an id").to_owned());
    }
    nats.resume();
    shows(host, &mailbox, "inbox", &ids).await;
}
