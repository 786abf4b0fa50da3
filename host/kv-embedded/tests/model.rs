//! Whatever is done to it, in whatever order, the embedded store answers as the reference does.

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use starling_kv::{Memory, Store, Swap, Version};
use starling_kv_embedded::{Config, EmbeddedStore};
use tempfile::TempDir;

/// Keys are few, so that operations meet.
const KEYS: [&str; 6] = ["a", "a/b", "a/c", "ab", "b", "é"];

/// What is done to both stores.
#[derive(Debug, Clone)]
enum Step {
    Set(usize, u8),
    Delete(usize),
    /// With the version that the key has, one that it had, or none.
    Swap(usize, Expected, u8),
    SetMany(Vec<(usize, u8)>),
    DeleteMany(Vec<usize>),
    List(usize, Option<usize>, usize),
    Reopen,
}

#[derive(Debug, Clone, Copy)]
enum Expected {
    Current,
    First,
    Missing,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..KEYS.len();
    let expected = prop_oneof![
        Just(Expected::Current),
        Just(Expected::First),
        Just(Expected::Missing)
    ];
    prop_oneof![
        3 => (key.clone(), any::<u8>()).prop_map(|(key, value)| Step::Set(key, value)),
        2 => key.clone().prop_map(Step::Delete),
        3 => (key.clone(), expected, any::<u8>())
            .prop_map(|(key, expected, value)| Step::Swap(key, expected, value)),
        2 => vec((key.clone(), any::<u8>()), 0..5).prop_map(Step::SetMany),
        1 => vec(key.clone(), 0..5).prop_map(Step::DeleteMany),
        2 => (key.clone(), proptest::option::of(key), 1..4_usize)
            .prop_map(|(prefix, after, limit)| Step::List(prefix, after, limit)),
        1 => Just(Step::Reopen),
    ]
}

/// Some values are small, some are large enough to be kept apart from the tree.
fn value(byte: u8) -> Bytes {
    Bytes::from(vec![
        byte;
        if byte.is_multiple_of(4) {
            20_000
        } else {
            usize::from(byte)
        }
    ])
}

/// A store, with the first version that it gave to each key.
struct Subject<S> {
    store: S,
    first: [Option<Version>; KEYS.len()],
}

impl<S: Store> Subject<S> {
    fn new(store: S) -> Self {
        Self {
            store,
            first: [None; KEYS.len()],
        }
    }

    /// Does a step and says how it ended, in words that do not depend on version numbers.
    async fn take(&mut self, step: &Step) -> String {
        let strings = |keys: &[usize]| -> Vec<String> {
            keys.iter().map(|key| KEYS[*key].to_owned()).collect()
        };
        match step {
            Step::Set(key, byte) => {
                let version = self
                    .store
                    .set(KEYS[*key], value(*byte))
                    .await
                    .expect("sets");
                self.first[*key].get_or_insert(version);
                "set".to_owned()
            }
            Step::Delete(key) => {
                self.store.delete(KEYS[*key]).await.expect("deletes");
                "deleted".to_owned()
            }
            Step::Swap(key, expected, byte) => {
                let current = self.store.get(KEYS[*key]).await.expect("gets");
                let expected = match expected {
                    Expected::Current => current.map(|entry| entry.version),
                    Expected::First => self.first[*key],
                    Expected::Missing => None,
                };
                let key = KEYS[*key];
                match self
                    .store
                    .compare_and_swap(key, expected, value(*byte))
                    .await
                {
                    Ok(Swap::Swapped(_)) => "swapped".to_owned(),
                    Ok(Swap::Lost(now)) => format!("lost to {:?}", now.map(|entry| entry.value)),
                    Err(error) => panic!("{error:?}"),
                }
            }
            Step::SetMany(entries) => {
                let entries = entries
                    .iter()
                    .map(|(key, byte)| (KEYS[*key].to_owned(), value(*byte)));
                self.store.set_many(entries.collect()).await.expect("sets");
                "set".to_owned()
            }
            Step::DeleteMany(keys) => {
                self.store
                    .delete_many(&strings(keys))
                    .await
                    .expect("deletes");
                "deleted".to_owned()
            }
            Step::List(prefix, after, limit) => {
                let after = after.map(|after| KEYS[after]);
                format!("{:?}", self.store.list(KEYS[*prefix], after, *limit).await)
            }
            Step::Reopen => String::new(),
        }
    }

    async fn contents(&self) -> Vec<Option<Bytes>> {
        let keys = KEYS.map(str::to_owned);
        let read = self.store.get_many(&keys).await.expect("gets");
        read.into_iter()
            .map(|entry| entry.map(|entry| entry.value))
            .collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_steps_end_as_on_the_reference(steps in vec(step(), 1..60)) {
        let directory = TempDir::new().expect("a directory");
        let open = || EmbeddedStore::open(Config::new(directory.path())).expect("opens");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let mut reference = Subject::new(Memory::new());
        let mut subject = Subject::new(open());
        for step in &steps {
            if matches!(step, Step::Reopen) {
                subject.store.close();
                subject.store = open();
            }
            let (expected, found) = runtime.block_on(async {
                (reference.take(step).await, subject.take(step).await)
            });
            prop_assert_eq!(&expected, &found, "after {:?}", step);
            let (expected, found) = runtime.block_on(async {
                (reference.contents().await, subject.contents().await)
            });
            prop_assert!(expected == found, "after {:?}", step);
        }
    }
}
