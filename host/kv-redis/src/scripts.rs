//! The writes, as scripts that the server runs whole and one at a time.

use bytes::BufMut as _;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, RedisResult, RedisWrite as _, Script, ServerErrorKind, Value};

/// How many bytes of what a key holds are its version.
pub(crate) const VERSION_BYTES: usize = 8;

/// Takes the next version. `KEYS[1]` holds the last one. Numbers are exact up to 2^53, which is microseconds until the
/// year 2255.
const NEXT_VERSION: &str = "\
local time = redis.call('TIME')
local last = tonumber(redis.call('GET', KEYS[1]) or 0)
local version = math.max(last + 1, time[1] * 1000000 + time[2])
redis.call('SET', KEYS[1], string.format('%.0f', version))
local stamp = struct.pack('>I8', version)
";

/// Writes `ARGV[i]` to `KEYS[i + 1]`, all as one version, and returns it. Values come with room for the version before
/// them: to put the two together here would take Lua three times as long as all the rest.
const SET: &str = "\
for number, value in ipairs(ARGV) do
  redis.call('SET', KEYS[number + 1], value)
  redis.call('SETRANGE', KEYS[number + 1], 0, stamp)
end
return version
";

/// Goes on where `KEYS[2]` has the version `ARGV[1]`, or is missing where that is empty. Otherwise returns what it holds.
const EXPECT: &str = "\
if redis.call('GETRANGE', KEYS[2], 0, 7) ~= ARGV[1] then
  return redis.call('GET', KEYS[2])
end
";

/// Writes `ARGV[2]` to `KEYS[2]`, and returns its version.
const SWAP: &str = "\
redis.call('SET', KEYS[2], ARGV[2])
redis.call('SETRANGE', KEYS[2], 0, stamp)
return version
";

/// The scripts of a store.
#[derive(Debug)]
pub(crate) struct Scripts {
    set: Script,
    swap: Script,
}

impl Scripts {
    pub(crate) fn new() -> Self {
        Self {
            set: Script::new(&[NEXT_VERSION, SET].concat()),
            swap: Script::new(&[EXPECT, NEXT_VERSION, SWAP].concat()),
        }
    }

    /// Writes values to keys. Answers with a version.
    pub(crate) async fn set<'e>(
        &self,
        connection: &mut MultiplexedConnection,
        versions: &str,
        entries: impl ExactSizeIterator<Item = (&'e [u8], &'e [u8])> + Clone,
    ) -> RedisResult<Value> {
        let mut call = call(&self.set, entries.len() + 1, versions);
        for (key, _) in entries.clone() {
            call.arg(key);
        }
        for (_, value) in entries {
            add_value(&mut call, value);
        }
        run(&self.set, &call, connection).await
    }

    /// Writes a value if its key holds `expected`. Answers with a version, or else with what the key holds.
    pub(crate) async fn swap(
        &self,
        connection: &mut MultiplexedConnection,
        versions: &str,
        key: &[u8],
        expected: &[u8],
        value: &[u8],
    ) -> RedisResult<Value> {
        let mut call = call(&self.swap, 2, versions);
        call.arg(key).arg(expected);
        add_value(&mut call, value);
        run(&self.swap, &call, connection).await
    }
}

/// The beginning of a call: the script's digest, the number of its keys and the first of them.
fn call(script: &Script, keys: usize, versions: &str) -> Cmd {
    let mut call = redis::cmd("EVALSHA");
    call.arg(script.get_hash()).arg(keys).arg(versions);
    call
}

/// Adds a value with room for its version.
fn add_value(call: &mut Cmd, value: &[u8]) {
    let mut argument = call.bufmut_for_next_arg(VERSION_BYTES + value.len());
    argument.put_bytes(0, VERSION_BYTES);
    argument.put_slice(value);
}

/// Runs a script, and brings it to the server where that does not have it: at first, and after a restart.
async fn run(
    script: &Script,
    call: &Cmd,
    connection: &mut MultiplexedConnection,
) -> RedisResult<Value> {
    match call.query_async(connection).await {
        Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
            script.load_async(connection).await?;
            call.query_async(connection).await
        }
        answer => answer,
    }
}
