//! Runs of one program in every tier, by turns, compared with each other.

use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use millrace_jit::{CompileOptions, End, ImageError, Instance, Program, Tier};
use rustix::time::{ClockId, clock_gettime};

use crate::bare::{BareHost, StackError, lay_out_stack};
use crate::commands::profile::TierName;
use crate::commands::program;

/// A program to be timed.
#[derive(Debug)]
pub struct Guest<'a> {
    /// In the table and in messages.
    pub name: String,
    /// Its file.
    pub elf: &'a [u8],
    /// Its name and arguments, as it is given them.
    pub words: Vec<&'a [u8]>,
}

/// Why a program could not be timed.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// The machine refuses it.
    #[error("{name} is refused: {source}")]
    Refused {
        /// The program.
        name: String,
        /// The rule that it breaks.
        source: ImageError,
    },
    /// Its arguments are too long.
    #[error("{name}: {source}")]
    Arguments {
        /// The program.
        name: String,
        /// What the limit is.
        source: StackError,
    },
    /// It was not compiled.
    #[error("{name}: {reason}")]
    Compile {
        /// The program.
        name: String,
        /// What the compiler said.
        reason: String,
    },
    /// It traps.
    #[error(
        "{name} ends by a trap, {trap}: there is nothing to time; `millrace run` shows where, --gas gives it more gas"
    )]
    Trapped {
        /// The program.
        name: String,
        /// The trap's kind, in the interpreter.
        trap: String,
    },
    /// Two tiers give different results.
    #[error("{name}: tier {tier} differs from the interpreter: {other}, not {reference}; please report it")]
    Differs {
        /// The program.
        name: String,
        /// The tier.
        tier: &'static str,
        /// What the interpreter came to.
        reference: String,
        /// What the tier came to.
        other: String,
    },
}

/// Times of one thing, by rounds.
#[derive(Debug, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// The least: whatever else the machine does only ever adds.
    pub fn least(&self) -> Duration {
        self.0.iter().min().copied().unwrap_or_default()
    }

    /// The median: how far above the least it is says how far both are to be trusted.
    pub fn median(&self) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }
}

/// What came of a program.
#[derive(Debug)]
pub struct Measured {
    /// The program.
    pub name: String,
    /// Bytes of its text.
    pub text_bytes: u32,
    /// Bytes of native code that all of it became.
    pub code_bytes: usize,
    /// Gas of a run, in every tier.
    pub gas: u64,
    /// Instructions of a run.
    pub instructions: u64,
    /// What it exits with.
    pub exit_status: u8,
    /// Compiling the whole program, before the runs of tier `jit`.
    pub compile: Times,
    /// Tiers, in the order of [`TIERS`].
    pub tiers: Vec<(TierName, Times)>,
    /// Share of the gas that was used outside native code in tier `jit`.
    pub interpreted: f64,
}

/// What is timed: the interpreter first, which the others are compared with.
pub const TIERS: [TierName; 3] = [TierName::Interpreter, TierName::Auto, TierName::Jit];

/// What a run came to, as far as it must be the same in every tier.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Ended {
    /// By exit.
    Exited {
        status: u8,
        gas: u64,
        /// Bytes written and a digest of them, where they went to included.
        output: (u64, u64),
    },
    /// By a trap: its kind.
    Trapped(String),
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited {
                status,
                gas,
                output: (len, digest),
            } => write!(
                f,
                "status {status}, {gas} gas, {len} bytes of output with digest {digest:016x}"
            ),
            Self::Trapped(kind) => write!(f, "a trap, {kind}"),
        }
    }
}

/// Times `rounds` rounds of a program, each with fresh memory.
///
/// # Errors
/// When it is refused, traps, or tiers differ.
pub fn measure(guest: &Guest<'_>, rounds: u32, gas_limit: u64) -> Result<Measured, MeasureError> {
    let program = load(guest)?;
    let mut measured = Measured {
        name: guest.name.clone(),
        text_bytes: program.text_len(),
        code_bytes: 0,
        gas: 0,
        instructions: 0,
        exit_status: 0,
        compile: Times::default(),
        tiers: TIERS.iter().map(|&tier| (tier, Times::default())).collect(),
        interpreted: 0.0,
    };
    let mut reference: Option<Ended> = None;
    for _ in 0..rounds {
        for (tier, times) in &mut measured.tiers {
            // What a tier keeps of a program's code is its own, and gone with the round.
            let program = load(guest)?;
            if *tier == TierName::Jit {
                let before = cpu_time();
                let options = CompileOptions::for_this_process();
                program.compile(&options).map_err(|error| MeasureError::Compile {
                    name: guest.name.clone(),
                    reason: error.to_string(),
                })?;
                measured.compile.0.push(cpu_time().saturating_sub(before));
                measured.code_bytes = program.native_size().bytes;
            }
            let run = run(guest, &program, tier.tier(), gas_limit)?;
            times.0.push(run.time);
            match (&reference, &run.ended) {
                (None, Ended::Trapped(trap)) => {
                    return Err(MeasureError::Trapped {
                        name: guest.name.clone(),
                        trap: trap.clone(),
                    });
                }
                (None, Ended::Exited { status, gas, .. }) => {
                    (measured.exit_status, measured.gas) = (*status, *gas);
                    measured.instructions = run.instructions.unwrap_or_default();
                    reference = Some(run.ended);
                }
                (Some(reference), other) if reference != other => {
                    return Err(MeasureError::Differs {
                        name: guest.name.clone(),
                        tier: tier.name(),
                        reference: reference.to_string(),
                        other: other.to_string(),
                    });
                }
                (Some(_), _) => {}
            }
            if *tier == TierName::Jit {
                measured.interpreted = run.interpreted_gas as f64 / measured.gas.max(1) as f64;
            }
        }
    }
    Ok(measured)
}

struct Run {
    ended: Ended,
    time: Duration,
    instructions: Option<u64>,
    interpreted_gas: u64,
}

fn load(guest: &Guest<'_>) -> Result<Arc<Program>, MeasureError> {
    Program::load(guest.elf, program::newest_machine())
        .map(Arc::new)
        .map_err(|source| MeasureError::Refused {
            name: guest.name.clone(),
            source,
        })
}

fn run(guest: &Guest<'_>, program: &Arc<Program>, tier: Tier, gas_limit: u64) -> Result<Run, MeasureError> {
    let mut instance = Instance::new(Arc::clone(program));
    lay_out_stack(&mut instance, program.machine(), &guest.words).map_err(|source| {
        MeasureError::Arguments {
            name: guest.name.clone(),
            source,
        }
    })?;
    let (mut out, mut err) = (Digest::default(), Digest::default());
    let mut host = BareHost::new(&mut out, &mut err, false);
    let before = cpu_time();
    let outcome = instance.run(tier, gas_limit, &mut host);
    let time = cpu_time().saturating_sub(before);
    host.flush().expect("a digest takes everything");
    let status = host.exit_status();
    drop(host);
    let ended = match (outcome.end, status) {
        (End::Trapped(trap), _) => Ended::Trapped(trap.kind.to_string()),
        (_, Some(status)) => Ended::Exited {
            status,
            gas: outcome.gas_used,
            output: (
                out.len + err.len,
                out.hasher.finish() ^ err.hasher.finish().rotate_left(32),
            ),
        },
        (end, None) => unreachable!("the bare host ends a run by exit alone, not by {end:?}"),
    };
    Ok(Run {
        ended,
        time,
        instructions: outcome.instructions,
        interpreted_gas: instance.interpreted_gas(),
    })
}

/// Where output goes that nobody reads: what tiers write is compared, however long it is.
#[derive(Default)]
struct Digest {
    hasher: DefaultHasher,
    len: u64,
}

impl Write for Digest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.write(bytes);
        self.len += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// CPU time of this thread, which other work on the machine disturbs less than it disturbs a clock.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_between_least_and_most() {
        let times = Times([5, 1, 9, 3, 7].map(Duration::from_millis).to_vec());
        assert_eq!(times.least(), Duration::from_millis(1));
        assert_eq!(times.median(), Duration::from_millis(5));
    }

    #[test]
    fn output_is_told_apart_by_content_and_length() {
        let digest = |bytes: &[u8]| {
            let mut digest = Digest::default();
            digest.write_all(bytes).expect("a digest takes everything");
            (digest.len, digest.hasher.finish())
        };
        assert_eq!(digest(b"one"), digest(b"one"));
        assert_ne!(digest(b"one"), digest(b"two"));
    }
}
