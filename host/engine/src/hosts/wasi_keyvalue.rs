//! `wasi:keyvalue@0.2.0-draft2`: stores, compare-and-swap and batches.
//!
//! These functions are synchronous for the guest: while one waits for the store, its instance does nothing else.
//! Guests keep what may wait long behind `spin:key-value`.

use std::sync::Arc;

use starling_kv::{Store, Swap, Version};
use wasmtime::component::Resource;

use crate::bindings::wasi::keyvalue::atomics::{self, CasError};
use crate::bindings::wasi::keyvalue::batch;
use crate::bindings::wasi::keyvalue::store::{self, Error, KeyResponse};
use crate::hosts::key_value::{OpenStore, describe};
use crate::hosts::metered::{Metered, Refusal};
use crate::state::Lent;

/// Keys that one call of `list-keys` answers.
const PAGE_KEYS: usize = 500;

/// A compare-and-swap that a guest has begun: what it swaps, and the version that it has seen.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct CompareAndSwap {
    store: Arc<dyn Store>,
    key: String,
    seen: Option<Version>,
}

fn error(refusal: Refusal) -> Error {
    match refusal {
        Refusal::Store(starling_kv::Error::AccessDenied) => Error::AccessDenied,
        other => Error::Other(describe(&other)),
    }
}

impl Lent<'_> {
    fn bucket(&self, handle: &Resource<OpenStore>) -> wasmtime::Result<Metered<'_>> {
        Ok(self.metered(&*self.table.get(handle)?.0))
    }

    fn metered<'a>(&'a self, store: &'a dyn Store) -> Metered<'a> {
        Metered::new(store, self.guard.budget())
    }
}

impl store::Host for Lent<'_> {
    async fn open(
        &mut self,
        identifier: String,
    ) -> wasmtime::Result<Result<Resource<OpenStore>, Error>> {
        match self.granted(&identifier) {
            Some(open) => Ok(Ok(self.table.push(open)?)),
            None => Ok(Err(Error::AccessDenied)),
        }
    }
}

impl store::HostBucket for Lent<'_> {
    async fn get(
        &mut self,
        bucket: Resource<OpenStore>,
        key: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        let entry = self.bucket(&bucket)?.get(&key).await;
        Ok(entry
            .map(|entry| entry.map(|entry| entry.value.into()))
            .map_err(error))
    }

    async fn set(
        &mut self,
        bucket: Resource<OpenStore>,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let set = self.bucket(&bucket)?.set(&key, value.into()).await;
        Ok(set.map_err(error))
    }

    async fn delete(
        &mut self,
        bucket: Resource<OpenStore>,
        key: String,
    ) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.bucket(&bucket)?.delete(&key).await.map_err(error))
    }

    async fn exists(
        &mut self,
        bucket: Resource<OpenStore>,
        key: String,
    ) -> wasmtime::Result<Result<bool, Error>> {
        Ok(self.bucket(&bucket)?.exists(&key).await.map_err(error))
    }

    async fn list_keys(
        &mut self,
        bucket: Resource<OpenStore>,
        cursor: Option<String>,
    ) -> wasmtime::Result<Result<KeyResponse, Error>> {
        let page = self
            .bucket(&bucket)?
            .list(cursor.as_deref(), PAGE_KEYS)
            .await;
        Ok(page
            .map(|page| KeyResponse {
                keys: page.keys,
                cursor: page.next,
            })
            .map_err(error))
    }

    async fn drop(&mut self, bucket: Resource<OpenStore>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for Lent<'_> {
    async fn increment(
        &mut self,
        bucket: Resource<OpenStore>,
        key: String,
        delta: i64,
    ) -> wasmtime::Result<Result<i64, Error>> {
        Ok(self
            .bucket(&bucket)?
            .increment(&key, delta)
            .await
            .map_err(error))
    }

    async fn swap(
        &mut self,
        cas: Resource<CompareAndSwap>,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), CasError>> {
        let CompareAndSwap { store, key, seen } = self.table.delete(cas)?;
        let metered = self.metered(&*store);
        match metered.compare_and_swap(&key, seen, value.into()).await {
            Ok(Swap::Swapped(_)) => Ok(Ok(())),
            Ok(Swap::Lost(now)) => {
                let seen = now.map(|entry| entry.version);
                let retry = self.table.push(CompareAndSwap { store, key, seen })?;
                Ok(Err(CasError::CasFailed(retry)))
            }
            Err(failed) => Ok(Err(CasError::StoreError(error(failed)))),
        }
    }
}

impl atomics::HostCas for Lent<'_> {
    async fn new(
        &mut self,
        bucket: Resource<OpenStore>,
        key: String,
    ) -> wasmtime::Result<Result<Resource<CompareAndSwap>, Error>> {
        let store = self.table.get(&bucket)?.0.clone();
        // The version as of now, so that a swap without a look at `current` is guarded too.
        match self.metered(&*store).get(&key).await {
            Ok(entry) => {
                let seen = entry.map(|entry| entry.version);
                Ok(Ok(self.table.push(CompareAndSwap { store, key, seen })?))
            }
            Err(failed) => Ok(Err(error(failed))),
        }
    }

    async fn current(
        &mut self,
        cas: Resource<CompareAndSwap>,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        let CompareAndSwap { store, key, .. } = self.table.get(&cas)?;
        let entry = match self.metered(&**store).get(key).await {
            Ok(entry) => entry,
            Err(failed) => return Ok(Err(error(failed))),
        };
        let (value, seen) = entry
            .map(|entry| (entry.value.into(), entry.version))
            .unzip();
        self.table.get_mut(&cas)?.seen = seen;
        Ok(Ok(value))
    }

    async fn drop(&mut self, cas: Resource<CompareAndSwap>) -> wasmtime::Result<()> {
        self.table.delete(cas)?;
        Ok(())
    }
}

impl batch::Host for Lent<'_> {
    async fn get_many(
        &mut self,
        bucket: Resource<OpenStore>,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<Vec<(String, Option<Vec<u8>>)>, Error>> {
        let store = self.bucket(&bucket)?;
        let entries = store.get_many(&keys).await;
        Ok(entries.map_err(error).map(|entries| {
            let values = entries
                .into_iter()
                .map(|entry| entry.map(|entry| entry.value.into()));
            keys.into_iter().zip(values).collect()
        }))
    }

    async fn set_many(
        &mut self,
        bucket: Resource<OpenStore>,
        entries: Vec<(String, Vec<u8>)>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let entries = entries
            .into_iter()
            .map(|(key, value)| (key, value.into()))
            .collect();
        Ok(self.bucket(&bucket)?.set_many(entries).await.map_err(error))
    }

    async fn delete_many(
        &mut self,
        bucket: Resource<OpenStore>,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<(), Error>> {
        Ok(self
            .bucket(&bucket)?
            .delete_many(&keys)
            .await
            .map_err(error))
    }
}
