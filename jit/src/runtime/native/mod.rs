//! Native code at run time: entering it, leaving it, faults, and the code itself.

mod background;
pub(crate) mod code;
mod float_unit;
mod instruction_cache;
pub(crate) mod layout;
pub(crate) mod memory;
pub(crate) mod run;
mod signals;
mod stack;
mod tiers;
mod trampoline;

pub use background::{CompilerStatistics, wait_for_compiler};
pub use code::NativeSize;
pub(crate) use code::{Batch, Function, NativeCode, Place};
pub(crate) use memory::CodeMemory;
pub use signals::restore_fault_handlers;
pub use stack::NATIVE_STACK_BYTES;
pub(crate) use tiers::{Heat, ask_for_recall, recall};

use crate::compiler::{CompileOptions, Protection};
use crate::profile;

/// How native code is made for this process: with faults by signals, where handlers can be installed and the host's
/// pages are the guest's, else with explicit checks.
pub(crate) fn options() -> CompileOptions {
    let by_signals = signals::install() && crate::runtime::Memory::host_protected();
    CompileOptions {
        protection: if by_signals {
            Protection::Signals
        } else {
            Protection::Checked
        },
        verify: cfg!(debug_assertions),
        host_features: true,
        places: profile::has_lines(),
        frame_pointers: profile::walks_frames(),
        meters: true,
        refuse: None,
    }
}

/// Whether this thread's stack has room for native code.
pub(crate) fn has_room() -> bool {
    stack::has_room()
}
