//! A region's store, or a replica of one, in memory.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use management::{Store, StoreError, Swap, Swapped};

use super::World;

/// What a store holds.
pub(crate) type Values = BTreeMap<String, Vec<u8>>;

/// What all see of it.
pub(crate) type SharedValues = Rc<RefCell<Values>>;

#[derive(Clone)]
pub(crate) struct MemoryStore {
    pub(crate) world: World,
    pub(crate) viewer: String,
    pub(crate) region: String,
    pub(crate) values: SharedValues,
}

impl MemoryStore {
    /// What happens before any operation.
    async fn operate(&self, key: &str, writes: bool) -> Result<(), StoreError> {
        let own = self.viewer == self.region;
        assert!(own || !writes, "only the own region's store is written");
        let shared = self.world.shared();
        self.world.give_way().await;
        if shared.silent.borrow().contains(&self.region) {
            std::future::pending::<()>().await;
        }
        let n = shared.operations.get() + 1;
        shared.operations.set(n);
        let fails = shared.fails_from.get().is_some_and(|from| n >= from);
        let fails_on = shared.fails_on.borrow();
        let fails = fails || fails_on.as_ref().is_some_and(|part| key.contains(part));
        if fails || shared.down.borrow().contains(&self.region) {
            return Err(StoreError::Failed("the disk is on fire".into()));
        }
        Ok(())
    }
}

impl Store for MemoryStore {
    type Swap = MemorySwap;

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.operate(key, false).await?;
        Ok(self.values.borrow().get(key).cloned())
    }

    async fn set(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        assert!(value.len() <= 256 * 1024 || !key.contains("artifact"));
        self.operate(key, true).await?;
        self.values
            .borrow_mut()
            .insert(key.to_owned(), value.to_vec());
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.operate(key, true).await?;
        let deletes = &self.world.shared().deletes;
        deletes.set(deletes.get() + 1);
        self.values.borrow_mut().remove(key);
        Ok(())
    }

    async fn begin_swap(&self, key: &str) -> Result<MemorySwap, StoreError> {
        self.operate(key, true).await?;
        Ok(MemorySwap::of(self.clone(), key.to_owned()))
    }
}

pub(crate) struct MemorySwap {
    store: MemoryStore,
    key: String,
    read: Option<Vec<u8>>,
}

impl MemorySwap {
    fn of(store: MemoryStore, key: String) -> Self {
        let read = store.values.borrow().get(&key).cloned();
        Self { store, key, read }
    }
}

impl Swap for MemorySwap {
    fn current(&self) -> Option<&[u8]> {
        self.read.as_deref()
    }

    async fn swap(self, value: Vec<u8>) -> Result<Swapped<Self>, StoreError> {
        self.store.operate(&self.key, true).await?;
        let lost = self.store.world.shared().lose_every_race.get();
        let present = self.store.values.borrow().get(&self.key).cloned();
        if lost || present != self.read {
            return Ok(Swapped::Lost(Self::of(self.store, self.key)));
        }
        self.store.values.borrow_mut().insert(self.key, value);
        Ok(Swapped::Won)
    }
}
