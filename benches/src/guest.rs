//! A program in the machine: loading it, and one run of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use millrace_jit::machine::{MAX_GAS_LIMIT, machine};
use millrace_jit::{CompileOptions, Ecall, End, Flow, Host, Instance, Program, Tier};

use crate::host::cpu_time;

const WRITE: u64 = 64;
const EXIT: u64 = 93;
const ENOSYS: i64 = 38;

/// What one run came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// CPU time of this thread, of [`Instance::run`] alone: an instance is made before and dropped after. A tier that compiles at the first
    /// call does it in here.
    pub time: Duration,
    /// What the guest wrote.
    pub output: Vec<u8>,
    /// The same in every tier.
    pub gas: u64,
    /// Where the tier counts them.
    pub instructions: Option<u64>,
}

/// The bare host in small: takes what the guest writes, ends when it exits, knows nothing else.
#[derive(Default)]
struct Recorder(Vec<u8>);

impl Host for Recorder {
    fn ecall(&mut self, call: &mut Ecall<'_>) -> Flow {
        call.results[0] = match call.number {
            WRITE => match call.memory.read(call.args[1], call.args[2]) {
                Ok(bytes) => {
                    self.0.extend_from_slice(bytes);
                    call.args[2]
                }
                Err(kind) => return Flow::Trap(kind),
            },
            EXIT => return Flow::Return,
            _ => (-ENOSYS).cast_unsigned(),
        };
        Flow::Continue
    }
}

/// A host that ends at exit and answers every other call with nothing.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Host for Silent {
    fn ecall(&mut self, call: &mut Ecall<'_>) -> Flow {
        if call.number == EXIT {
            Flow::Return
        } else {
            Flow::Continue
        }
    }
}

/// The program in `file`.
///
/// # Panics
/// If the machine refuses it.
#[must_use]
pub fn load(file: &Path) -> Arc<Program> {
    let elf = std::fs::read(file).expect("the linker's output is there");
    let machine = machine(1).expect("version 1 is part of every build");
    Arc::new(Program::load(&elf, machine).unwrap_or_else(|error| panic!("{}: {error}", file.display())))
}

/// The program in `file`, compiled to code that does not pay for gas: to see what paying costs.
///
/// # Panics
/// If the machine refuses it, or it cannot be compiled.
#[must_use]
pub fn load_unmetered(file: &Path) -> Arc<Program> {
    let program = load(file);
    let options = CompileOptions {
        meters: false,
        ..CompileOptions::for_this_process()
    };
    program
        .compile(&options)
        .expect("what compiles with gas compiles without");
    program
}

/// A fresh instance with `work` as the program's argument, as the bare host lays it out: argc, argv, empty lists.
fn instance(program: &Arc<Program>, work: u64) -> Instance {
    let mut instance = Instance::new(Arc::clone(program));
    let top = u64::from(program.machine().layout.stack_top);
    let text = format!("{work}\0");
    let argument = top - 32;
    let pointer = argument - 64;
    let words = [2, argument + 30, argument, 0, 0, 0, 0];
    let laid_out: Vec<u8> = words.iter().flat_map(|word: &u64| word.to_le_bytes()).collect();
    let memory = instance.memory_mut();
    memory
        .write(argument, text.as_bytes())
        .expect("the stack is mapped");
    memory.write(pointer, &laid_out).expect("the stack is mapped");
    instance.set_stack_pointer(pointer);
    instance
}

/// Runs a fresh instance of `program` in `tier`, with gas that does not run out.
///
/// # Panics
/// If the guest does not end by exit.
#[must_use]
pub fn run(program: &Arc<Program>, tier: Tier, work: u64) -> Run {
    let mut host = Recorder::default();
    let mut instance = instance(program, work);
    let start = cpu_time();
    let outcome = instance.run(tier, MAX_GAS_LIMIT, &mut host);
    let time = cpu_time().saturating_sub(start);
    assert_eq!(outcome.end, End::Returned, "the guest ends by exit");
    Run {
        time,
        output: host.0,
        gas: outcome.gas_used,
        instructions: outcome.instructions,
    }
}
