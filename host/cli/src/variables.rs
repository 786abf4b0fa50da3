//! Application variables: declared in the manifest, set through `SPIN_VARIABLE_*`, else their default. Pure but for
//! the lookup that is passed in.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::manifest::Variable;

/// A declared variable without a value.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the variable `{name}` is required and has no value; set it with {environment}=…")]
pub(crate) struct MissingVariable {
    name: String,
    environment: String,
}

/// The value of each declared variable. `said` is given its name and the name of the environment variable that may set
/// it.
///
/// # Errors
/// The first variable that is required and not set.
pub(crate) fn resolve(
    declared: &BTreeMap<String, Variable>,
    said: impl Fn(&str, &str) -> Option<String>,
) -> Result<BTreeMap<String, String>, MissingVariable> {
    let resolved = declared.iter().map(|(name, variable)| {
        let key = format!("SPIN_VARIABLE_{}", name.to_ascii_uppercase());
        match said(name, &key).or_else(|| variable.default.clone()) {
            Some(value) => Ok((name.clone(), value)),
            None => Err(MissingVariable {
                name: name.clone(),
                environment: key,
            }),
        }
    });
    resolved.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(name: &str, default: Option<&str>) -> BTreeMap<String, Variable> {
        let variable = Variable {
            default: default.map(str::to_owned),
            ..Variable::default()
        };
        [(name.to_owned(), variable)].into()
    }

    #[test]
    fn the_environment_wins_over_the_default() {
        let environment =
            |_: &str, key: &str| (key == "SPIN_VARIABLE_REGION").then(|| "eu".to_owned());
        let resolved = resolve(&declared("region", Some("local")), environment).unwrap();
        assert_eq!(resolved["region"], "eu");
    }

    #[test]
    fn without_a_setting_the_default_holds() {
        let resolved = resolve(&declared("region", Some("local")), |_, _| None).unwrap();
        assert_eq!(resolved["region"], "local");
    }

    #[test]
    fn a_required_variable_without_value_says_how_to_set_it() {
        let error = resolve(&declared("session_key", None), |_, _| None).unwrap_err();
        assert!(error.to_string().contains("SPIN_VARIABLE_SESSION_KEY="));
    }
}
