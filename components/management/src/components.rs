//! The components of this host and their versions. A component belongs to it also where the file is missing that the
//! manifest names for it: then it has no version, until the fleet has one for it.

use std::collections::BTreeMap;

use starling_supervision::{ComponentName, Digest};

use crate::platform::{Platform, Version};

/// The versions of a component on this host, and the one that its manifest names.
pub(crate) type Versions = BTreeMap<ComponentName, (Option<Digest>, Vec<Version>)>;

/// All components of this host, their versions with what was seen of them in so many milliseconds.
pub(crate) fn components(platform: &impl Platform, window_ms: u64) -> Versions {
    let routes = platform.routes().into_iter();
    let named = routes.filter_map(|route| route.component.parse().ok());
    let mut components: Versions = named.map(|name| (name, Default::default())).collect();
    for version in platform.versions(window_ms) {
        let (own, versions) = components.entry(version.component.clone()).or_default();
        if version.own {
            *own = Some(version.digest);
        }
        versions.push(version);
    }
    components
}
