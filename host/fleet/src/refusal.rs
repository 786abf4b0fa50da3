//! Why a version cannot serve, in the terms of `starling:management/artifacts`.

use std::error::Error;

use starling_engine::LoadError;
use starling_engine::management::artifacts::{Refusal, RefusalKind};

use crate::signatures::Untrusted;

pub(crate) fn refusal(kind: RefusalKind, detail: impl Into<String>) -> Refusal {
    Refusal {
        kind,
        detail: detail.into(),
    }
}

pub(crate) fn of_load(error: &LoadError) -> Refusal {
    let kind = match error {
        LoadError::NotWebAssembly => RefusalKind::NotWebassembly,
        LoadError::CoreModule => RefusalKind::CoreModule,
        LoadError::Invalid(_) => RefusalKind::InvalidComponent,
        LoadError::MissingImport { .. } => RefusalKind::MissingImport,
        LoadError::ImportNotAllowed { .. } => RefusalKind::ImportNotAllowed,
        LoadError::NoHandler(_) => RefusalKind::NoHandler,
    };
    let detail = match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    refusal(kind, detail)
}

pub(crate) fn of_signature(error: Untrusted) -> Refusal {
    let kind = match error {
        Untrusted::Unsigned => RefusalKind::Unsigned,
        Untrusted::WrongSignature | Untrusted::MalformedSignature => RefusalKind::WrongSignature,
    };
    refusal(kind, error.to_string())
}
