//! How a command fails: one message that says what, where and what to do, and an exit status.

use crate::client::ClientFailure;

/// A command's failure. The process prints it after `millrace: ` and ends with status 1.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    message: String,
}

impl Failure {
    /// A failure with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

/// A text as a terminal may have it. Nodes, plugins and files have their words in it, and a terminal obeys some
/// characters: these are shown by their numbers.
#[must_use]
pub fn printable(text: &str) -> String {
    let turns_text = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_obeyed = |c: char| (c.is_control() && !matches!(c, '\n' | '\t')) || turns_text(c);
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_obeyed(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

impl From<ClientFailure> for Failure {
    fn from(failure: ClientFailure) -> Self {
        Self::new(failure.to_string())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::new(format!("an answer cannot be written as JSON: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_nothing_that_a_message_says() {
        let said = "red \u{1b}[31m \u{9b}0m bell\u{7} back\u{202e} nul\0\r";
        let shown = printable(said);
        assert_eq!(
            shown,
            "red \\u{1b}[31m \\u{9b}0m bell\\u{7} back\\u{202e} nul\\u{0}\\u{d}"
        );
        let plain = "two lines\n\tand \u{e9} \u{6f22}";
        assert_eq!(printable(plain), plain);
    }
}
