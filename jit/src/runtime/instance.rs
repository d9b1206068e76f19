//! A program with its memory, and running it.

use std::mem::ManuallyDrop;
use std::sync::Arc;

use super::host::Host;
use super::memory::{InstanceError, Memory};
use super::native;
use super::outcome::{Outcome, Trap, TrapKind};
use super::replay::{Record, Recorder};
use crate::compiler::CompileError;
use crate::image::Program;
use crate::interpreter::{self, Hart};
use crate::machine::MAX_GAS_LIMIT;

/// Which implementation of the one semantics runs. More come behind the same interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Tier {
    /// The reference interpreter.
    #[default]
    Interpreter,
    /// Native code: the whole program is compiled before its first run. What could not be found or compiled runs in
    /// tier 0.
    Jit,
    /// Tier 0 at once, native code for what becomes hot, compiled in the background.
    Auto,
}

/// A program with memory of its own, ready for one run.
#[derive(Debug)]
pub struct Instance {
    program: Arc<Program>,
    /// Taken by `drop` only.
    memory: ManuallyDrop<Memory>,
    stack_pointer: u64,
    registers: [u64; 32],
    interpreted_gas: u64,
    /// Whether runs are recorded; only the first can be, which starts from memory that is known.
    records: bool,
    has_run: bool,
    record: Option<Record>,
}

impl Instance {
    /// Memory as the program's file says, all registers zero but sp.
    ///
    /// Memory comes from a pool: a program that was run before costs no system call. It goes back when the instance is
    /// dropped.
    ///
    /// # Panics
    /// If the host cannot give the memory, with [`InstanceError`]'s words: a fault of the host that no guest may observe.
    #[must_use]
    pub fn new(program: Arc<Program>) -> Self {
        Self::try_new(program).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same for callers that can do something about a host without memory.
    ///
    /// # Errors
    /// What the host lacks.
    pub fn try_new(program: Arc<Program>) -> Result<Self, InstanceError> {
        let memory = Memory::try_new(&program)?;
        let stack_pointer = u64::from(program.machine().layout.stack_top);
        Ok(Self {
            program,
            memory: ManuallyDrop::new(memory),
            stack_pointer,
            registers: [0; 32],
            interpreted_gas: 0,
            records: false,
            has_run: false,
            record: None,
        })
    }

    /// The instance's memory.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The instance's memory, for hosts that lay something out before the run.
    pub fn memory_mut(&mut self) -> &mut Memory {
        &mut self.memory
    }

    /// Sets sp before the run; only the bare host does.
    pub fn set_stack_pointer(&mut self, sp: u64) {
        self.stack_pointer = sp;
    }

    /// Registers x0 to x31 as the last run left them: for tests and debuggers. Unspecified after a trap.
    #[must_use]
    pub fn registers(&self) -> &[u64; 32] {
        &self.registers
    }

    /// Runs from the entry until the call ends. `gas_limit` is at most [`MAX_GAS_LIMIT`].
    ///
    /// Registers start as [`Instance::new`] says, memory as it is: a second run sees what the first one wrote.
    ///
    /// # Panics
    /// If `gas_limit` is larger.
    pub fn run(&mut self, tier: Tier, gas_limit: u64, host: &mut dyn Host) -> Outcome {
        assert!(
            gas_limit <= MAX_GAS_LIMIT,
            "a gas limit of {gas_limit} passes the maximum of {MAX_GAS_LIMIT}"
        );
        self.record = (self.records && !self.has_run)
            .then(|| Record::new(self.stack_pointer, gas_limit, &mut self.memory));
        self.has_run = true;
        let mut hart = Hart::new(u64::from(self.program.entry()), self.stack_pointer, gas_limit);
        let is_native = match tier {
            Tier::Interpreter => false,
            Tier::Auto => self.prepare(tier).is_ok(),
            Tier::Jit => self.prepare(tier).is_ok(),
        };
        if is_native && native::has_room() {
            let mut recorder;
            let host: &mut dyn Host = match &mut self.record {
                Some(record) => {
                    recorder = Recorder { inner: host, record };
                    &mut recorder
                }
                None => host,
            };
            let ran = native::run::run(hart, &self.program, tier == Tier::Auto, &mut self.memory, host);
            self.registers = ran.registers;
            self.interpreted_gas = ran.interpreted;
            return ran.outcome;
        }
        let outcome = interpreter::run(&mut hart, &self.program, &mut self.memory, host);
        self.registers = hart.registers();
        self.interpreted_gas = outcome.gas_used;
        outcome
    }

    /// From now on notes what hosts answer and write, so that [`Instance::diagnose`] can tell what a trap was. To be called
    /// before anything is written to memory; costs a little at each host call.
    pub fn record(&mut self) {
        self.records = true;
        self.memory.start_recording();
    }

    /// What a trap of the last run was. Native code reports [`TrapKind::Undetermined`]; for a recorded run this runs it
    /// again in the reference interpreter, with the recorded answers of its host, and gives kind and pc; memory and
    /// registers are then as the trap found them. That takes as long as the interpreter takes. Any other trap is given
    /// back as it is, and so is one that was not recorded.
    pub fn diagnose(&mut self, trap: &Trap) -> Trap {
        let replayed = match &self.record {
            Some(record) if trap.kind == TrapKind::Undetermined => record.replay(&self.program),
            _ => None,
        };
        let Some(replayed) = replayed else {
            return trap.clone();
        };
        let memory = std::mem::replace(&mut *self.memory, replayed.memory);
        memory.give_back(&self.program);
        self.registers = replayed.registers;
        replayed.trap
    }

    /// Gas that the last run used in tier 0, host calls made from there included. Unspecified after a trap.
    #[must_use]
    pub fn interpreted_gas(&self) -> u64 {
        self.interpreted_gas
    }

    /// Makes ready what a tier needs before a run, so that the run itself does not wait for it.
    ///
    /// # Errors
    /// [`CompileError`]; runs take the interpreter then, with equal results.
    pub fn prepare(&self, tier: Tier) -> Result<(), &CompileError> {
        match tier {
            Tier::Interpreter => Ok(()),
            Tier::Auto => {
                native::recall(&self.program);
                Ok(())
            }
            Tier::Jit => self.program.compile(&native::options()),
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // SAFETY: the instance is going, so nobody uses the field again.
        let memory = unsafe { ManuallyDrop::take(&mut self.memory) };
        memory.give_back(&self.program);
    }
}
