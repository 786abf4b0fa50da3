//! `spin:key-value@3.0.0`: what waits for a store without stopping the guest's other work.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use starling_kv::{Page, Store};
use tokio::sync::oneshot;
use wasmtime::StoreContextMut;
use wasmtime::component::{
    Accessor, Destination, FutureReader, Resource, StreamProducer, StreamReader, StreamResult,
};

use crate::bindings::spin::key_value::key_value::{self, Error};
use crate::guard::Guard;
use crate::hosts::metered::{Metered, Refusal};
use crate::state::{Lending, Lent};

/// Keys that one page of a listing holds.
const PAGE_KEYS: usize = 500;

/// A store that a guest has opened; both key-value interfaces hand out handles to it.
#[derive(Clone, Debug)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct OpenStore(pub(crate) Arc<dyn Store>);

impl Lent<'_> {
    /// The store behind `label`, if the component's manifest names it.
    pub(crate) fn granted(&self, label: &str) -> Option<OpenStore> {
        self.grant.stores.get(label).cloned().map(OpenStore)
    }
}

/// A store, and the guard of the instance that asks it.
struct Asked {
    store: Arc<dyn Store>,
    guard: Arc<Guard>,
}

impl Asked {
    fn by<T>(
        accessor: &Accessor<T, Lending>,
        handle: &Resource<OpenStore>,
    ) -> wasmtime::Result<Self> {
        accessor.with(|mut access| {
            let lent = access.get();
            Ok(Self {
                store: lent.table.get(handle)?.0.clone(),
                guard: lent.guard.clone(),
            })
        })
    }

    fn metered(&self) -> Metered<'_> {
        Metered::new(&*self.store, self.guard.budget())
    }
}

fn error(refusal: Refusal) -> Error {
    match refusal {
        Refusal::Store(starling_kv::Error::AccessDenied) => Error::AccessDenied,
        other => Error::Other(describe(&other)),
    }
}

/// What a guest is told of an error. A provider's own words stay in the host's log.
pub(crate) fn describe(refusal: &Refusal) -> String {
    tracing::warn!(
        error = refusal as &dyn std::error::Error,
        "a key-value operation failed"
    );
    refusal.to_string()
}

impl key_value::Host for Lent<'_> {}

impl key_value::HostStore for Lent<'_> {
    fn drop(&mut self, handle: Resource<OpenStore>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl<T: Send> key_value::HostStoreWithStore<T> for Lending {
    async fn open(
        accessor: &Accessor<T, Self>,
        label: String,
    ) -> wasmtime::Result<Result<Resource<OpenStore>, Error>> {
        accessor.with(|mut access| {
            let lent = access.get();
            match lent.granted(&label) {
                Some(open) => Ok(Ok(lent.table.push(open)?)),
                None => Ok(Err(Error::AccessDenied)),
            }
        })
    }

    async fn get(
        accessor: &Accessor<T, Self>,
        handle: Resource<OpenStore>,
        key: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        let entry = Asked::by(accessor, &handle)?.metered().get(&key).await;
        Ok(entry
            .map(|entry| entry.map(|entry| entry.value.into()))
            .map_err(error))
    }

    async fn set(
        accessor: &Accessor<T, Self>,
        handle: Resource<OpenStore>,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let asked = Asked::by(accessor, &handle)?;
        let set = asked.metered().set(&key, value.into()).await;
        Ok(set.map_err(error))
    }

    async fn delete(
        accessor: &Accessor<T, Self>,
        handle: Resource<OpenStore>,
        key: String,
    ) -> wasmtime::Result<Result<(), Error>> {
        let asked = Asked::by(accessor, &handle)?;
        Ok(asked.metered().delete(&key).await.map_err(error))
    }

    async fn exists(
        accessor: &Accessor<T, Self>,
        handle: Resource<OpenStore>,
        key: String,
    ) -> wasmtime::Result<Result<bool, Error>> {
        let asked = Asked::by(accessor, &handle)?;
        Ok(asked.metered().exists(&key).await.map_err(error))
    }

    async fn get_keys(
        accessor: &Accessor<T, Self>,
        handle: Resource<OpenStore>,
    ) -> wasmtime::Result<(StreamReader<String>, FutureReader<Result<(), Error>>)> {
        let (ended, end) = oneshot::channel();
        let keys = Keys {
            asked: Arc::new(Asked::by(accessor, &handle)?),
            page: VecDeque::new(),
            listing: Listing::From(None),
            ended: Some(ended),
        };
        accessor.with(|mut access| {
            let keys = StreamReader::new(&mut access, keys)?;
            // A guest that drops the stream half-way did not meet an error.
            let end = async move { wasmtime::error::Ok(end.await.unwrap_or(Ok(()))) };
            let end = FutureReader::new(&mut access, Box::pin(end))?;
            Ok((keys, end))
        })
    }
}

/// All keys of a store, fetched a page at a time as the guest reads them.
struct Keys {
    asked: Arc<Asked>,
    page: VecDeque<String>,
    listing: Listing,
    ended: Option<oneshot::Sender<Result<(), Error>>>,
}

enum Listing {
    /// The next page starts here.
    From(Option<String>),
    /// The next page is being fetched.
    Fetching(BoxFuture<'static, Result<Page, Refusal>>),
    /// There is no further page.
    Done,
}

impl Keys {
    fn end(&mut self, result: Result<(), Error>) -> Poll<wasmtime::Result<StreamResult>> {
        self.listing = Listing::Done;
        if let Some(ended) = self.ended.take() {
            let _ = ended.send(result);
        }
        Poll::Ready(Ok(StreamResult::Dropped))
    }
}

impl<D> StreamProducer<D> for Keys {
    type Item = String;
    type Buffer = Option<String>;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        _: StoreContextMut<'a, D>,
        mut destination: Destination<'a, String, Option<String>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let this = self.get_mut();
        loop {
            if let Some(key) = this.page.pop_front() {
                destination.set_buffer(Some(key));
                return Poll::Ready(Ok(StreamResult::Completed));
            }
            match &mut this.listing {
                Listing::From(cursor) => {
                    let (asked, cursor) = (this.asked.clone(), cursor.take());
                    this.listing = Listing::Fetching(Box::pin(async move {
                        let metered = asked.metered();
                        metered.list(cursor.as_deref(), PAGE_KEYS).await
                    }));
                }
                Listing::Fetching(page) => match page.as_mut().poll(cx) {
                    Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(failed)) => return this.end(Err(error(failed))),
                    Poll::Ready(Ok(page)) => {
                        this.page = page.keys.into();
                        this.listing = match page.next {
                            Some(next) => Listing::From(Some(next)),
                            None => Listing::Done,
                        };
                    }
                },
                Listing::Done => return this.end(Ok(())),
            }
        }
    }
}
