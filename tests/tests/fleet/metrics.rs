//! What a managed host tells Prometheus.

use starling_tests::client::Call;
use starling_tests::deployment::until;
use starling_tests::versions::{annotated, guest};

use super::{Artifact, PAIR, at_once, start};

#[tokio::test]
async fn metrics_tell_of_requests_versions_stores_and_rollouts() {
    let deployment = start(&PAIR).await;
    let host = deployment.host(0, 0);
    until(host, &Call::get("/hello"), |answer| answer.status == 200).await;
    until(host, &Call::get("/status?code=503"), |answer| {
        answer.status == 503
    })
    .await;
    let next = Artifact::new(&annotated(guest(), "next"));
    let words = at_once("guest", next.path());
    let rollout = host.operator().run(&words).await;
    let (id, digest) = (
        rollout["id"].as_str().unwrap(),
        rollout["digest"].as_str().unwrap(),
    );
    let answer = Call::get("/metrics").send_to(host.admin()).await;
    let text = answer.text();
    for line in [
        "starling_host_ready 1.0".to_owned(),
        "http_server_request_duration_seconds_count{http_request_method=\"GET\",http_route=\"/...\",\
         http_response_status_code=\"503\"} 1"
            .to_owned(),
        format!(
            "starling_component_traffic_share{{starling_component_name=\"guest\",\
             starling_component_version=\"{digest}\"}} 1.0"
        ),
        format!(
            "starling_rollout_steps{{starling_component_name=\"guest\",starling_rollout_id=\"{id}\",\
             starling_rollout_state=\"done\"}} 1.0"
        ),
    ] {
        assert!(text.lines().any(|other| other == line), "{line} in {text}");
    }
    for beginning in [
        "db_client_operation_duration_seconds_bucket{le=\"0.0005\",starling_store_label=\"fleet\",\
         db_operation_name=\"get\"}",
        "starling_component_instances{starling_component_name=\"management\"",
        "starling_component_requests_total{starling_component_name=\"guest\"",
    ] {
        let found = text.lines().any(|line| line.starts_with(beginning));
        assert!(found, "{beginning} in {text}");
    }
}
