//! The suite that every provider runs: the contract of [`Store`], case by case.
//!
//! A provider tells the suite how to make an empty store and lets a macro write one test for each
//! case, so that a failure names what is broken:
//!
//! ```
//! use std::sync::Arc;
//!
//! use starling_kv::{Memory, Store, conformance::Provider};
//!
//! struct InMemory;
//!
//! #[async_trait::async_trait]
//! impl Provider for InMemory {
//!     async fn empty(&self) -> Arc<dyn Store> {
//!         Arc::new(Memory::new())
//!     }
//! }
//!
//! starling_kv::conformance_tests!(InMemory);
//! ```
//!
//! A provider that outlives the process implements [`Reopen`] too and adds
//! [`reopen_tests!`](crate::reopen_tests).
//!
//! The expression is evaluated once for each test. Cases that need a capability ask for it and
//! pass without a word where a provider does not claim it. Nothing in here waits for time to pass.

pub mod batch;
pub mod list;
pub mod reopen;
pub mod single;
pub mod swap;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Entry, Result, Store};

/// How the suite comes by stores.
#[async_trait]
pub trait Provider: Send + Sync {
    /// A store that is empty and shares nothing with one made before.
    async fn empty(&self) -> Arc<dyn Store>;
}

/// How the suite closes a store and opens it again.
#[async_trait]
pub trait Reopen: Provider {
    /// Ends this store, the one that [`empty`](Provider::empty) or `reopen` gave last, as the end
    /// of a process would, and opens what it stored.
    async fn reopen(&self, store: Arc<dyn Store>) -> Arc<dyn Store>;
}

/// Writes one `#[test]` for each case of the suite.
///
/// The argument is an expression whose value is a [`Provider`].
#[macro_export]
macro_rules! conformance_tests {
    ($provider:expr) => {
        $crate::conformance_tests! { @each $provider;
            single::acknowledged_write_is_read
            single::missing_key_reads_as_none
            single::overwrite_replaces_the_value
            single::versions_of_a_key_only_grow
            single::delete_of_a_missing_key_succeeds
            single::deleted_key_is_missing
            single::exists_follows_the_key
            single::any_bytes_are_a_value
            single::empty_value_is_not_a_missing_key
            single::value_at_the_limit_is_kept
            single::key_at_the_limit_is_kept
            single::value_over_the_limit_is_refused
            single::invalid_keys_are_refused
            single::any_script_is_a_key
            single::keys_differ_by_every_byte
            swap::swap_with_the_current_version_wins
            swap::lost_swap_keeps_first_value
            swap::lost_swap_hands_back_what_is_there
            swap::swap_on_a_missing_key_with_a_version_is_lost
            swap::creation_of_a_present_key_is_lost
            swap::racing_creations_have_one_winner
            swap::racing_swaps_have_one_winner
            swap::old_version_never_matches_after_delete_and_creation
            swap::old_version_never_matches_the_same_value
            swap::racing_increments_lose_nothing
            swap::increment_counts_up_and_down_from_zero
            swap::increment_refuses_what_is_no_counter
            swap::increment_refuses_to_overflow
            batch::reads_have_the_order_of_the_keys
            batch::read_of_a_key_twice_answers_twice
            batch::empty_batches_do_nothing
            batch::last_value_of_a_repeated_key_stays
            batch::batch_writes_give_new_versions
            batch::deletes_take_present_and_missing_keys
            batch::invalid_entry_refuses_the_whole_batch
            batch::batch_over_the_limit_is_refused
            batch::batch_is_seen_whole_or_not_at_all
            batch::batch_delete_is_seen_whole_or_not_at_all
            list::empty_store_lists_nothing
            list::listing_returns_every_key_once
            list::page_that_ends_on_its_boundary_is_the_last
            list::prefix_selects_by_bytes
            list::prefix_that_is_a_key_includes_it
            list::ordered_listing_is_in_byte_order
            list::ordered_listing_goes_on_after_any_key
            list::keys_that_stay_are_listed_while_others_come_and_go
            list::deleted_keys_are_not_listed
            list::absurd_limits_are_brought_into_range
        }
    };
    (@each $provider:expr; $($module:ident::$case:ident)*) => {
        $(
            #[test]
            fn $case() {
                $crate::conformance::run(async {
                    let provider = $provider;
                    $crate::conformance::$module::$case(&provider).await
                });
            }
        )*
    };
}

/// Writes one `#[test]` for each case about a store that is opened again.
///
/// The argument is an expression whose value is a [`Reopen`].
#[macro_export]
macro_rules! reopen_tests {
    ($provider:expr) => {
        $crate::conformance_tests! { @each $provider;
            reopen::written_keys_are_there_after_reopening
            reopen::deleted_keys_are_missing_after_reopening
            reopen::versions_stay_and_only_grow_after_reopening
            reopen::old_version_never_matches_after_reopening
            reopen::reopening_often_changes_nothing
        }
    };
}

/// Runs one case to its end, on threads enough for tasks to race.
///
/// # Panics
///
/// When the case fails.
pub fn run(case: impl Future<Output = Result<()>>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime for the case")
        .block_on(case)
        .expect("the store answers without an error");
}

/// How many tasks race in the cases that race.
const RACERS: usize = 32;

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn strings<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

fn values(entries: Vec<Option<Entry>>) -> Vec<Option<Bytes>> {
    entries
        .into_iter()
        .map(|entry| entry.map(|entry| entry.value))
        .collect()
}

/// Runs `racer` as [`RACERS`] tasks at once and returns what each one answered.
async fn race<T, F>(store: &Arc<dyn Store>, racer: impl Fn(Arc<dyn Store>, usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let tasks: Vec<_> = (0..RACERS)
        .map(|number| tokio::spawn(racer(Arc::clone(store), number)))
        .collect();
    let mut answers = Vec::with_capacity(RACERS);
    for task in tasks {
        answers.push(task.await.expect("no racer panics"));
    }
    answers
}
