//! What `cargo xtask help` prints. One text for each command, beside each other so that they stay alike.

use crate::step::Failure;

/// The answer to `cargo xtask`, `cargo xtask help` and `cargo xtask --help`.
pub(crate) const OVERVIEW: &str = "\
The chores of Starling.

Usage: cargo xtask <command>

Commands:
  build   compile the host and the components
  up      build, then serve spin.toml with the host just built
  regions several regions on this machine, to be tried out and broken by hand
  test    everything that must hold before a change is merged; CI runs this
  servers fetch the servers that tests start, and say where they are
  fuzz    try generated inputs on everything that reads bytes from outside
  chaos   kill servers, hosts and links of three regions for as long as you like, and look for what was lost
  bench   measure, and print a table
  growth  measure time and memory against how much there is, and plot them
  soak    load a host for an hour, and fail if anything grows or gets lost
  help    explain a command: `cargo xtask help test`

Start here:
  cargo xtask up                    then follow the tour in README.md
  cargo xtask regions               then follow `Five minutes with several regions` there
  cargo xtask test                  about 25 minutes the first time on two cores, minutes afterwards
  cargo xtask test mailbox          only the tests with `mailbox` in their name

Environment:
  STARLING_GUEST_TOOLCHAIN   what compiles components: auto (default), rustup or debian; `cargo xtask help build`
  CARGO_TARGET_DIR           where cargo puts its output instead of target/
  NO_COLOR                   set to anything: never colour the output
";

const BUILD: &str = "\
Compile the host and the components, both in release.

Usage: cargo xtask build [--guests] [--tests]

Options:
  --guests   the components alone
  --tests    also the component that only the tests use

Makes:
  target/release/starling                        the host
  target/wasm32-wasip2/release/voicemail.wasm    the application, as named in spin.toml
  target/wasm32-wasip2/release/management.wasm   the management of a fleet

Components need a standard library for wasm32-wasip2. The first of these that works is taken:
  1. the target is installed in the Rust toolchain in use;
  2. the Debian packages of 4. are installed already;
  3. `rustup target add wasm32-wasip2` succeeds;
  4. on Debian 12 or later, the packages rustc-web, cargo-web, rust-web-src and wasi-libc are installed
     (as root, or through sudo; without either, the commands to run are printed) and the standard
     library is compiled from its source, once, in about a minute.
Whatever gets installed is announced first, and a second run installs nothing.

Environment:
  STARLING_GUEST_TOOLCHAIN=auto     as above
  STARLING_GUEST_TOOLCHAIN=rustup   1. and 3. only
  STARLING_GUEST_TOOLCHAIN=debian   2. and 4. only
";

const UP: &str = "\
Build, then serve spin.toml with the host just built.

Usage: cargo xtask up [-- <arguments of `starling up`>]

Examples:
  cargo xtask up
  cargo xtask up -- --listen 127.0.0.1:0
  cargo xtask up -- --runtime-config-file edge.toml --state-dir /var/tmp/starling
  cargo xtask up -- --help          what `starling up` takes

Ctrl-C reaches the host, which finishes what is in flight and exits; its exit code is passed on.
";

const REGIONS: &str = "\
Build, then run several regions on this machine: each a NATS server of its own and some hosts. Kill them, start them,
and see how they stand and catch up.

Usage: cargo xtask regions [<options>]

Options:
  --regions <names>        comma-separated; eu,us,ap unless given
  --hosts-per-region <n>   1 to 10; 2 unless given
  --base-port <n>          where the first host serves; 3100 unless given. The next region's hosts begin 10 above: with
                           the defaults, eu has 3100 and 3101, us 3110 and 3111, ap 3120 and 3121. 0 takes free ports
  --folder <path>          state, logs and configuration; target/regions unless given
  --keep                   go on with the state of the last time; otherwise every start begins with nothing
  --no-build               serve what was built before

It prints where every host serves, and then a line whenever a region comes to stand otherwise. Type, a line each:
  kill eu                  SIGKILL to its server and hosts, as if the site were lost; `start eu` starts what is down
  kill-nats eu             SIGKILL to its server alone: its hosts keep deposits in their spools; `start-nats eu`
  status, help, quit

Nobody is asked for a token. Try, in another terminal:
  eu=http://127.0.0.1:3100/v1/mailboxes/anna
  us=http://127.0.0.1:3110/v1/mailboxes/anna
  curl -X PUT $eu
  curl $eu/messages -H 'Content-Type: audio/wav' --data-binary @tests/fixtures/hello.wav
  curl $us/messages
  target/release/starling regions --state-dir target/regions/us/host-0

In target/regions/<region> are edge.toml, the hosts' configuration, which is an example to begin with; host-<n>, the
state of a host, and host-<n>.log, what it logs; nats and nats.log, the same of the server.

`quit`, Ctrl-C and SIGTERM let the hosts finish what is in flight, and end the servers after them; twice ends everything
at once. However this program ends, they end with it. Where no terminal types, it goes on when its input has ended.
";

const TEST: &str = "\
Everything that must hold before a change is merged. CI runs exactly this.

Usage: cargo xtask test [<filter>...]

In order, stopping at the first failure with the command to run again:
  tools       espeak-ng, sox and curl, which make and fetch the speech that is deposited, and a C++ compiler
              for the fuzzer; missing ones are installed on Debian (as root, or through sudo), after saying so.
              And schemathesis, which tries the API by its document, in a virtual environment in target/python
  servers     nats-server, redis-server and docker-registry, as `cargo xtask servers`
  format      cargo fmt --check
  build       the host, the components and the tests' own component, as `cargo xtask build --tests`
  clippy      every package, warnings are errors
  unit tests  the small packages in the dev profile; those that link wasmtime in release, where it is built anyway
  fuzzing     every fuzz target, for a few seconds
  end to end  the tests in tests/, against the binary just built

With filters, only the builds and the tests run, and of these only tests whose name contains one of them:
  cargo xtask test drain
  cargo xtask test lost_swap_keeps_first_value
";

const SERVERS: &str = "\
Provide the servers that tests start, as `cargo xtask test` does first. Then `cargo test` finds them too.

Usage: cargo xtask servers

A server that is installed and new enough is taken: nats-server from 2.10 on, redis-server or valkey-server from 6.0 on,
docker-registry from 2.7 on.
Otherwise Debian's package is fetched with apt, from the mirror that this machine is configured with, and unpacked in
target/tools. It is not installed, and nothing needs root. A second run fetches nothing.

Prints a line for each server, with the variable that names another one to this command and to the tests:
  STARLING_NATS_SERVER=<path>
  STARLING_REDIS_SERVER=<path>
  STARLING_DOCKER_REGISTRY=<path>
";

const FUZZ: &str = "\
Try generated inputs on everything that reads bytes from outside, guided by which code each of them reaches.

Usage: cargo xtask fuzz [--seconds <n>] [--keep] [<target>...]

Targets, in fuzz/fuzz_targets; all of them unless some are named:
  audio       recognising, decoding and drawing a recording
  cursor      ids, cursors and the other texts of URLs and members
  fleet       what hosts of a fleet store of each other
  json        JSON bodies, queries, headers
  multipart   deposits as forms
  record      everything that is stored
  token       bearer tokens

Options:
  --seconds <n>   how long each target runs; 10 unless given
  --keep          add what reaches new code to fuzz/corpus, to be committed

A panic, an input that takes 30 s, and one that takes 1 GiB are findings: the input is written to target/fuzz/crashes,
and the command that repeats it is printed. Mend it, and keep the input as a test of the package concerned.
What else reached new code stays in target/fuzz/corpus, and the next run begins with it.

The C++ compiler that libFuzzer needs is installed on Debian if there is none (as root, or through sudo), after saying so.

Examples:
  cargo xtask fuzz --seconds 600 --keep
  cargo xtask fuzz audio
";

const CHAOS: &str = "\
Build, then run three regions of two hosts, with clients that leave and change messages everywhere, while servers and
hosts are killed and paused and links are cut. Then mend all, and check that the regions agree, that everything that was
acknowledged is in all of them, and nothing else.

Usage: cargo xtask chaos [--minutes <n>] [--seed <n>]

Options:
  --minutes <n>   how long things fail; 5 unless given
  --seed <n>      what decides what fails when; from the time unless given, and printed

The schedule of faults is the same for the same seed; how threads and processes meet is not, so a failure may take more
than one repetition. The test behind this runs for some seconds in every `cargo xtask test`.

Examples:
  cargo xtask chaos
  cargo xtask chaos --minutes 600               over night
  cargo xtask chaos --minutes 5 --seed 1700000000000
";

const BENCH: &str = "\
Build, then measure, and print a table. Nothing else should run on the machine meanwhile.

Usage: cargo xtask bench [<arguments of the benchmark>...]

Examples:
  cargo xtask bench
  cargo xtask bench -- --seconds 20     longer, for steadier figures
  cargo xtask bench -- --only overload  the groups of rows whose name contains it
  cargo xtask bench -- --json           a JSON object a line in place of the table

docs/performance.md holds the figures of the last release and says how to read them.
";

const GROWTH: &str = "\
Build, then measure what operations cost, in time and memory, against how much there is: mailboxes (10 to a million),
messages in a mailbox (1 to 1,000) or purged from it (1 to 10,000), connections (1 to 10,000), components (1 to 50). Prints
a table of each. Some minutes; nothing else should run on the machine meanwhile.

Usage: cargo xtask growth [<subject>...] [--quick] [--json] [--plots <folder>]
  <subject>         mailboxes, messages, purged, connections, components; all of them unless some are named
  --quick           smaller sizes and fewer requests, to try it
  --json            a JSON object a line in place of the tables
  --plots <folder>  also draw the curves, as <folder>/<subject>.svg; from the checkout's root

Needs room for 10,100 open files (`ulimit -n`), and about 1 GiB of disk and of memory.

Examples:
  cargo xtask growth --quick
  cargo xtask growth --plots docs/growth    the plots of docs/growth.md

docs/growth.md holds the figures of the last release and says what they mean.
";

const SOAK: &str = "\
Build, then load a host for a long time: messages left, heard, changed and deleted, mailboxes made and deleted, some clients
slow, some gone in the middle, some sending nonsense. What has to be there is bounded, so whatever grows is a leak.

Usage: cargo xtask soak [--minutes <n>] [--rate <n>] [--plot <file>]
  --minutes <n>   how long; 60 unless given
  --rate <n>      requests a second, of all clients together; 50 unless given
  --plot <file>   also draw what was sampled, as SVG; from the checkout's root

Every ten seconds the host's memory, descriptors, threads and disk are looked at, and the p50 and p99 of each kind of
request. In the end the median of the last quarter of each is held against that of the second quarter: the table tells up to
where it counts as flat. Exits with 1 if anything grew, if any answer was wrong, if any message is missing or another one
there, also after a restart, or if audio of messages that are gone is still stored.

Examples:
  cargo xtask soak --minutes 2              to try it
  cargo xtask soak --plot docs/growth/soak.svg
";

/// The help of one command.
///
/// # Errors
///
/// [`Failure::Usage`] where there is no such command.
pub(crate) fn of(command: &str) -> Result<&'static str, Failure> {
    match command {
        "build" => Ok(BUILD),
        "up" => Ok(UP),
        "regions" => Ok(REGIONS),
        "test" => Ok(TEST),
        "servers" => Ok(SERVERS),
        "fuzz" => Ok(FUZZ),
        "chaos" => Ok(CHAOS),
        "bench" => Ok(BENCH),
        "growth" => Ok(GROWTH),
        "soak" => Ok(SOAK),
        "help" => Ok(OVERVIEW),
        unknown => Err(self::unknown(unknown)),
    }
}

/// The failure for a command that does not exist.
pub(crate) fn unknown(command: &str) -> Failure {
    Failure::Usage(format!(
        "there is no command `{command}`; the commands are build, up, regions, test, servers, \
         fuzz, chaos, bench, growth, soak and help"
    ))
}
