//! Why a frame is undone.

use alloc::borrow::Cow;
use alloc::string::String;

use crate::host;

/// Ends the frame with a message for the caller when a contract function returns it as its error. Effects are
/// undone, unused gas goes back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Revert(Cow<'static, str>);

impl Revert {
    /// What the caller gets to read: the frame's output is these UTF-8 bytes.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0
    }

    /// Ends the frame.
    #[cold]
    pub fn end_frame(self) -> ! {
        host::revert(self.0.as_bytes())
    }
}

impl From<&'static str> for Revert {
    fn from(message: &'static str) -> Self {
        Self(Cow::Borrowed(message))
    }
}

impl From<String> for Revert {
    fn from(message: String) -> Self {
        Self(Cow::Owned(message))
    }
}

impl core::fmt::Display for Revert {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for Revert {}
