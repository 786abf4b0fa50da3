//! The store itself: the trait, in the server's commands.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use redis::{Cmd, FromRedisValue, Value};
use starling_kv::{Capabilities, Entry, Error, Page, Result, Store, Swap, Version};

use crate::config::Config;
use crate::connect::Connector;
use crate::cursor::{Cursor, escape};
use crate::failure::{OpenError, failure};
use crate::link::Link;
use crate::scripts::{Scripts, VERSION_BYTES};

/// How many keys of the server one `SCAN` looks at, at most. It occupies the server for some tenths of a millisecond.
const SCAN_KEYS_MAX: usize = 1_000;

/// How often one page of a listing asks the server, at most: a page ends in bounded time, full or not.
const SCANS_MAX: usize = 200;

/// A store on a Redis or Valkey server.
///
/// Dropping it ends its connections.
pub struct RedisStore {
    link: Link,
    scripts: Scripts,
    /// What the server's name of a key begins with.
    keys: String,
    /// The server's key of the last version.
    versions: String,
}

impl RedisStore {
    /// Connects to the server that `config` names. Blocks until it has answered, some seconds at most.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: also where the server is away. It may be later on.
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        config.check_namespace()?;
        Ok(Self {
            link: Link::open(Connector::new(config)?)?,
            scripts: Scripts::new(),
            keys: format!("{}:k:", config.namespace),
            versions: format!("{}:v", config.namespace),
        })
    }

    /// The server's name of a key.
    fn name(&self, key: &str) -> String {
        [&self.keys, key].concat()
    }

    /// A command with the server's names of `keys`.
    fn command(&self, name: &str, keys: &[String]) -> Cmd {
        let mut command = redis::cmd(name);
        for key in keys {
            command.arg(self.name(key));
        }
        command
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        let mut connection = self.link.connection()?;
        command.query_async(&mut connection).await.map_err(failure)
    }

    /// One step of a listing: the keys of a part of the server's table, each once, and where the next part begins; 0 is
    /// the end.
    async fn scan(&self, from: u64, pattern: &str, count: usize) -> Result<(u64, Vec<String>)> {
        let mut scan = redis::cmd("SCAN");
        scan.arg(from)
            .arg("MATCH")
            .arg(pattern)
            .arg("COUNT")
            .arg(count);
        let (next, names): (u64, Vec<Vec<u8>>) = self.ask(&scan).await?;
        let key = |name: Vec<u8>| {
            let name = String::from_utf8(name).map_err(|_| corrupt("a key is not UTF-8"))?;
            match name.strip_prefix(&self.keys) {
                Some(key) => Ok(key.to_owned()),
                None => Err(corrupt("a key of another namespace was listed")),
            }
        };
        let mut keys = names.into_iter().map(key).collect::<Result<Vec<_>>>()?;
        keys.sort_unstable();
        keys.dedup();
        Ok((next, keys))
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>> {
        entry(self.ask(redis::cmd("GET").arg(self.name(key))).await?)
    }

    async fn set(&self, key: &str, value: Bytes) -> Result<Version> {
        let name = self.name(key);
        let entries = std::iter::once((name.as_bytes(), value.as_ref()));
        let mut connection = self.link.connection()?;
        let answer = self
            .scripts
            .set(&mut connection, &self.versions, entries)
            .await;
        version(answer.map_err(failure)?)
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.ask(redis::cmd("UNLINK").arg(self.name(key))).await
    }

    async fn exists(&self, key: &str) -> Result<bool> {
        self.ask(redis::cmd("EXISTS").arg(self.name(key))).await
    }

    async fn compare_and_swap(
        &self,
        key: &str,
        expected: Option<Version>,
        value: Bytes,
    ) -> Result<Swap> {
        let expected = expected.map(|version| version.get().to_be_bytes());
        let expected = expected.as_ref().map_or(&[] as &[u8], |bytes| bytes);
        let name = self.name(key);
        let mut connection = self.link.connection()?;
        let answer = self
            .scripts
            .swap(
                &mut connection,
                &self.versions,
                name.as_bytes(),
                expected,
                &value,
            )
            .await;
        match answer.map_err(failure)? {
            held @ (Value::Nil | Value::BulkString(_)) => Ok(Swap::Lost(entry(held)?)),
            answer => Ok(Swap::Swapped(version(answer)?)),
        }
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Entry>>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let values: Vec<Value> = self.ask(&self.command("MGET", keys)).await?;
        values.into_iter().map(entry).collect()
    }

    async fn set_many(&self, entries: Vec<(String, Bytes)>) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = entries.iter().map(|(key, _)| self.name(key)).collect();
        let named = names
            .iter()
            .zip(&entries)
            .map(|(name, (_, value))| (name.as_bytes(), value.as_ref()));
        let mut connection = self.link.connection()?;
        let answer = self
            .scripts
            .set(&mut connection, &self.versions, named)
            .await;
        version(answer.map_err(failure)?).map(drop)
    }

    async fn delete_many(&self, keys: &[String]) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        self.ask(&self.command("UNLINK", keys)).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page> {
        let pattern = format!("{}*", escape(&self.name(prefix)));
        let mut cursor = after.map_or_else(|| Ok(Cursor::default()), Cursor::parse)?;
        let mut page = Page::default();
        let mut count = limit.clamp(1, SCAN_KEYS_MAX);
        for _ in 0..SCANS_MAX {
            let (next, keys) = self.scan(cursor.scan, &pattern, count).await?;
            let new = || keys.iter().filter(|key| !cursor.has_taken(key)).cloned();
            let room = limit - page.keys.len();
            let found = new().count();
            if found <= room {
                page.keys.extend(new());
                if next == 0 {
                    return Ok(page);
                }
                cursor.advance(next, &keys);
                if page.keys.len() == limit {
                    break;
                }
                // Most of the database may be others' keys.
                if 2 * found < count {
                    count = (2 * count).min(SCAN_KEYS_MAX);
                }
            } else if cursor.has_room(room) {
                let taken: Vec<String> = new().take(room).collect();
                taken.iter().for_each(|key| cursor.take(key));
                page.keys.extend(taken);
                break;
            } else if count > 1 {
                count = (count / 2).min(room).max(1);
            } else if page.keys.is_empty() {
                // More keys in the smallest part of the table than a cursor holds: it is about to be resized.
                return Err(Error::unavailable("the server's table is being resized"));
            } else {
                break;
            }
        }
        page.next = Some(cursor.print());
        Ok(page)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            durable: self.link.is_durable(),
            replicas: false,
            compare_and_swap: true,
            ordered_listing: false,
            atomic_batches: true,
        }
    }
}

/// What a key holds: its version and its value.
fn entry(held: Value) -> Result<Option<Entry>> {
    match held {
        Value::Nil => Ok(None),
        Value::BulkString(held) => {
            let held = Bytes::from(held);
            let Some(version) = held.first_chunk::<VERSION_BYTES>() else {
                return Err(corrupt("a key holds no version"));
            };
            Ok(Some(Entry {
                version: Version::new(u64::from_be_bytes(*version)),
                value: held.slice(VERSION_BYTES..),
            }))
        }
        other => Err(unexpected(&other)),
    }
}

fn version(answer: Value) -> Result<Version> {
    match answer {
        Value::Int(number) => u64::try_from(number)
            .map(Version::new)
            .map_err(|_| corrupt("a version is negative")),
        other => Err(unexpected(&other)),
    }
}

fn corrupt(detail: &str) -> Error {
    Error::Corrupt {
        detail: detail.to_owned(),
    }
}

/// An answer of the wrong kind. What it holds is not printed: it may be a value.
fn unexpected(answer: &Value) -> Error {
    let kind = match answer {
        Value::Nil => "nothing",
        Value::Int(_) => "a number",
        Value::BulkString(_) => "bytes",
        Value::Array(_) => "a list",
        _ => "something else",
    };
    Error::other(format!("the server answered with {kind}"))
}
