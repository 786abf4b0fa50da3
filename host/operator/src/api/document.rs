//! A document with its text.

use std::ops::Deref;

use serde::de::DeserializeOwned;

/// An answer of the API: what this crate understands of it, and all that it said.
#[derive(Clone, Debug)]
pub struct Document<T> {
    text: String,
    value: T,
}

impl<T: DeserializeOwned> Document<T> {
    /// Reads an answer.
    ///
    /// # Errors
    ///
    /// Where it is not JSON, or lacks a part of a `T`.
    pub(crate) fn parse(text: String) -> serde_json::Result<Self> {
        let value = serde_json::from_str(&text)?;
        Ok(Self { text, value })
    }
}

impl<T> Document<T> {
    /// The JSON, as it came.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl<T> Deref for Document<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
