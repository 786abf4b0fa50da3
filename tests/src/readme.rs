//! Commands out of README.md, for tests that do what a reader is told to do.

use crate::paths;

/// A block between fences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// What follows the fence: `sh` for a shell, `text` for lines to be typed elsewhere.
    pub language: String,
    /// The lines.
    pub text: String,
}

/// README.md.
///
/// # Panics
///
/// Where there is none.
#[must_use]
pub fn read() -> String {
    std::fs::read_to_string(paths::root().join("README.md")).expect("there is a README.md")
}

/// All blocks between the heading that holds `words`, in any case, and the next heading of its level.
#[must_use]
pub fn blocks(readme: &str, words: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let (mut level, mut block): (Option<usize>, Option<(&str, Vec<&str>)>) = (None, None);
    for line in readme.lines() {
        if let Some((language, lines)) = &mut block {
            if line.starts_with("```") {
                if level.is_some() {
                    blocks.push(Block {
                        language: (*language).to_owned(),
                        text: lines.join("\n"),
                    });
                }
                block = None;
            } else {
                lines.push(line);
            }
            continue;
        }
        let hashes = line.bytes().take_while(|byte| *byte == b'#').count();
        if hashes > 0 && line.to_lowercase().contains(&words.to_lowercase()) {
            level = Some(hashes);
        } else if hashes > 0 && level.is_some_and(|level| hashes <= level) {
            level = None;
        } else if let Some(language) = line.strip_prefix("```") {
            block = Some((language.trim(), Vec::new()));
        }
    }
    blocks
}
