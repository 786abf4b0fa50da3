//! Cases about listing by prefix, page by page.

use std::collections::BTreeSet;

use super::{Provider, bytes, strings};
use crate::{Limits, Result, Store, layer::Limit};

/// Walks all pages of a listing. Fails where it does not end.
async fn walk(store: &dyn Store, prefix: &str, limit: usize) -> Result<Vec<Vec<String>>> {
    let mut pages = Vec::new();
    let mut after = None;
    loop {
        let page = store.list(prefix, after.as_deref(), limit).await?;
        assert!(
            page.keys.len() <= limit,
            "{} keys on a page of {limit}",
            page.keys.len()
        );
        pages.push(page.keys);
        assert!(pages.len() < 10_000, "the listing does not end");
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(pages),
        }
    }
}

async fn fill(store: &dyn Store, keys: &[String]) -> Result<()> {
    store
        .set_many(keys.iter().map(|key| (key.clone(), bytes(key))).collect())
        .await
}

fn numbered(prefix: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{prefix}{number:04}"))
        .collect()
}

/// No keys, one empty page, no cursor.
pub async fn empty_store_lists_nothing(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    for prefix in ["", "slot/"] {
        let page = store.list(prefix, None, 10).await?;
        assert_eq!(
            (page.keys, page.next),
            (Vec::new(), None),
            "prefix {prefix:?}"
        );
    }
    Ok(())
}

/// Whatever the size of a page, every key comes once.
pub async fn listing_returns_every_key_once(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    let keys = numbered("slot/", 57);
    fill(&*store, &keys).await?;
    for limit in [1, 2, 7, 56, 57, 58, 1000] {
        let mut listed = walk(&*store, "slot/", limit).await?.concat();
        listed.sort();
        assert_eq!(listed, keys, "pages of {limit}");
    }
    Ok(())
}

/// A listing whose last page is exactly full ends there, without an empty page to follow.
pub async fn page_that_ends_on_its_boundary_is_the_last(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    if !store.capabilities().ordered_listing {
        return Ok(());
    }
    fill(&*store, &numbered("slot/", 10)).await?;
    fill(&*store, &strings(["slot0", "zzz"])).await?;
    let pages = walk(&*store, "slot/", 5).await?;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [5, 5]);
    Ok(())
}

/// A prefix is bytes, not a path: one may begin another, and neighbours are left out.
pub async fn prefix_selects_by_bytes(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    let keys = [
        "a",
        "ab",
        "ab/1",
        "ab/2",
        "abc/1",
        "ac",
        "b",
        "é",
        "éa",
        "ê",
        "\u{10ffff}x",
    ];
    fill(&*store, &strings(keys)).await?;
    for prefix in [
        "",
        "a",
        "ab",
        "ab/",
        "abc",
        "abc/",
        "b",
        "é",
        "x",
        "\u{10ffff}",
    ] {
        let listed: BTreeSet<String> = walk(&*store, prefix, 2)
            .await?
            .concat()
            .into_iter()
            .collect();
        let expected: BTreeSet<String> = keys
            .into_iter()
            .filter(|key| key.starts_with(prefix))
            .map(str::to_owned)
            .collect();
        assert_eq!(listed, expected, "prefix {prefix:?}");
    }
    Ok(())
}

/// A key begins with itself.
pub async fn prefix_that_is_a_key_includes_it(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    fill(&*store, &strings(["slot/a", "slot/a/b", "slot/"])).await?;
    let mut listed = walk(&*store, "slot/a", 10).await?.concat();
    listed.sort();
    assert_eq!(listed, ["slot/a", "slot/a/b"]);
    Ok(())
}

/// Order is that of bytes, across pages, whatever the order of writing.
pub async fn ordered_listing_is_in_byte_order(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    if !store.capabilities().ordered_listing {
        return Ok(());
    }
    let keys = strings(["b", "a", "é", "Z", "aa", "a/", "10", "9", "\u{10ffff}", "~"]);
    for key in &keys {
        store.set(key, bytes("1")).await?;
    }
    let mut expected = keys;
    expected.sort();
    assert_eq!(walk(&*store, "", 3).await?.concat(), expected);
    Ok(())
}

/// Any key may serve as a cursor, be it there, gone, or before the first.
pub async fn ordered_listing_goes_on_after_any_key(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    if !store.capabilities().ordered_listing {
        return Ok(());
    }
    fill(&*store, &strings(["k/b", "k/d", "k/f"])).await?;
    for (after, expected) in [
        ("k/b", strings(["k/d", "k/f"]).as_slice()),
        ("k/c", &strings(["k/d", "k/f"])),
        ("a", &strings(["k/b", "k/d", "k/f"])),
        ("k/f", &[]),
        ("z", &[]),
    ] {
        assert_eq!(
            store.list("k/", Some(after), 10).await?.keys,
            expected,
            "after {after}"
        );
    }
    Ok(())
}

/// Keys that stay are all listed, each once where the order is promised, while others are written
/// and deleted between the pages.
pub async fn keys_that_stay_are_listed_while_others_come_and_go(
    provider: &dyn Provider,
) -> Result<()> {
    let store = provider.empty().await;
    let stay = numbered("slot/stay/", 20);
    let go: Vec<String> = stay.iter().map(|key| format!("{key}/gone")).collect();
    fill(&*store, &stay).await?;
    fill(&*store, &go).await?;

    let mut listed = Vec::new();
    let mut after = None;
    for round in 0_usize.. {
        assert!(round < 1_000, "the listing does not end");
        let page = store.list("slot/", after.as_deref(), 3).await?;
        listed.extend(page.keys);
        // One key before the cursor, one after it, and one that goes, which may be the cursor.
        if round < go.len() {
            store.set(&format!("slot/a/{round}"), bytes("1")).await?;
            store.set(&format!("slot/z/{round}"), bytes("1")).await?;
            store.delete(&go[round]).await?;
        }
        if page.next.is_none() {
            break;
        }
        after = page.next;
    }

    let kept: Vec<&String> = listed.iter().filter(|key| stay.contains(key)).collect();
    let distinct: BTreeSet<&String> = kept.iter().copied().collect();
    assert_eq!(
        distinct.into_iter().collect::<Vec<_>>(),
        stay.iter().collect::<Vec<_>>()
    );
    if store.capabilities().ordered_listing {
        assert_eq!(kept.len(), stay.len(), "a key was listed twice");
    }
    Ok(())
}

/// A deleted key is in no listing.
pub async fn deleted_keys_are_not_listed(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    let keys = numbered("slot/", 10);
    fill(&*store, &keys).await?;
    store.delete_many(&keys[2..8]).await?;
    store.delete(&keys[9]).await?;
    let mut listed = walk(&*store, "", 2).await?.concat();
    listed.sort();
    assert_eq!(listed, [&keys[..2], &keys[8..9]].concat());
    Ok(())
}

/// A page of no keys or of more than allowed is answered with one of a size that is.
pub async fn absurd_limits_are_brought_into_range(provider: &dyn Provider) -> Result<()> {
    let store = Limit::new(provider.empty().await, Limits::DEFAULT);
    let max = Limits::DEFAULT.page_keys_max;
    fill(&store, &numbered("a/", max)).await?;
    fill(&store, &numbered("b/", 1)).await?;
    assert_eq!(store.list("", None, 0).await?.keys.len(), 1);
    let page = store.list("", None, usize::MAX).await?;
    assert_eq!(page.keys.len(), max);
    assert!(page.next.is_some());
    Ok(())
}
