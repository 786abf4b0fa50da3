//! What connections may do and may not, with a clock that is moved by hand.

use futures::FutureExt as _;

use super::*;
use crate::limits::Limits;

const SECOND: Duration = Duration::from_secs(1);

fn activity(limits: Limits) -> Arc<Activity> {
    Arc::new(Activity::new(Arc::new(Bounds {
        limits,
        ..Bounds::default()
    })))
}

fn with_timeouts(header: Duration, idle: Duration) -> Arc<Activity> {
    activity(Limits {
        header_timeout: header,
        idle_timeout: idle,
        ..Limits::default()
    })
}

/// What time it is when the connection is to be closed, counted from now, and at which limit.
async fn closes(activity: &Activity) -> (Duration, Limit) {
    let begun = tokio::time::Instant::now();
    let limit = activity.outstayed().await;
    (begun.elapsed(), limit)
}

#[tokio::test(start_paused = true)]
async fn a_connection_has_the_time_of_a_head_for_its_first_request() {
    let activity = with_timeouts(4 * SECOND, 60 * SECOND);
    activity.received(5).unwrap();
    let (after, limit) = closes(&activity).await;
    assert_eq!(limit, Limit::HeaderTimeout);
    assert!((4 * SECOND..=6 * SECOND).contains(&after), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_has_longer() {
    let activity = with_timeouts(4 * SECOND, 60 * SECOND);
    drop(activity.begin(Version::HTTP_11));
    let (after, limit) = closes(&activity).await;
    assert_eq!(limit, Limit::IdleTimeout);
    assert!((60 * SECOND..=62 * SECOND).contains(&after), "{after:?}");
    activity.received(1).unwrap();
    assert_eq!(closes(&activity).await.1, Limit::HeaderTimeout);
}

#[tokio::test(start_paused = true)]
async fn in_a_crowd_an_idle_connection_has_as_long_as_a_head() {
    let activity = with_timeouts(4 * SECOND, 60 * SECOND);
    drop(activity.begin(Version::HTTP_11));
    activity.bounds.crowded.store(true, Relaxed);
    let (after, limit) = closes(&activity).await;
    assert_eq!(limit, Limit::IdleTimeout);
    assert!((4 * SECOND..=6 * SECOND).contains(&after), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_keeps_its_connection_open() {
    let activity = with_timeouts(SECOND, SECOND);
    let request = activity.begin(Version::HTTP_11);
    tokio::time::timeout(600 * SECOND, activity.outstayed())
        .await
        .unwrap_err();
    drop(request);
    assert_eq!(closes(&activity).await.1, Limit::IdleTimeout);
}

#[tokio::test(start_paused = true)]
async fn pings_do_not_keep_a_connection_open() {
    let activity = with_timeouts(4 * SECOND, 60 * SECOND);
    drop(activity.begin(Version::HTTP_2));
    let pings = async {
        loop {
            activity.received(17).unwrap();
            tokio::time::sleep(SECOND).await;
        }
    };
    let limit = tokio::select! {
        limit = activity.outstayed() => limit,
        () = pings => unreachable!("they do not end"),
    };
    assert_eq!(limit, Limit::IdleTimeout);
}

fn with_resets(resets: u32) -> Arc<Activity> {
    activity(Limits {
        http2_resets_max: resets,
        ..Limits::default()
    })
}

fn is_abused(activity: &Activity) -> bool {
    activity.abused.notified().now_or_never().is_some()
}

#[test]
fn a_client_may_cancel_as_much_as_it_lets_end_and_a_little_more() {
    let activity = with_resets(2);
    for _ in 0..10 {
        drop(activity.begin(Version::HTTP_2));
        activity.begin(Version::HTTP_2).is_whole();
    }
    drop(activity.begin(Version::HTTP_2));
    drop(activity.begin(Version::HTTP_2));
    assert!(!is_abused(&activity));
    drop(activity.begin(Version::HTTP_2));
    assert!(is_abused(&activity));
}

#[test]
fn what_ended_long_ago_lets_nobody_cancel_without_bound() {
    let activity = with_resets(1);
    for _ in 0..1_000 {
        activity.begin(Version::HTTP_2).is_whole();
    }
    drop(activity.begin(Version::HTTP_2));
    assert!(!is_abused(&activity));
    drop(activity.begin(Version::HTTP_2));
    assert!(is_abused(&activity));
}

#[test]
fn bytes_of_no_request_are_bounded() {
    let activity = activity(Limits {
        http2_flood_bytes_max: 100,
        ..Limits::default()
    });
    for _ in 0..10 {
        activity.received(100).unwrap();
        activity.progress();
    }
    activity.received(100).unwrap();
    let error = activity.received(1).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
    assert_eq!(activity.bounds.reached.get(Limit::Http2Flood), 1);
}

#[test]
fn a_connection_that_is_full_is_counted() {
    let activity = activity(Limits {
        http2_streams_max: 2,
        ..Limits::default()
    });
    let first = activity.begin(Version::HTTP_2);
    assert_eq!(activity.bounds.reached.get(Limit::Http2Streams), 0);
    let second = activity.begin(Version::HTTP_2);
    assert_eq!(activity.bounds.reached.get(Limit::Http2Streams), 1);
    drop((first, second));
}

/// Whether it comes to rest within a minute.
async fn rests(activity: &Activity) -> bool {
    let rested = tokio::time::timeout(60 * SECOND, activity.rested()).await;
    rested.is_ok()
}

#[tokio::test(start_paused = true)]
async fn a_connection_rests_when_nothing_is_begun_or_left() {
    let activity = activity(Limits::default());
    assert!(!rests(&activity).await, "it owes its first request");
    let request = activity.begin(Version::HTTP_11);
    assert!(!rests(&activity).await, "a request is under way");
    drop(request);
    assert!(rests(&activity).await);
    activity.blocked();
    assert!(!rests(&activity).await, "the client has not taken all");
    activity.note_unsent(false);
    assert!(rests(&activity).await);
    activity.received(1).unwrap();
    assert!(!rests(&activity).await, "a head has begun");
}

#[test]
fn those_who_are_refused_together_do_not_come_back_together() {
    let bounds = Arc::new(Bounds::default());
    let mut pauses: Vec<_> = (0..100)
        .map(|_| {
            let activity = Arc::new(Activity::new(bounds.clone()));
            activity.refused();
            activity.take_pause().unwrap()
        })
        .collect();
    pauses.sort();
    assert!(pauses[0] >= PAUSE && pauses[99] < 2 * PAUSE);
    for pair in pauses.windows(2) {
        assert!(pair[1] - pair[0] < PAUSE / 25, "{pair:?}");
    }
}
