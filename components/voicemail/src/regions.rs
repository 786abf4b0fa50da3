//! Which region this is, and which there are: the variables `region` and `regions`.

use starling_mailbox::Region;

use crate::platform::{Platform, Variable};
use crate::problem::Problem;

/// The region that a component is in unless it is told: the one of `spin up` on a laptop.
const DEFAULT_REGION: &str = "local";

/// The label of the own region's store.
const OWN_STORE: &str = "default";

/// The regions of a deployment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Regions {
    /// The one that this component runs in, and whose store it may write.
    pub(crate) own: Region,
    /// All the others, each once.
    pub(crate) others: Vec<Region>,
}

impl Regions {
    /// Reads the variables `region` and `regions` (comma-separated; the own region may be among
    /// them or not).
    pub(crate) async fn read(platform: &impl Platform) -> Result<Self, Problem> {
        let own: Region = parse(platform, "region", &text(platform, "region").await?)?;
        let mut others = Vec::new();
        for name in text(platform, "regions").await?.split(',').map(str::trim) {
            if name.is_empty() {
                continue;
            }
            let region = parse(platform, "regions", name)?;
            if region != own && !others.contains(&region) {
                others.push(region);
            }
        }
        Ok(Self { own, others })
    }

    /// The label of a region's store, as seen from here.
    pub(crate) fn store_label(&self, region: &Region) -> String {
        if *region == self.own {
            OWN_STORE.into()
        } else {
            format!("{OWN_STORE}@{region}")
        }
    }
}

async fn text(platform: &impl Platform, variable: &str) -> Result<String, Problem> {
    match platform.variable(variable).await {
        Variable::Set(value) if !value.trim().is_empty() => Ok(value.trim().to_owned()),
        Variable::Set(_) | Variable::Unset => Ok(DEFAULT_REGION.to_owned()),
        Variable::Unreadable(why) => {
            platform.log(&format!("variable {variable}: {why}"));
            Err(Problem::Misconfigured)
        }
    }
}

fn parse(platform: &impl Platform, variable: &str, name: &str) -> Result<Region, Problem> {
    name.parse().map_err(|error| {
        platform.log(&format!("variable {variable}: {name:?}: {error}"));
        Problem::Misconfigured
    })
}
