//! What a token permits.

use std::fmt;
use std::str::FromStr;

use starling_mailbox::MailboxId;

/// What a client may do.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Scope {
    /// What the subscriber of one mailbox does: listen, mark, delete, forward, record greetings.
    Subscriber,
    /// What gateways and callers do: leave messages and hear greetings.
    Deposit,
    /// What operators do: create, change, list and delete mailboxes. It reads no messages.
    Provision,
    /// What those do who run the fleet: deploy, roll back, drain. It has nothing to do with mailboxes, and is
    /// limited to none.
    Operator,
}

/// A scope, and the one mailbox that it is limited to, if it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Grant {
    /// What may be done.
    pub scope: Scope,
    /// With this mailbox alone. Always set for [`Scope::Subscriber`], never for [`Scope::Operator`].
    pub mailbox: Option<MailboxId>,
}

impl Grant {
    /// Whether this is `scope`, for `mailbox`.
    pub fn covers(&self, scope: Scope, mailbox: &MailboxId) -> bool {
        self.scope == scope && self.mailbox.as_ref().is_none_or(|only| only == mailbox)
    }

    /// Whether this is `scope` without a limit to one mailbox.
    pub fn covers_all(&self, scope: Scope) -> bool {
        self.scope == scope && self.mailbox.is_none()
    }
}

/// The text names no [`Scope`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a scope is one of subscriber, deposit, provision, operator")]
pub struct InvalidScope;

impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        match text {
            "subscriber" => Ok(Self::Subscriber),
            "deposit" => Ok(Self::Deposit),
            "provision" => Ok(Self::Provision),
            "operator" => Ok(Self::Operator),
            _ => Err(InvalidScope),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Subscriber => "subscriber",
            Self::Deposit => "deposit",
            Self::Provision => "provision",
            Self::Operator => "operator",
        })
    }
}
