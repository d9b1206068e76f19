//! A program with its memory, and running it.

use std::mem::ManuallyDrop;
use std::sync::Arc;

use super::host::Host;
use super::memory::{InstanceError, Memory};
use super::native;
use super::native::run::Ran;
use super::observer::{Observed, Observer};
use super::outcome::{Outcome, Trap, TrapKind};
use super::replay::{Record, Recorder, Resumed};
use crate::compiler::CompileError;
use crate::image::Program;
use crate::interpreter::{self, Hart, Start};
use crate::machine::MAX_GAS_LIMIT;

/// Which implementation of the one semantics runs. More come behind the same interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Tier {
    /// The reference interpreter.
    #[default]
    Interpreter,
    /// Native code: the whole program is compiled before its first run. What was not found runs in
    /// tier 0 until it is hot, as in [`Tier::Auto`].
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
    has_run: bool,
    /// What the host answered in the last run. Only the first is recorded, which starts from memory that is known.
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
        let mut memory = Memory::try_new(&program)?;
        memory.start_recording();
        let stack_pointer = u64::from(program.machine().layout.stack_top);
        Ok(Self {
            program,
            memory: ManuallyDrop::new(memory),
            stack_pointer,
            registers: [0; 32],
            interpreted_gas: 0,
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

    /// Registers x0 to x31 as the last run left them: for tests and debuggers. Unspecified after a trap. After native code
    /// only those that the last host call could see are specified: others may have been dead before.
    #[must_use]
    pub fn registers(&self) -> &[u64; 32] {
        &self.registers
    }

    /// Runs from the entry until the call ends. `gas_limit` is at most [`MAX_GAS_LIMIT`].
    ///
    /// Registers start as [`Instance::new`] says, memory as it is: a second run sees what the first one wrote.
    ///
    /// # Panics
    /// If `gas_limit` is larger; if the host cannot give the memory that a run needs to start over in other code, with
    /// [`InstanceError`]'s words.
    pub fn run(&mut self, tier: Tier, gas_limit: u64, host: &mut dyn Host) -> Outcome {
        assert!(
            gas_limit <= MAX_GAS_LIMIT,
            "a gas limit of {gas_limit} passes the maximum of {MAX_GAS_LIMIT}"
        );
        let program = Arc::clone(&self.program);
        // Only what starts from memory that is known can start over.
        let is_first = !std::mem::replace(&mut self.has_run, true);
        let code = if is_first {
            program.native()
        } else {
            program.exact()
        };
        let is_native = match tier {
            Tier::Interpreter => false,
            Tier::Auto => {
                native::ask_for_recall(&program);
                true
            }
            Tier::Jit => program.compile_as(code, &native::options()).is_ok(),
        };
        self.record = None;
        let start = self.start(gas_limit);
        if !is_native || !native::has_room() {
            self.memory.stop_recording();
            let mut hart = Hart::new(start, &self.memory);
            let outcome = interpreter::run(&mut hart, &program, &mut self.memory, host);
            self.registers = hart.registers();
            self.interpreted_gas = outcome.gas_used;
            return outcome;
        }
        let ran = if is_first {
            let mut record = Record::new(self.stack_pointer, gas_limit, &mut self.memory);
            let mut recorder = Recorder::new(host, &mut record);
            recorder.stops_when_full = !code.is_exact();
            let ran = native::run::run(start, &program, code, &mut self.memory, &mut recorder);
            let ran = if recorder.stopped || ran.outcome.is_none() {
                self.start_over(tier, gas_limit, &mut record, host)
            } else {
                ran
            };
            self.record = Some(record);
            ran
        } else {
            self.memory.stop_recording();
            native::run::run(start, &program, code, &mut self.memory, host)
        };
        self.registers = ran.registers;
        self.interpreted_gas = ran.interpreted;
        ran.outcome.expect("exact code does not stray")
    }

    /// Runs as [`Self::run`] does in [`Tier::Interpreter`], with the same result, and tells `observer` of every jump. After any
    /// end, memory and [`Self::registers`] are as it found them.
    ///
    /// # Panics
    /// If `gas_limit` is larger than [`MAX_GAS_LIMIT`].
    pub fn run_observed(&mut self, gas_limit: u64, host: &mut dyn Host, observer: &dyn Observer) -> Observed {
        assert!(
            gas_limit <= MAX_GAS_LIMIT,
            "a gas limit of {gas_limit} passes the maximum of {MAX_GAS_LIMIT}"
        );
        self.has_run = true;
        self.record = None;
        self.memory.stop_recording();
        let program = Arc::clone(&self.program);
        let mut hart = Hart::new(self.start(gas_limit), &self.memory);
        let outcome = interpreter::run_observed(&mut hart, &program, &mut self.memory, host, observer);
        self.registers = hart.registers();
        self.interpreted_gas = outcome.gas_used;
        Observed {
            outcome,
            pc: hart.pc,
            gas_left: hart.gas_left(),
        }
    }

    /// Runs again from the beginning, in code that makes no assumptions, with what the host answered so far.
    #[cold]
    fn start_over(&mut self, tier: Tier, gas_limit: u64, record: &mut Record, host: &mut dyn Host) -> Ran {
        let program = Arc::clone(&self.program);
        let code = program.stray();
        if tier == Tier::Jit {
            // Without native code the dispatcher stays in tier 0.
            let _ = program.compile_as(code, &native::options());
        }
        let mut memory = Memory::try_new(&program).unwrap_or_else(|error| panic!("{error}"));
        memory.start_recording();
        std::mem::replace(&mut *self.memory, memory).give_back(&program);
        let past = record.past();
        let mut recorder = Recorder::new(host, record);
        let mut resumed = Resumed::new(&past, &mut recorder, &mut self.memory)
            .expect("what was laid out in fresh memory can be laid out again");
        let start = self.start(gas_limit);
        native::run::run(start, &program, code, &mut self.memory, &mut resumed)
    }

    /// Where a run starts.
    fn start(&self, gas_limit: u64) -> Start {
        Start {
            entry: u64::from(self.program.entry()),
            stack_pointer: self.stack_pointer,
            gas_limit,
        }
    }

    /// What a trap of the last run was. Native code reports [`TrapKind::Undetermined`]; this runs it again in the reference
    /// interpreter, with the recorded answers of its host, and gives kind and pc; memory and registers are then as the trap
    /// found them. That takes as long as the interpreter takes. Any other trap is given back as it is, and so is that of a
    /// second run on the same memory, or of one whose host calls took more than the record holds.
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

    /// Makes ready what a tier needs before a run, and waits for that: a run of [`Tier::Jit`] would wait, and one of
    /// [`Tier::Auto`] start without it.
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
