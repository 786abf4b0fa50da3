//! Opens a store: takes the lock, makes the tree where there is none, and verifies what there is
//! before anything is changed.

use std::{
    fs::{self, File},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
};

use starling_kv::BoxError;

use crate::{
    Config,
    engine::Engine,
    journal::{self, Journal},
    paths::Paths,
    watermark::Watermark,
};

/// Why a store cannot be opened. No acknowledged write in it was touched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The configuration cannot work.
    #[error("invalid configuration: {detail}")]
    Config {
        /// What is wrong, naming the key.
        detail: String,
    },

    /// Another process, or this one, has the store open.
    #[error("the store at {} is in use by another process", path.display())]
    Locked {
        /// The directory of the store.
        path: PathBuf,
    },

    /// What is stored is damaged, and opening it would lose acknowledged writes.
    #[error(
        "the store at {} is corrupt: {detail}. It was left as it is; restore the directory from a \
         copy, or move it away to begin with an empty store",
        path.display()
    )]
    Corrupt {
        /// The directory of the store.
        path: PathBuf,
        /// What was found.
        detail: String,
        /// What the tree said, if it was the tree that found it.
        #[source]
        source: Option<BoxError>,
    },

    /// The directory is on a read-only file system, or belongs to somebody else.
    #[error("the store at {} cannot be written", path.display())]
    ReadOnly {
        /// The directory of the store.
        path: PathBuf,
        /// What the system said.
        source: BoxError,
    },

    /// There is not even the space to open it.
    #[error("there is no space for the store at {}", path.display())]
    NoSpace {
        /// The directory of the store.
        path: PathBuf,
        /// What the system said.
        source: BoxError,
    },

    /// The system failed in another way.
    #[error("the store at {} cannot be opened", path.display())]
    Io {
        /// The directory of the store.
        path: PathBuf,
        /// What the system said.
        source: BoxError,
    },
}

/// A store that was opened and verified.
pub(crate) struct Opened {
    pub(crate) paths: Paths,
    pub(crate) lock: File,
    pub(crate) watermark: Watermark,
    pub(crate) engine: Engine,
    /// The number of the last write in it.
    pub(crate) last: u64,
}

/// Opens the store that `config` names.
pub(crate) fn open(config: &Config) -> Result<Opened, OpenError> {
    let min = Config::queue_bytes_min();
    if config.queue_bytes_max < min {
        let detail = format!(
            "queue_bytes_max is {}, less than the {min} that one batch may take",
            config.queue_bytes_max
        );
        return Err(OpenError::Config { detail });
    }
    let paths = Paths {
        root: config.path.clone(),
        data: config.path.join("data"),
    };
    let failed = |error| paths.failed(error);

    fs::create_dir_all(&paths.root).map_err(failed)?;
    let lock = paths.lock()?;
    let (watermark, acknowledged) =
        Watermark::open(&paths.root.join("acknowledged")).map_err(failed)?;

    if !paths.data.try_exists().map_err(failed)? {
        if let Some(number) = acknowledged {
            return Err(paths.corrupt(format!(
                "its data directory is gone, and writes up to number {number} were acknowledged"
            )));
        }
        create(&paths, config)?;
    }
    let engine = recover(&paths, config, acknowledged)?;
    let last = engine
        .last_number()
        .map_err(|error| paths.tree_failed(error))?;
    let last = last.ok_or_else(|| paths.corrupt("it does not know its last write".to_owned()))?;
    if acknowledged.is_some_and(|acknowledged| last < acknowledged) {
        return Err(paths.lost(last, acknowledged.unwrap_or_default()));
    }
    paths.forget_torn().map_err(failed)?;
    Ok(Opened {
        paths,
        lock,
        watermark,
        engine,
        last,
    })
}

/// Makes the tree beside its place and moves it there, so that it is there whole or not at all.
fn create(paths: &Paths, config: &Config) -> Result<(), OpenError> {
    let new = paths.root.join("new");
    match fs::remove_dir_all(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(paths.failed(error)),
        _ => {}
    }
    Engine::create(&new, config).map_err(|error| paths.tree_failed(error))?;
    fs::rename(&new, &paths.data).map_err(|error| paths.failed(error))?;
    journal::sync_directory(&paths.root).map_err(|error| paths.failed(error))
}

/// Verifies the tree and opens it. `acknowledged` is the last write that must be in it, if known.
pub(crate) fn recover(
    paths: &Paths,
    config: &Config,
    acknowledged: Option<u64>,
) -> Result<Engine, OpenError> {
    check_files(paths)?;
    check_journals(paths, acknowledged)?;
    // fjall trusts some of what it reads, and says so with a panic when it was wrong to.
    let engine = catch_unwind(AssertUnwindSafe(|| Engine::recover(&paths.data, config)));
    match engine {
        Ok(Ok(Some(engine))) => Ok(engine),
        Ok(Ok(None)) => Err(paths.corrupt("its keyspace is missing".to_owned())),
        Ok(Err(error)) => Err(paths.tree_failed(error)),
        Err(_) => Err(paths.corrupt("its tables cannot be read".to_owned())),
    }
}

/// Checks that the files are there without which fjall takes a tree for new, or for half made and
/// fit to be removed. Ours was whole before it got its name.
fn check_files(paths: &Paths) -> Result<(), OpenError> {
    for file in ["version", "keyspaces/0/current", "keyspaces/1/current"] {
        if !paths
            .data
            .join(file)
            .try_exists()
            .map_err(|error| paths.failed(error))?
        {
            return Err(paths.corrupt(format!("data/{file} is missing")));
        }
    }
    Ok(())
}

/// Reads the journals from the oldest to the newest and demands that they tell one story: each
/// batch follows the one before, sealed journals are whole, and the last one ends in nothing worse
/// than a write that was never acknowledged. Such a write is cut off.
fn check_journals(paths: &Paths, acknowledged: Option<u64>) -> Result<(), OpenError> {
    let failed = |error| paths.failed(error);
    let journals = journal::journals(&paths.data).map_err(failed)?;
    let Some((active, sealed)) = journals.split_last() else {
        return Err(paths.corrupt("its journals are missing".to_owned()));
    };
    let mut last = None;
    for journal in sealed {
        if let Some(torn_at) = follow(paths, journal, &mut last)? {
            return Err(paths.corrupt(damage(journal, torn_at)));
        }
    }
    let torn_at = follow(paths, active, &mut last)?;
    if let (Some(last), Some(acknowledged)) = (last, acknowledged)
        && last < acknowledged
    {
        return Err(match torn_at {
            Some(torn_at) => paths.corrupt(damage(active, torn_at)),
            None => paths.lost(last, acknowledged),
        });
    }
    if let Some(torn_at) = torn_at {
        tracing::warn!(
            journal = %active.path.display(),
            byte = torn_at,
            "the journal ends in a write that was never acknowledged; it is cut off"
        );
        if last.is_none() && acknowledged.is_some() {
            // Whether the tables hold all that was acknowledged is only known when they are open.
            fs::copy(&active.path, paths.torn()).map_err(failed)?;
        }
        active.cut(torn_at).map_err(failed)?;
    }
    Ok(())
}

/// Reads one journal. `last` is the last write before it and becomes the last one in it. Returns
/// where whole batches end, if anything but zeroes follows there.
fn follow(
    paths: &Paths,
    journal: &Journal,
    last: &mut Option<u64>,
) -> Result<Option<u64>, OpenError> {
    let failed = |error| paths.failed(error);
    let mut batches = journal.batches().map_err(failed)?;
    loop {
        let at = batches.whole();
        let Some(batch) = batches.next().map_err(failed)? else {
            break;
        };
        if last.is_some_and(|last| batch.previous != last) {
            return Err(paths.corrupt(format!(
                "data/{}.jnl goes on at byte {at} with a write that does not follow number {}",
                journal.number,
                last.unwrap_or_default(),
            )));
        }
        *last = Some(batch.last);
    }
    let torn = batches.is_torn().map_err(failed)?;
    Ok(torn.then_some(batches.whole()))
}

fn damage(journal: &Journal, byte: u64) -> String {
    format!("data/{}.jnl is damaged at byte {byte}", journal.number)
}
