//! What the shipped component imports: nothing that stock Spin 4.1 does not offer, so that the same file runs under both.

use std::collections::BTreeSet;

use starling_tests::paths;
use wasmparser::{Parser, Payload};

/// Packages of WASI that stock Spin 4.1 offers at these versions, every interface of them.
const WHOLE_PACKAGES: &[&str] = &[
    "wasi:cli",
    "wasi:clocks",
    "wasi:filesystem",
    "wasi:io",
    "wasi:random",
    "wasi:sockets",
];

/// Single interfaces that it offers besides.
const INTERFACES: &[&str] = &[
    "spin:key-value/key-value@3.0.0",
    "spin:variables/variables@3.0.0",
    "wasi:config/store@0.2.0-draft-2024-09-27",
    "wasi:http/client@0.3.0",
    "wasi:http/handler@0.3.0",
    "wasi:http/types@0.3.0",
    "wasi:keyvalue/atomics@0.2.0-draft2",
    "wasi:keyvalue/batch@0.2.0-draft2",
    "wasi:keyvalue/store@0.2.0-draft2",
];

/// The names that a component imports, or exports. Only its own: components nested in it import from it.
fn names(file: &str, of: impl Fn(Payload<'_>) -> Vec<String>) -> BTreeSet<String> {
    let bytes = std::fs::read(paths::component(file)).unwrap();
    let (mut depth, mut names) = (0, BTreeSet::new());
    for payload in Parser::new(0).parse_all(&bytes) {
        match payload.expect("the component is well formed") {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            own if depth == 0 => names.extend(of(own)),
            _ => {}
        }
    }
    names
}

fn imports(file: &str) -> BTreeSet<String> {
    names(file, |payload| match payload {
        Payload::ComponentImportSection(imports) => imports
            .into_iter()
            .map(|import| import.unwrap().name.name.to_owned())
            .collect(),
        _ => Vec::new(),
    })
}

fn exports(file: &str) -> BTreeSet<String> {
    names(file, |payload| match payload {
        Payload::ComponentExportSection(exports) => exports
            .into_iter()
            .map(|export| export.unwrap().name.name.to_owned())
            .collect(),
        _ => Vec::new(),
    })
}

fn spin_offers(import: &str) -> bool {
    let Some((package, rest)) = import.split_once('/') else {
        return false;
    };
    let version = rest.split_once('@').map_or("", |(_, version)| version);
    let offered_version = version.starts_with("0.2.") || version == "0.3.0";
    INTERFACES.contains(&import)
        || (WHOLE_PACKAGES.contains(&package) && offered_version && !version.contains('-'))
}

#[test]
fn voicemail_imports_only_what_stock_spin_offers() {
    let imports = imports("voicemail.wasm");
    assert!(
        !imports.is_empty(),
        "a component that imports nothing stores nothing"
    );
    let refused: Vec<_> = imports
        .iter()
        .filter(|import| !spin_offers(import))
        .collect();
    assert!(
        refused.is_empty(),
        "stock Spin 4.1 does not offer {refused:?}"
    );
}

#[test]
fn management_imports_besides_what_manages_its_host() {
    let imports = imports("management.wasm");
    let (own, others): (BTreeSet<_>, BTreeSet<_>) = imports
        .into_iter()
        .partition(|import| import.starts_with("starling:management/"));
    assert_eq!(own.len(), 4, "{own:?}");
    let refused: Vec<_> = others
        .iter()
        .filter(|import| !spin_offers(import))
        .collect();
    assert!(refused.is_empty(), "{refused:?}");
}

#[test]
fn voicemail_handles_requests_as_stock_spin_sends_them() {
    let exports = exports("voicemail.wasm");
    assert!(exports.contains("wasi:http/handler@0.3.0"), "{exports:?}");
}

#[test]
fn the_list_of_offers_is_not_too_generous() {
    for offered in [
        "wasi:cli/environment@0.2.6",
        "wasi:clocks/monotonic-clock@0.3.0",
        "wasi:keyvalue/store@0.2.0-draft2",
    ] {
        assert!(spin_offers(offered), "{offered}");
    }
    for other in [
        "starling:management/fleet@0.1.0",
        "wasi:http/types@0.4.0",
        "wasi:cli/environment@0.3.1",
        "wasi:clocks/monotonic-clock@0.3.0-rc-2026-01-01",
        "wasi:keyvalue/watch@0.2.0-draft2",
        "wasi:tls/types@0.2.0",
        "env",
    ] {
        assert!(!spin_offers(other), "{other}");
    }
}
