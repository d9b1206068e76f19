//! Where the rules say what a file breaks: validation stops at the first broken rule, an explanation goes on.
//!
//! There is one reader and one set of rules for both. Up to the first broken rule they do the same, so an explanation
//! is empty exactly for the files that validate, and its first entry is the error that validation gives.

use super::error::ImageError;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Report {
    /// What is broken so far; `None` where the first is the end.
    all: Option<Vec<ImageError>>,
    /// Whether a segment was left out, so that what it might have held cannot be missed.
    has_lost: bool,
}

impl Report {
    /// Stops at the first broken rule.
    pub(super) fn first() -> Self {
        Self {
            all: None,
            has_lost: false,
        }
    }

    /// Goes on as long as there is something to read.
    pub(super) fn all() -> Self {
        Self {
            all: Some(Vec::new()),
            has_lost: false,
        }
    }

    /// Notes a broken rule that the rest of the file can be read in spite of.
    ///
    /// # Errors
    /// The same, if it is to be the end.
    pub(super) fn broken(&mut self, error: ImageError) -> Result<(), ImageError> {
        match &mut self.all {
            None => Err(error),
            Some(all) => {
                all.push(error);
                Ok(())
            }
        }
    }

    /// [`Self::broken`], of a rule without which the segment is left out.
    ///
    /// # Errors
    /// As there.
    pub(super) fn lost_segment(&mut self, error: ImageError) -> Result<(), ImageError> {
        self.has_lost = true;
        self.broken(error)
    }

    /// Whether a segment was left out.
    pub(super) fn has_lost(&self) -> bool {
        self.has_lost
    }

    /// Says that nothing is broken.
    ///
    /// # Errors
    /// The newest entry, which is taken out, if something is.
    pub(super) fn settle(&mut self) -> Result<(), ImageError> {
        match self.all.as_mut().and_then(Vec::pop) {
            Some(newest) => Err(newest),
            None => Ok(()),
        }
    }

    /// Everything that was noted, and `last`.
    pub(super) fn with(self, last: Option<ImageError>) -> Vec<ImageError> {
        let mut all = self.all.unwrap_or_default();
        all.extend(last);
        all
    }
}
