//! What runs as a process of its own and times itself: the native twin, and QEMU's user mode.

use std::path::Path;

use millrace_benches::native;
use millrace_benches::programs::Program;
use millrace_benches::toolchain::{self, Target};
use millrace_tests::tools;

use super::{Prepared, Run};

impl From<native::Run> for Run {
    fn from(run: native::Run) -> Self {
        Self {
            time: run.time,
            output: run.output,
        }
    }
}

pub fn native(program: &Program, directory: &Path) -> Prepared {
    let twin = toolchain::build(program, Target::Native, directory);
    Box::new(move |work| native::run(&twin, work).into())
}

pub fn qemu(program: &Program, directory: &Path) -> Prepared {
    let emulator = tools::find("qemu-riscv64", "qemu-user");
    let file = super::ckb::build(program, directory);
    Box::new(move |work| native::run_under(&emulator, &file, work).into())
}
