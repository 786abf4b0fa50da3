//! What a server is, before anything is entrusted to it.

use std::collections::HashMap;

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind};

/// What the server tells about itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Server {
    /// An acknowledgement means the disk.
    pub(crate) durable: bool,
    /// Why it cannot be used at all.
    pub(crate) unfit: Option<String>,
}

impl Server {
    /// Asks the server. What it may not tell counts as the worse for durability and as the better for use.
    ///
    /// # Errors
    ///
    /// Those of the connection.
    pub(crate) async fn inspect(connection: &mut MultiplexedConnection) -> RedisResult<Self> {
        let info: String = told(redis::cmd("INFO").query_async(connection).await)?;
        let mut settings = HashMap::new();
        for name in ["appendonly", "appendfsync", "no-appendfsync-on-rewrite"] {
            let mut get = redis::cmd("CONFIG");
            let told: HashMap<String, String> =
                told(get.arg("GET").arg(name).query_async(connection).await)?;
            settings.extend(told);
        }
        Ok(Self {
            durable: is_durable(&settings),
            unfit: unfit(&info),
        })
    }
}

/// What the server answered; nothing, where it does not let this user ask, or anybody.
fn told<T: Default>(answer: RedisResult<T>) -> RedisResult<T> {
    let withheld = |error: &RedisError| {
        use ServerErrorKind::{NoPerm, ResponseError};
        matches!(error.kind(), ErrorKind::Server(NoPerm | ResponseError))
    };
    match answer {
        Err(error) if withheld(&error) => Ok(T::default()),
        answer => answer,
    }
}

fn is_durable(settings: &HashMap<String, String>) -> bool {
    [
        ("appendonly", "yes"),
        ("appendfsync", "always"),
        // Otherwise nothing is synced while the log is rewritten, which takes minutes.
        ("no-appendfsync-on-rewrite", "no"),
    ]
    .iter()
    .all(|(name, value)| settings.get(*name).is_some_and(|set| set == value))
}

fn unfit(info: &str) -> Option<String> {
    let field = |name: &str| {
        info.lines()
            .filter_map(|line| line.split_once(':'))
            .find_map(|(field, value)| (field == name).then(|| value.trim()))
    };
    if field("cluster_enabled") == Some("1") {
        return Some(
            "it is part of a cluster, where a batch of keys cannot be written as one".to_owned(),
        );
    }
    if field("role") == Some("slave") {
        return Some("it is a replica, which takes no writes; name the primary".to_owned());
    }
    let policy = field("maxmemory_policy").filter(|policy| policy.starts_with("allkeys-"));
    if let Some(policy) = policy
        && field("maxmemory") != Some("0")
    {
        return Some(format!(
            "it evicts keys when its memory is full (maxmemory-policy {policy}); set noeviction"
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_durable_only_where_each_write_is_synced() {
        let settings = |texts: &[(&str, &str)]| {
            let owned = texts
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            is_durable(&owned.collect())
        };
        let always = [
            ("appendonly", "yes"),
            ("appendfsync", "always"),
            ("no-appendfsync-on-rewrite", "no"),
        ];
        assert!(settings(&always));
        assert!(!settings(&[]));
        for (number, other) in ["no", "everysec", "yes"].iter().enumerate() {
            let mut changed = always;
            changed[number].1 = other;
            assert!(!settings(&changed), "{changed:?}");
        }
    }

    #[test]
    fn servers_that_lose_or_refuse_writes_are_unfit() {
        let check = |info: &str, word: Option<&str>| match (unfit(info), word) {
            (None, None) => {}
            (Some(reason), Some(word)) => assert!(reason.contains(word), "{reason}"),
            (reason, _) => panic!("{info:?}: {reason:?}"),
        };
        check("", None);
        check(
            "role:master\r\ncluster_enabled:0\r\nmaxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n",
            None,
        );
        check("maxmemory:100\r\nmaxmemory_policy:noeviction\r\n", None);
        check("maxmemory:100\r\nmaxmemory_policy:volatile-lru\r\n", None);
        check(
            "maxmemory:100\r\nmaxmemory_policy:allkeys-lru\r\n",
            Some("allkeys-lru"),
        );
        check("role:slave\r\n", Some("replica"));
        check("cluster_enabled:1\r\n", Some("cluster"));
    }
}
