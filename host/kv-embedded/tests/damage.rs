//! Damaged files: what was acknowledged is read as it was written, or the damage is reported. It
//! is never gone without a word, and never other bytes.

use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use starling_kv::{Error, Store};
use starling_kv_embedded::{Config, EmbeddedStore, OpenError};
use tempfile::TempDir;

/// Enough entries to have tables and value files beside the journal.
const MANY: u64 = 120;
/// Few enough to be in the journal alone.
const FEW: u64 = 12;

fn key(n: u64) -> String {
    format!("entry/{n:03}")
}

fn value(n: u64) -> Bytes {
    let bytes = if n.is_multiple_of(3) { 3_000 } else { 260_000 };
    (0..bytes)
        .map(|at: u64| (n.wrapping_mul(31) + at) as u8)
        .collect()
}

/// Numbers that look random and are the same in every run (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below.max(1)
    }
}

/// A store that was written, closed, and is copied for each damage.
struct Original {
    entries: u64,
    directory: TempDir,
    runtime: tokio::runtime::Runtime,
}

impl Original {
    fn new(entries: u64) -> Self {
        let directory = TempDir::new().expect("a directory");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let path = directory.path().join("original");
        runtime.block_on(async {
            let store = EmbeddedStore::open(Config::new(&path)).expect("opens");
            for n in 0..entries {
                store.set(&key(n), value(n)).await.expect("writes");
            }
        });
        // The second opening gives back the space that the journal had set aside.
        drop(EmbeddedStore::open(Config::new(&path)).expect("opens"));
        Self {
            entries,
            directory,
            runtime,
        }
    }

    fn copy(&self) -> PathBuf {
        let copy = self.directory.path().join("copy");
        if copy.exists() {
            fs::remove_dir_all(&copy).expect("removes the last copy");
        }
        copy_directory(&self.directory.path().join("original"), &copy);
        copy
    }

    /// Opens a damaged store and reads all of it. Returns whether the damage was found.
    fn examine(&self, path: &Path, damage: &str) -> bool {
        let store = match EmbeddedStore::open(Config::new(path)) {
            Ok(store) => store,
            Err(OpenError::Corrupt { .. }) => return true,
            Err(error) => panic!("{damage}: {error:?}"),
        };
        let mut found = false;
        self.runtime.block_on(async {
            for n in 0..self.entries {
                match store.get(&key(n)).await {
                    Ok(Some(entry)) => {
                        assert!(
                            entry.value == value(n),
                            "{damage}: {} has other bytes",
                            key(n)
                        );
                    }
                    Ok(None) => panic!("{damage}: {} is gone without a word", key(n)),
                    Err(Error::Corrupt { .. }) => found = true,
                    Err(error) => panic!("{damage}: {error:?}"),
                }
            }
        });
        found
    }

    /// The files of the store, relative to it, without those that hold nothing.
    fn files(&self) -> Vec<PathBuf> {
        let root = self.directory.path().join("original");
        let mut files = Vec::new();
        let mut directories = vec![root.clone()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).expect("lists") {
                let path = entry.expect("lists").path();
                if path.is_dir() {
                    directories.push(path);
                } else if path.metadata().expect("is there").len() > 0 {
                    files.push(path.strip_prefix(&root).expect("is in it").to_owned());
                }
            }
        }
        files.sort();
        files
    }
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("makes a directory");
    for entry in fs::read_dir(from).expect("lists") {
        let entry = entry.expect("lists");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copies");
        }
    }
}

fn flip(path: &Path, at: u64, mask: u8) {
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .expect("opens");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("reads");
    file.write_all_at(&[byte[0] ^ mask], at).expect("writes");
}

fn cut(path: &Path, length: u64) {
    fs::File::options()
        .write(true)
        .open(path)
        .expect("opens")
        .set_len(length)
        .expect("cuts");
}

fn is_journal(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "jnl")
}

#[test]
fn flipped_bytes_in_a_journal_are_found_and_the_journal_is_left_alone() {
    let original = Original::new(FEW);
    let mut dice = Dice(1);
    for file in original.files().into_iter().filter(|file| is_journal(file)) {
        for _ in 0..20 {
            let path = original.copy();
            let journal = path.join(&file);
            let length = journal.metadata().expect("is there").len();
            let (at, mask) = (dice.roll(length), 1 << dice.roll(8));
            flip(&journal, at, mask);
            let damage = format!("byte {at} of {length} in {}", file.display());
            assert!(original.examine(&path, &damage), "{damage}: not found");
            flip(&journal, at, mask);
            assert!(
                !original.examine(&path, &damage),
                "{damage}: repaired, and still found"
            );
        }
    }
}

#[test]
fn journal_that_lost_its_end_is_found() {
    let original = Original::new(FEW);
    let mut dice = Dice(2);
    for file in original.files().into_iter().filter(|file| is_journal(file)) {
        for _ in 0..10 {
            let path = original.copy();
            let journal = path.join(&file);
            let length = dice.roll(journal.metadata().expect("is there").len());
            cut(&journal, length);
            let damage = format!("{} cut to {length}", file.display());
            assert!(original.examine(&path, &damage), "{damage}: not found");
        }
    }
}

#[test]
fn flipped_bytes_anywhere_never_change_what_is_read() {
    let original = Original::new(MANY);
    let mut dice = Dice(3);
    let files = original.files();
    assert!(
        files
            .iter()
            .any(|file| file.starts_with("data/keyspaces/1/tables")),
        "{files:?}"
    );
    assert!(
        files
            .iter()
            .any(|file| file.starts_with("data/keyspaces/1/blobs")),
        "{files:?}"
    );
    for file in files.iter().filter(|file| !is_journal(file)) {
        for _ in 0..2 {
            let path = original.copy();
            let length = path.join(file).metadata().expect("is there").len();
            let (at, mask) = (dice.roll(length), 1 << dice.roll(8));
            flip(&path.join(file), at, mask);
            original.examine(
                &path,
                &format!("byte {at} of {length} in {}", file.display()),
            );
        }
    }
}

#[test]
fn cut_or_missing_files_never_lose_an_entry_without_a_word() {
    let original = Original::new(MANY);
    let mut dice = Dice(4);
    for file in original.files() {
        let path = original.copy();
        let length = dice.roll(path.join(&file).metadata().expect("is there").len());
        cut(&path.join(&file), length);
        original.examine(&path, &format!("{} cut to {length}", file.display()));

        let path = original.copy();
        fs::remove_file(path.join(&file)).expect("removes");
        original.examine(&path, &format!("{} removed", file.display()));
    }
}

#[test]
fn lost_data_directory_is_not_taken_for_a_new_store() {
    let original = Original::new(FEW);
    let path = original.copy();
    fs::remove_dir_all(path.join("data")).expect("removes");
    assert!(original.examine(&path, "data removed"));
}

/// A crash tears the write that was under way. That one was not acknowledged: the store must open
/// without it, however it was torn.
#[test]
fn torn_write_at_the_end_is_dropped_and_all_before_it_is_kept() {
    let original = Original::new(FEW);
    let path = original.directory.path().join("original");
    let journal = original
        .files()
        .into_iter()
        .rfind(|file| is_journal(file))
        .expect("there is a journal");
    let before = path.join(&journal).metadata().expect("is there").len();
    let note = fs::read(path.join("acknowledged")).expect("is there");
    original.runtime.block_on(async {
        let store = EmbeddedStore::open(Config::new(&path)).expect("opens");
        store.set("entry/torn", value(1)).await.expect("writes");
    });
    // As if the process had died before the acknowledgement.
    fs::write(path.join("acknowledged"), note).expect("writes");
    let after = path.join(&journal).metadata().expect("is there").len();
    assert!(before < after);

    let torn = |damage: &str, tear: &dyn Fn(&Path)| {
        let copy = original.copy();
        tear(&copy.join(&journal));
        let found = original.examine(&copy, damage);
        assert!(
            !found,
            "{damage}: refused for a write that nobody was promised"
        );
        let store = EmbeddedStore::open(Config::new(&copy)).expect("opens again");
        let read = original
            .runtime
            .block_on(store.get("entry/torn"))
            .expect("reads");
        assert_eq!(read, None, "{damage}");
    };
    let mut dice = Dice(5);
    for length in [before + 1, before + 12, before + 13, after - 1, after - 13] {
        torn(&format!("cut to {length}"), &|journal| cut(journal, length));
    }
    for _ in 0..10 {
        let length = before + 1 + dice.roll(after - before - 1);
        torn(&format!("cut to {length}"), &|journal| cut(journal, length));
        // Space that was set aside reads as zeroes.
        torn(&format!("zeroes from {length}"), &|journal| {
            cut(journal, length);
            cut(journal, after + 100_000);
        });
        // Pages reach the disk in any order: the end may be there and the middle not.
        let at = before + dice.roll(after - before);
        torn(&format!("byte {at} of {before}..{after}"), &|journal| {
            flip(journal, at, 0x20)
        });
    }
}
