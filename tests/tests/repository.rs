//! What must hold of the repository itself: who depends on whom, how files begin, what is never written into them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use starling_tests::paths;

// === Dependencies: the arrows of ARCHITECTURE.md ===

/// Our packages below each package: all it may reach, near or far.
const ARROWS: &[(&str, &[&str])] = &[
    ("starling-mailbox", &[]),
    ("starling-access", &["starling-mailbox"]),
    ("starling-kv", &[]),
    ("starling-telemetry", &[]),
    ("starling-kv-embedded", &["starling-kv"]),
    ("starling-kv-nats", &["starling-kv"]),
    ("starling-kv-redis", &["starling-kv"]),
    ("starling-engine", &["starling-kv", "starling-telemetry"]),
    (
        "starling-server",
        &[
            "starling-admission",
            "starling-engine",
            "starling-kv",
            "starling-telemetry",
        ],
    ),
    ("starling-admission", &[]),
    ("starling-supervision", &["starling-mailbox"]),
    (
        "starling-fleet",
        &[
            "starling-admission",
            "starling-engine",
            "starling-kv",
            "starling-mailbox",
            "starling-server",
            "starling-supervision",
            "starling-telemetry",
        ],
    ),
    ("starling-operator", &[]),
    (
        "starling-voicemail",
        &["starling-access", "starling-handler", "starling-mailbox"],
    ),
    (
        "starling-management",
        &[
            "starling-access",
            "starling-handler",
            "starling-mailbox",
            "starling-supervision",
        ],
    ),
    ("starling-handler", &[]),
    ("starling-hello", &["starling-handler"]),
    ("starling-test-guest", &[]),
    (
        "starling-fuzz",
        &[
            "starling-access",
            "starling-mailbox",
            "starling-supervision",
            "starling-voicemail",
        ],
    ),
    ("xtask", &[]),
    ("starling-test-servers", &[]),
    ("starling-tests", &["starling-test-servers"]),
    (
        "starling",
        &[
            "starling-access",
            "starling-admission",
            "starling-engine",
            "starling-fleet",
            "starling-kv",
            "starling-kv-embedded",
            "starling-kv-nats",
            "starling-kv-redis",
            "starling-mailbox",
            "starling-operator",
            "starling-server",
            "starling-supervision",
            "starling-telemetry",
        ],
    ),
];

/// Foreign packages that must not be below a package: beginnings of their names.
const ABSENT: &[(&str, &[&str])] = &[
    // The domain: no input, no output, no runtime.
    (
        "starling-mailbox",
        &[
            "wasm",
            "wit-",
            "spin-",
            "tokio",
            "async-",
            "hyper",
            "rustix",
            "mio",
            "rand",
            "getrandom",
        ],
    ),
    // What supervises: as pure.
    (
        "starling-supervision",
        &[
            "wasm",
            "wit-",
            "spin-",
            "tokio",
            "async-",
            "hyper",
            "rustix",
            "mio",
            "rand",
            "getrandom",
        ],
    ),
    // What operators use knows hosts by their API alone.
    ("starling-operator", &["wasmtime", "fjall", "aws-lc"]),
    // Providers and their interface: no runtime of WebAssembly, no HTTP.
    ("starling-kv", &["wasm", "hyper", "spin-"]),
    ("starling-kv-embedded", &["wasm", "hyper", "spin-"]),
    ("starling-kv-nats", &["wasm", "hyper", "spin-", "aws-lc"]),
    ("starling-kv-redis", &["wasm", "hyper", "spin-", "aws-lc"]),
    // The engine: no provider's engine.
    (
        "starling-engine",
        &["fjall", "lsm-tree", "redis", "async-nats"],
    ),
    (
        "starling-server",
        &["fjall", "lsm-tree", "redis", "async-nats"],
    ),
    // The tests see what a client sees.
    ("starling-tests", &["wasmtime", "fjall"]),
    // The chores start in seconds.
    ("xtask", &[""]),
];

/// Every package below `package` in what is built of it, itself left out.
fn below(package: &str) -> BTreeSet<String> {
    let mut tree = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    tree.current_dir(paths::root()).args([
        "tree",
        "--edges=normal,build",
        "--prefix=none",
        "--format={p}",
        "-p",
        package,
    ]);
    let output = tree.output().expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("cargo prints text");
    let names = text
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    names
        .filter(|name| *name != package)
        .map(str::to_owned)
        .collect()
}

#[test]
fn our_packages_depend_on_each_other_as_drawn() {
    for (package, drawn) in ARROWS {
        let found = below(package)
            .into_iter()
            .filter(|name| name.starts_with("starling"));
        for name in found {
            assert!(
                drawn.contains(&name.as_str()),
                "{package} reaches {name}, and no arrow leads there"
            );
        }
    }
}

#[test]
fn what_is_deliberately_absent_is_absent() {
    for (package, absent) in ABSENT {
        for name in below(package) {
            let unwanted = absent
                .iter()
                .find(|beginning| name.starts_with(**beginning));
            assert!(unwanted.is_none(), "{package} reaches {name}");
        }
    }
}

// === Files ===

/// Every file that git tracks or would, by its path from the root.
fn tracked() -> Vec<String> {
    let mut git = Command::new("git");
    git.current_dir(paths::root()).args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "-z",
    ]);
    let output = git.output().expect("git runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("paths are text");
    let files = text.split('\0').filter(|path| !path.is_empty());
    files
        .filter(|path| paths::root().join(path).is_file())
        .map(str::to_owned)
        .collect()
}

fn read(path: &str) -> Vec<u8> {
    std::fs::read(paths::root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_source_file_opens_by_saying_what_it_is_for() {
    for path in tracked().iter().filter(|path| path.ends_with(".rs")) {
        let text = String::from_utf8(read(path)).unwrap_or_else(|_| panic!("{path} is not text"));
        let first = text.lines().next().unwrap_or_default();
        assert!(
            first.starts_with("//! ") && first.len() > 10,
            "{path} begins with {first:?}"
        );
    }
}

#[test]
fn binaries_are_fixtures_or_tried_by_the_fuzzer() {
    for path in tracked() {
        let is_tried = path.starts_with("fuzz/corpus/");
        let is_fixture = Path::new(&path)
            .parent()
            .is_some_and(|folder| folder.ends_with("fixtures"))
            || path.contains("/fixtures/");
        let is_binary = read(&path).contains(&0);
        assert!(is_fixture || is_tried || !is_binary, "{path} is binary");
    }
}

#[test]
fn nothing_of_one_machine_is_written_down() {
    // In two halves each, so that this file does not hold what it looks for.
    let words: Vec<String> = [
        ("/ro", "ot/"),
        ("/wo", "rk/"),
        ("/ho", "me/"),
        ("crates", ".io/api"),
        ("index.crates", ".io"),
        ("static.crates", ".io"),
        ("registry-", "1."),
    ]
    .map(|(one, two)| format!("{one}{two}"))
    .into();
    // Cargo writes its lock file; the licence is somebody else's text.
    for path in tracked()
        .into_iter()
        .filter(|path| path != "Cargo.lock" && path != "LICENSE")
    {
        let bytes = read(&path);
        let Ok(text) = std::str::from_utf8(&bytes) else {
            continue;
        };
        for (number, line) in text.lines().enumerate() {
            let found = words.iter().find(|word| line.contains(*word));
            assert!(found.is_none(), "{path}:{}: {line}", number + 1);
        }
    }
}

#[test]
fn rust_toolchain_names_no_targets() {
    // rustup would fetch them at every cargo command, also where the guests are built another way.
    let text = String::from_utf8(read("rust-toolchain.toml")).unwrap();
    let settings = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    assert!(
        !settings.collect::<String>().contains("targets"),
        "see xtask/src/toolchain.rs"
    );
}

#[test]
fn links_between_documents_lead_somewhere() {
    for path in tracked().iter().filter(|path| path.ends_with(".md")) {
        let text = String::from_utf8(read(path)).unwrap();
        let folder = paths::root()
            .join(path)
            .parent()
            .map(PathBuf::from)
            .unwrap_or_default();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', '#', ' ']).next())
        {
            if link.is_empty() || link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            assert!(
                folder.join(link).exists(),
                "{path} links to {link}, which is not there"
            );
        }
    }
}

#[test]
fn commands_that_documents_tell_to_run_exist() {
    let help = String::from_utf8(read("xtask/src/help.rs")).unwrap();
    for path in tracked().iter().filter(|path| path.ends_with(".md")) {
        let text = String::from_utf8(read(path)).unwrap();
        for rest in text.split("cargo xtask ").skip(1) {
            let command: String = rest.chars().take_while(char::is_ascii_lowercase).collect();
            let explained = help.contains(&format!("\"{command}\" => Ok("));
            assert!(
                command.is_empty() || explained,
                "{path}: there is no `cargo xtask {command}`"
            );
        }
    }
}

#[test]
fn documents_that_every_reader_looks_for_are_there() {
    for path in [
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "LICENSE",
        "README.md",
        "edge.toml",
        "spin.toml",
    ] {
        assert!(paths::root().join(path).is_file(), "{path} is missing");
    }
}
