//! Results for people, as tables, and for programs, as the API's own JSON.
//!
//! Nothing in here knows what it is printed to: colours are for whoever says that it is a terminal. What a host says is
//! shown without its control characters.

mod fleet;
mod json;
mod rollout;
mod table;
mod words;

use crate::api::{ArtifactStatus, Document, Drain};
use crate::deploy::Progress;

pub use table::Colours;
use table::plain;

/// For whom a result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// People.
    Table(Colours),
    /// Programs: the API's JSON on a line.
    Json,
    /// Either: the same, over several lines.
    JsonPretty,
}

/// What can be shown to people.
pub trait Show {
    /// Lines that end in a newline.
    fn show(&self, colours: Colours) -> String;
}

/// The text of a result. It ends in a newline.
#[must_use]
pub fn render<T: Show>(document: &Document<T>, format: Format) -> String {
    match format {
        Format::Table(colours) => document.show(colours),
        Format::Json => json::on_a_line(document.text()),
        Format::JsonPretty => json::indented(document.text()),
    }
}

/// A line about what happens, without a newline.
#[must_use]
pub fn progress(progress: &Progress<'_>) -> String {
    match progress {
        Progress::Present(digest) => format!("{} is in the fleet already", digest.short()),
        Progress::Uploading { digest, bytes } => {
            format!("sending {} ({})", digest.short(), words::size(*bytes))
        }
        Progress::Staging(digest) => format!("{} is checked and compiled", digest.short()),
        Progress::Ready(digest) => format!("{} is ready", digest.short()),
        Progress::Rollout(rollout) => rollout::line(rollout),
        Progress::OutOfReach(error) => plain(&format!("{error} Asking again.")),
    }
}

impl Show for Drain {
    fn show(&self, _: Colours) -> String {
        let host = plain(&self.host);
        if self.drain {
            format!("{host} is drained: it refuses new traffic until `starling undrain {host}`\n")
        } else {
            format!("{host} takes traffic, if it is well\n")
        }
    }
}

impl Show for ArtifactStatus {
    fn show(&self, _: Colours) -> String {
        let refusal = self.refusal.as_ref().map(|refusal| {
            let detail = &refusal.detail;
            format!(
                ": {}{}{detail}",
                refusal.kind,
                if detail.is_empty() { "" } else { ", " }
            )
        });
        plain(&format!(
            "{} {} is {}{}",
            self.component,
            self.digest.short(),
            self.state.as_str(),
            refusal.unwrap_or_default()
        )) + "\n"
    }
}
