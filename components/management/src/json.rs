//! The reading of the JSON that the API takes, member by member: an unknown member is refused by its name rather than
//! ignored, for who sends it believes that it does something.

use serde_json::{Map, Value};
use starling_supervision::{
    CANARY_PERCENT_DEFAULT, ComponentName, Digest, Draft, STEP_MS_DEFAULT, Strategy,
};

use crate::problem::Problem;

/// The longest reason that is taken, in bytes.
const REASON_BYTES_MAX: usize = 512;

/// Reads which version is to be rolled out, and how.
pub(crate) fn rollout(body: &[u8]) -> Result<(ComponentName, Digest, Draft), Problem> {
    let (mut component, mut digest) = (None, None);
    let mut draft = Draft {
        digest: None,
        strategy: Strategy::Canary,
        gate: false,
        canary_percent: CANARY_PERCENT_DEFAULT,
        step_ms: STEP_MS_DEFAULT,
        rollback: false,
    };
    for (member, value) in object(body)? {
        let member = member.as_str();
        match member {
            "component" => component = Some(parsed::<ComponentName>(member, &value)?),
            "digest" => digest = Some(parsed::<Digest>(member, &value)?),
            "strategy" => draft.strategy = strategy(member, value)?,
            "gate" => draft.gate = boolean(member, &value)?,
            "canary_percent" => draft.canary_percent = number(member, &value)?,
            "step_ms" => draft.step_ms = number(member, &value)?,
            _ => {
                let known = "component, digest, strategy, gate, canary_percent, step_ms";
                return Err(unknown(member, known));
            }
        }
    }
    let component = component.ok_or_else(|| missing("component"))?;
    let digest = digest.ok_or_else(|| missing("digest"))?;
    draft.digest = Some(digest);
    Ok((component, digest, draft))
}

/// Reads whether all steps are approved of, or the one that a rollout is in.
pub(crate) fn approval(body: &[u8]) -> Result<bool, Problem> {
    let mut all = false;
    for (member, value) in optional_object(body)? {
        match member.as_str() {
            "all" => all = boolean(&member, &value)?,
            _ => return Err(unknown(&member, "all")),
        }
    }
    Ok(all)
}

/// Reads why a rollout is aborted.
pub(crate) fn abortion(body: &[u8]) -> Result<Option<String>, Problem> {
    let mut reason = None;
    for (member, value) in optional_object(body)? {
        match member.as_str() {
            "reason" => reason = Some(text(&member, &value)?.to_owned()),
            _ => return Err(unknown(&member, "reason")),
        }
    }
    if reason
        .as_ref()
        .is_some_and(|reason| reason.len() > REASON_BYTES_MAX)
    {
        let detail = format!("it has more than {REASON_BYTES_MAX} bytes");
        return Err(invalid("reason", detail));
    }
    Ok(reason.filter(|reason| !reason.is_empty()))
}

/// Reads a body without any members.
pub(crate) fn nothing(body: &[u8]) -> Result<(), Problem> {
    match optional_object(body)?.keys().next() {
        Some(member) => Err(unknown(member, "none")),
        None => Ok(()),
    }
}

fn optional_object(body: &[u8]) -> Result<Map<String, Value>, Problem> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    object(body)
}

fn object(body: &[u8]) -> Result<Map<String, Value>, Problem> {
    let value = serde_json::from_slice(body).map_err(|error| Problem::BodyMalformed {
        detail: format!("the body is no JSON: {error}"),
    })?;
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(Problem::BodyMalformed {
            detail: "the body is JSON, but no object".into(),
        }),
    }
}

fn strategy(member: &str, value: Value) -> Result<Strategy, Problem> {
    let named = serde_json::from_value(value);
    named.map_err(|_| invalid(member, "it is none of canary, rolling, all".into()))
}

fn boolean(member: &str, value: &Value) -> Result<bool, Problem> {
    let boolean = value.as_bool();
    boolean.ok_or_else(|| invalid(member, "it is neither true nor false".into()))
}

/// A number of this type; whether it makes sense is for the domain to say.
fn number<N: TryFrom<u64>>(member: &str, value: &Value) -> Result<N, Problem> {
    let number = value.as_u64().and_then(|number| number.try_into().ok());
    number.ok_or_else(|| invalid(member, "it is no whole number, or much too large".into()))
}

fn text<'a>(member: &str, value: &'a Value) -> Result<&'a str, Problem> {
    let text = value.as_str();
    text.ok_or_else(|| invalid(member, "it is no text".into()))
}

fn parsed<T>(member: &str, value: &Value) -> Result<T, Problem>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    let parsed = text(member, value)?.parse();
    parsed.map_err(|error: T::Err| invalid(member, error.to_string()))
}

fn missing(member: &str) -> Problem {
    invalid(member, "it is missing".into())
}

fn unknown(member: &str, known: &str) -> Problem {
    invalid(member, format!("it is not known; known are {known}"))
}

/// What is wrong with a member.
pub(crate) fn invalid(member: &str, detail: String) -> Problem {
    Problem::MemberInvalid {
        member: member.to_owned(),
        detail,
    }
}
