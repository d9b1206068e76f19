//! The engines, one file each, behind one function: a program made ready to be run many times.

mod ckb;
mod millrace;
mod polka;
mod processes;
mod wasm;

use std::path::Path;
use std::time::Duration;

use millrace_benches::programs::Program;

/// What one run came to.
pub struct Run {
    /// CPU time of the kernel.
    pub time: Duration,
    /// 16 hexadecimal digits and a newline.
    pub output: Vec<u8>,
}

impl Run {
    /// Of a run that gave a number.
    fn new(time: Duration, result: u64) -> Self {
        let output = format!("{result:016x}\n").into_bytes();
        Self { time, output }
    }
}

/// Runs the program with so much work, in fresh memory.
pub type Prepared = Box<dyn Fn(u64) -> Run>;

/// Something that runs programs.
pub struct Engine {
    /// In the table and on the command line.
    pub name: &'static str,
    /// Builds a program for this engine, into the directory, and compiles it if that comes before running.
    pub prepare: fn(&Program, &Path) -> Prepared,
    /// Nothing is gained from many rounds.
    pub is_slow: bool,
}

const fn fast(name: &'static str, prepare: fn(&Program, &Path) -> Prepared) -> Engine {
    Engine {
        name,
        prepare,
        is_slow: false,
    }
}

const fn slow(name: &'static str, prepare: fn(&Program, &Path) -> Prepared) -> Engine {
    Engine {
        name,
        prepare,
        is_slow: true,
    }
}

/// Every engine; the first is what ratios are to. Millrace's own tiers are those of `millrace_benches::tiers`.
pub const ALL: &[Engine] = &[
    fast("native", processes::native),
    fast("jit", millrace::jit),
    fast("auto", millrace::auto),
    slow("interpreter", millrace::interpreter),
    fast("wasmtime", wasm::unmetered),
    fast("wasmtime+fuel", wasm::metered),
    fast("polkavm", polka::unmetered),
    fast("polkavm+gas", polka::metered),
    slow("qemu", processes::qemu),
    slow("ckb-vm", ckb::prepare),
];
