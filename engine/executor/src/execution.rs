//! One transaction while it executes: what all its frames share.

use millrace_jit::{Flow, ImageError, Trap, TrapKind};
use millrace_types::{Address, Gas, Hash};

use crate::context::Rules;
use crate::error::ExecutionError;
use crate::journal::Journal;
use crate::program_cache::Code;
use crate::reader::StateReader;

/// A trap of one frame: for logs and traces. Receipts know only that there was one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FrameTrap {
    /// The contract whose frame it was.
    pub contract: Address,
    /// The frame's depth; the transaction's own call is at 1.
    pub depth: u32,
    /// What happened, where. A frame that never started (its gas or the page limit did not suffice) traps at pc 0.
    pub trap: Trap,
}

/// How many traps of one transaction are kept for diagnostics: the newest ones.
pub const MAX_KEPT_TRAPS: usize = 16;

/// Why code is not entered.
pub(crate) enum NoProgram {
    /// The gas does not cover the first run, so the file was not even looked at: the frame traps.
    Unpaid,
    /// The code is no program of the machine in force.
    Invalid(ImageError),
}

/// Shared by the frames of one transaction.
pub(crate) struct Execution<'a> {
    pub(crate) rules: Rules<'a>,
    pub(crate) origin: Address,
    pub(crate) journal: Journal<'a>,
    /// Pages of stack, image, input and heap over all frames that are running.
    pub(crate) live_pages: u32,
    /// Journal entries counted so far; undone frames' stay counted.
    pub(crate) entries: u32,
    /// Why the execution is being abandoned. Set before [`Flow::Abort`], taken at the bottom.
    pub(crate) abandoned: Option<ExecutionError>,
    pub(crate) traps: Vec<FrameTrap>,
}

impl<'a> Execution<'a> {
    pub(crate) fn new(rules: Rules<'a>, origin: Address, reader: &'a dyn StateReader) -> Self {
        Self {
            rules,
            origin,
            journal: Journal::new(reader),
            live_pages: 0,
            entries: 0,
            abandoned: None,
            traps: Vec::new(),
        }
    }

    /// Notes why the execution is abandoned; the flow unwinds all frames.
    pub(crate) fn abandon(&mut self, error: ExecutionError) -> Flow {
        self.abandoned = Some(error);
        Flow::Abort
    }

    /// The error behind [`Flow::Abort`].
    pub(crate) fn take_abandoned(&mut self) -> ExecutionError {
        self.abandoned
            .take()
            .expect("only `abandon` gives Flow::Abort to a frame")
    }

    /// Counts a journal entry.
    pub(crate) fn count_entry(&mut self) -> Result<(), Flow> {
        if self.entries >= self.rules.limits.journal_entries {
            return Err(Flow::Trap(TrapKind::Host(
                "journal_entries: the transaction's limit of journal entries",
            )));
        }
        self.entries += 1;
        Ok(())
    }

    /// Keeps a trap for diagnostics.
    pub(crate) fn note_trap(&mut self, trap: FrameTrap) {
        if self.traps.len() == MAX_KEPT_TRAPS {
            self.traps.remove(0);
        }
        self.traps.push(trap);
    }

    /// The program that an account's code hash names, to be entered with `gas`; or why there is none to enter.
    ///
    /// What the cache holds must not show: gas decides first, from the file's length alone.
    pub(crate) fn program(
        &mut self,
        code_hash: &Hash,
        gas: Gas,
    ) -> Result<Result<Code, NoProgram>, ExecutionError> {
        let Rules {
            programs,
            machine,
            schedule,
            ..
        } = self.rules;
        let journal = &mut self.journal;
        let has_run = journal.has_run(code_hash);
        let is_paid = |len: u64| has_run || schedule.first_run.of(len) <= gas;
        if let Some(code) = programs.get(code_hash, machine) {
            return Ok(if is_paid(code.len) {
                Ok(code)
            } else {
                Err(NoProgram::Unpaid)
            });
        }
        let bytes = journal.code(code_hash)?;
        if !is_paid(bytes.len() as u64) {
            return Ok(Err(NoProgram::Unpaid));
        }
        let loaded = programs.load(code_hash, &bytes, machine);
        Ok(loaded.map_err(NoProgram::Invalid))
    }
}
