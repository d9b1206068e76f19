//! Comparing runs, and telling the first difference.

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

use millrace_jit::{CompileOptions, End, Program, Protection, Tier, Trap, TrapKind, wait_for_compiler};

use super::guest::{Guest, REGISTERS, SCRATCH_END};
use super::host::{Ending, Script};
use super::run::{REFERENCE, Run, Setting, TIERS, run};
use crate::qemu::run_qemu;

/// Where two runs of the same program part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Which tier, or qemu.
    pub side: String,
    /// What is different, with both values.
    pub what: String,
    /// The `ecall`, counted from 0, at which it shows.
    pub event: Option<usize>,
    /// Address of the instruction at which it shows, if that is known.
    pub pc: Option<u64>,
}

impl Display for Difference {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.side, self.what)
    }
}

/// The first thing in which `other` is not as `reference`.
#[must_use]
pub fn difference(side: &str, reference: &Run, other: &Run) -> Option<Difference> {
    let found = |what: String, event, pc| {
        Some(Difference {
            side: side.to_owned(),
            what,
            event,
            pc,
        })
    };
    let pairs = reference.events.iter().zip(&other.events);
    if let Some(index) = pairs.clone().position(|(ours, theirs)| ours != theirs) {
        let (ours, theirs) = (reference.events[index], other.events[index]);
        let what = format!("ecall {index} sees\n  {theirs:x?}, the reference\n  {ours:x?}");
        return found(what, Some(index), None);
    }
    if reference.events.len() != other.events.len() {
        let (ours, theirs) = (reference.events.len(), other.events.len());
        let what = format!(
            "{theirs} ecalls, the reference {ours}; it ends with {:?}",
            other.outcome.end
        );
        return found(
            what,
            Some(ours.min(theirs)),
            trap_pc(reference).or(trap_pc(other)),
        );
    }
    if reference.outcome.end != other.outcome.end {
        let what = format!(
            "ends with {:x?}, the reference with {:x?}",
            other.outcome.end, reference.outcome.end
        );
        return found(what, None, trap_pc(reference).or(trap_pc(other)));
    }
    if reference.outcome.gas_used != other.outcome.gas_used {
        let what = format!(
            "gas used is {}, the reference's {}",
            other.outcome.gas_used, reference.outcome.gas_used
        );
        return found(what, None, trap_pc(reference));
    }
    if let (Some(ours), Some(theirs)) = (reference.outcome.instructions, other.outcome.instructions)
        && ours != theirs
    {
        return found(
            format!("counts {theirs} instructions, the reference {ours}"),
            None,
            trap_pc(reference),
        );
    }
    if reference.status != other.status {
        return found(
            format!(
                "exits with {:?}, the reference with {:?}",
                other.status, reference.status
            ),
            None,
            None,
        );
    }
    if let Some(what) = output_difference(&reference.output, &other.output) {
        return found(what, None, None);
    }
    if reference.memory != other.memory {
        return found("memory at the end is another".to_owned(), None, None);
    }
    None
}

fn trap_pc(run: &Run) -> Option<u64> {
    match &run.outcome.end {
        End::Trapped(Trap { pc, .. }) => Some(*pc),
        _ => None,
    }
}

/// The first byte of output that is different; the last bytes are the dump of registers and scratch memory.
fn output_difference(ours: &[u8], theirs: &[u8]) -> Option<String> {
    if ours.len() != theirs.len() {
        return Some(format!(
            "{} bytes of output, the reference {}",
            theirs.len(),
            ours.len()
        ));
    }
    let at = (0..ours.len()).find(|&at| ours[at] != theirs[at])?;
    let dump = ours.len().saturating_sub(SCRATCH_END as usize + 0x800);
    let place = match at.checked_sub(dump) {
        Some(offset) if (offset as u64) < REGISTERS => {
            format!(
                "register {} at the end",
                millrace_jit::isa::register_name((offset / 8) as u8)
            )
        }
        Some(offset) if (offset as u64) < SCRATCH_END => format!("data + {offset:#x} at the end"),
        Some(_) => "the stack at the end".to_owned(),
        None => format!("output byte {at}"),
    };
    let word = |bytes: &[u8]| {
        bytes[at & !7..]
            .iter()
            .take(8)
            .rev()
            .fold(0_u64, |word, byte| word << 8 | u64::from(*byte))
    };
    Some(format!(
        "{place} is {:#x}, the reference's {:#x}",
        word(theirs),
        word(ours)
    ))
}

/// What came of comparing a program under one setting.
#[derive(Debug)]
pub struct Checked {
    /// The reference's run.
    pub reference: Run,
    /// What another tier did otherwise.
    pub difference: Option<Difference>,
    /// Instructions executed by all tiers together.
    pub instructions: u64,
}

/// Programs, one per tier, so that what a tier keeps of its code is its own; the reference's first.
#[derive(Debug)]
pub struct Loaded {
    reference: Arc<Program>,
    tiers: Vec<(Tier, Arc<Program>)>,
}

impl Loaded {
    /// From a function that makes the program anew.
    pub fn new(mut make: impl FnMut() -> Arc<Program>) -> Self {
        Self {
            reference: make(),
            tiers: TIERS.iter().map(|&tier| (tier, make())).collect(),
        }
    }

    /// The same with native code compiled in ways that this process would not choose: with explicit checks instead of
    /// signals, without the processor's extensions, and with one function after the other refused.
    pub fn compiled_otherwise(mut make: impl FnMut() -> Arc<Program>, refused: usize) -> Self {
        let usual = CompileOptions::for_this_process();
        let checked = CompileOptions {
            protection: Protection::Checked,
            host_features: false,
            ..usual.clone()
        };
        let refusing = (0..refused).map(|number| CompileOptions {
            refuse: Some(number),
            ..usual.clone()
        });
        let compile = |options: CompileOptions| {
            let program = make();
            program.compile(&options).expect("what is refused is left out");
            (Tier::Jit, program)
        };
        let tiers = std::iter::once(checked).chain(refusing).map(compile).collect();
        let reference = make();
        Self { reference, tiers }
    }

    /// Runs it on all tiers and compares them with the reference.
    #[must_use]
    pub fn check(&self, setting: &Setting) -> Checked {
        let reference = run(&self.reference, REFERENCE, setting);
        let mut instructions = reference.instructions();
        let mut found = None;
        for (tier, program) in &self.tiers {
            let mut compare = |name: &str| {
                let other = run(program, *tier, setting);
                instructions += other.outcome.instructions.unwrap_or(reference.instructions());
                found = found.take().or_else(|| difference(name, &reference, &other));
            };
            compare(&format!("{tier:?}"));
            if *tier == Tier::Auto {
                // What became hot may not have been compiled in time.
                wait_for_compiler();
                if program.native_size().functions > 0 {
                    compare("Auto, once what was hot is compiled");
                }
            }
            if found.is_some() {
                break;
            }
        }
        Checked {
            reference,
            difference: found,
            instructions,
        }
    }

    /// The reference's run alone.
    #[must_use]
    pub fn reference(&self, setting: &Setting) -> Run {
        run(&self.reference, REFERENCE, setting)
    }

    /// Address of the `ecall` that is the reference's `index`-th.
    #[must_use]
    pub fn ecall_pc(&self, setting: &Setting, index: usize) -> Option<u64> {
        let mut setting = *setting;
        setting.script = Script {
            end: Some((index, Ending::Refuse)),
            ..setting.script
        };
        trap_pc(&run(&self.reference, REFERENCE, &setting))
    }
}

/// Whether the reference itself keeps what it promises: with less gas, a run shows the first events of the run with
/// more, each with as much less gas left, and then is out of gas.
#[must_use]
pub fn prefix_difference(full: &Run, full_limit: u64, cut: &Run, cut_limit: u64) -> Option<String> {
    let less = full_limit - cut_limit;
    if cut.events.len() > full.events.len() {
        return Some(format!(
            "{} events with less gas, {} with more",
            cut.events.len(),
            full.events.len()
        ));
    }
    for (index, (cut, full)) in cut.events.iter().zip(&full.events).enumerate() {
        let mut expected = *full;
        expected.gas_left = full.gas_left.wrapping_sub(less);
        if *cut != expected {
            return Some(format!(
                "event {index} with less gas is\n  {cut:x?}, it should be\n  {expected:x?}"
            ));
        }
    }
    let enough = cut_limit >= full.outcome.gas_used;
    let out_of_gas = matches!(
        &cut.outcome.end,
        End::Trapped(Trap {
            kind: TrapKind::OutOfGas,
            ..
        })
    );
    if enough == out_of_gas && !matches!(full.outcome.end, End::Trapped(_)) {
        return Some(format!(
            "the run takes {} gas, and with {cut_limit} it ends with {:?}",
            full.outcome.gas_used, cut.outcome.end
        ));
    }
    None
}

/// Runs a program under qemu and compares what it wrote with the reference's output.
#[must_use]
pub fn check_qemu(guest: &Guest, reference: &Run) -> Option<Difference> {
    let image = guest.image().expect("a program that ran here has all its labels");
    let there = run_qemu(&image.qemu_elf());
    let found = |what: String| {
        Some(Difference {
            side: "qemu".to_owned(),
            what,
            event: None,
            pc: None,
        })
    };
    if there.status != Some(0) {
        return found(format!(
            "status {:?}, signal {:?}: {}",
            there.status, there.signal, there.messages
        ));
    }
    output_difference(&reference.output, &there.output).and_then(found)
}
