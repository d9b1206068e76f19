//! What of a program is kept in its cache, and when it comes back.
//!
//! A program that is compiled as a whole is one file. What becomes hot is compiled batch by batch, and each batch is a
//! file of its own, numbered in that order: batches do not know of each other, so that any set of them is right. When the
//! program is first run again, its batches come back from number 0 until one is missing, and the next to be compiled
//! takes that number.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::CodeCache;
use super::name::{self, Digest, Part};
use crate::compiler::{CompileError, CompileOptions};
use crate::image::Program;
use crate::runtime::native::Batch;

/// A program's place in a cache.
#[derive(Debug)]
pub(crate) struct Attachment {
    cache: Arc<CodeCache>,
    identity: OnceLock<Digest>,
    /// Whether somebody has been asked to give batches back.
    is_asked: AtomicBool,
    /// How many batches are kept, once those that were there have come back.
    batches: OnceLock<Mutex<u32>>,
}

impl Attachment {
    pub(crate) fn new(cache: Arc<CodeCache>) -> Self {
        Self {
            cache,
            identity: OnceLock::new(),
            is_asked: AtomicBool::new(false),
            batches: OnceLock::new(),
        }
    }

    /// The whole program's code: what is kept, or what `compile` makes, which is kept then.
    pub(crate) fn whole(
        &self,
        program: &Program,
        options: &CompileOptions,
        compile: impl FnOnce() -> Result<Batch, CompileError>,
    ) -> Result<Batch, CompileError> {
        let name = self.name(program, options, Part::Whole)?;
        if let Some(batch) = self.cache.load(&name, program) {
            return Ok(batch);
        }
        let batch = compile()?;
        self.cache.store(&name, &batch, program);
        Ok(batch)
    }

    /// Has `ask` ask for [`Attachment::recall`], until that was once taken.
    pub(crate) fn ask_for_recall(&self, ask: impl FnOnce() -> bool) {
        if self.is_asked.load(Ordering::Relaxed) || self.is_asked.swap(true, Ordering::Relaxed) {
            return;
        }
        if !ask() {
            self.is_asked.store(false, Ordering::Relaxed);
        }
    }

    /// Gives the batches that are kept to `publish`, while it wants more: once, whoever comes first; others wait for that.
    pub(crate) fn recall(
        &self,
        program: &Program,
        options: impl FnOnce() -> CompileOptions,
        mut publish: impl FnMut(Batch) -> bool,
    ) {
        self.batches.get_or_init(|| {
            let options = options();
            let mut number = 0;
            let next = |number| {
                let name = self.name(program, &options, Part::Batch(number)).ok()?;
                self.cache.load(&name, program)
            };
            while let Some(batch) = next(number) {
                number += 1;
                if !publish(batch) {
                    break;
                }
            }
            Mutex::new(number)
        });
    }

    /// Keeps a batch that was compiled around a hot address.
    pub(crate) fn keep(&self, program: &Program, options: &CompileOptions, batch: &Batch) {
        let Some(batches) = self.batches.get() else {
            return;
        };
        let mut number = batches.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(name) = self.name(program, options, Part::Batch(*number)) else {
            return;
        };
        // What could not be kept leaves no gap.
        if self.cache.store(&name, batch, program) {
            *number += 1;
        }
    }

    fn name(&self, program: &Program, options: &CompileOptions, part: Part) -> Result<Digest, CompileError> {
        let identity = self.identity.get_or_init(|| name::identity(program));
        self.cache.name(identity, options, part)
    }
}
