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
