//! What an operator does with `starling` from a shell, on the machine of a host.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use tokio::process::Command;

use crate::paths;

/// A shell on the machine of one host.
#[derive(Clone, Debug)]
pub struct Operator {
    state: PathBuf,
}

/// A command that failed.
#[derive(Debug)]
pub struct Failed {
    /// Its exit code.
    pub code: Option<i32>,
    /// What it said.
    pub stderr: String,
}

impl Operator {
    /// On the machine of the host that keeps its state in `state`.
    #[must_use]
    pub fn at(state: &Path) -> Self {
        Self {
            state: state.to_owned(),
        }
    }

    /// Runs `starling` with these words and asks for JSON.
    ///
    /// # Panics
    ///
    /// Where it fails, with what it said, or answers with something else.
    pub async fn run(&self, words: &[impl AsRef<OsStr>]) -> Value {
        match self.attempt(words).await {
            Ok(answer) => answer,
            Err(failed) => panic!("exit code {:?}\n{}", failed.code, failed.stderr),
        }
    }

    /// Runs `starling` with these words, which must fail.
    ///
    /// # Panics
    ///
    /// Where it succeeds.
    pub async fn refused(&self, words: &[impl AsRef<OsStr>]) -> Failed {
        match self.attempt(words).await {
            Ok(answer) => panic!("it succeeds: {answer}"),
            Err(failed) => failed,
        }
    }

    /// Runs `starling` with these words and asks for JSON.
    ///
    /// # Errors
    ///
    /// [`Failed`].
    ///
    /// # Panics
    ///
    /// Where it succeeds without JSON.
    pub async fn attempt(&self, words: &[impl AsRef<OsStr>]) -> Result<Value, Failed> {
        let said = self.output(words, "json").await;
        if !said.status.success() {
            return Err(Failed {
                code: said.status.code(),
                stderr: String::from_utf8_lossy(&said.stderr).into_owned(),
            });
        }
        Ok(serde_json::from_slice(&said.stdout)
            .unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(&said.stdout))))
    }

    /// Runs `starling sign` with these words.
    ///
    /// # Panics
    ///
    /// Where it fails, with what it said.
    pub async fn sign(&self, words: &[&str]) {
        let signed = Command::new(paths::host()).arg("sign").args(words).output();
        let said = signed.await.expect("the command runs");
        let stderr = String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success(), "{stderr}");
    }

    /// What `starling` prints for people.
    ///
    /// # Panics
    ///
    /// Where it fails, with what it said.
    pub async fn table(&self, words: &[impl AsRef<OsStr>]) -> String {
        let said = self.output(words, "table").await;
        let stderr = String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success(), "{stderr}");
        String::from_utf8_lossy(&said.stdout).into_owned()
    }

    async fn output(&self, words: &[impl AsRef<OsStr>], output: &str) -> Output {
        Command::new(paths::host())
            .args(words)
            .args(["--output", output])
            .arg("--state-dir")
            .arg(&self.state)
            .env_remove("STARLING_TOKEN")
            .kill_on_drop(true)
            .output()
            .await
            .expect("the command runs")
    }
}
