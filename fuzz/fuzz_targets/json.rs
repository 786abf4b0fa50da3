//! What clients send beside audio: the members of JSON bodies, the parameters of queries, headers.
//! Nothing of it panics, and what is taken keeps its limits.

#![no_main]

use libfuzzer_sys::fuzz_target;
use starling_mailbox::{
    MESSAGE_MS_MAX_MAX, QUOTA_BYTES_MAX, QUOTA_MESSAGES_MAX, RETENTION_DAYS_MAX,
    WEBHOOK_URL_BYTES_MAX, WEBHOOKS_MAX,
};
use voicemail::fuzzing;

fuzz_target!(|input: &[u8]| {
    if let Some(change) = fuzzing::settings(input) {
        let within = |value: Option<u64>, max| value.is_none_or(|it| (1..=max).contains(&it));
        let quota_messages = change.quota_messages.map(u64::from);
        let retention_days = change.retention_days.map(u64::from);
        assert!(within(quota_messages, QUOTA_MESSAGES_MAX.into()));
        assert!(within(change.quota_bytes, QUOTA_BYTES_MAX));
        assert!(within(retention_days, RETENTION_DAYS_MAX.into()));
        assert!(within(change.message_ms_max, MESSAGE_MS_MAX_MAX));
        let webhooks = change.webhooks.unwrap_or_default();
        assert!(webhooks.len() <= WEBHOOKS_MAX);
        for webhook in webhooks {
            assert!(webhook.url.len() <= WEBHOOK_URL_BYTES_MAX);
            assert!(webhook.url.is_ascii());
        }
    }
    fuzzing::json(input);
    if let Ok(text) = std::str::from_utf8(input) {
        fuzzing::query(text);
        fuzzing::headers(text);
    }
});
