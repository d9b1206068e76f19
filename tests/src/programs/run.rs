//! One run of a program on one tier, and all that can be told of it.

use std::sync::Arc;

use millrace_jit::image::Permissions;
use millrace_jit::{Instance, Outcome, Program, Tier};

use super::guest::Layout;
use super::host::{Event, Recorder, Script, short};

/// The tiers that are held to the reference. One that is added here takes part in every test of whole programs.
pub const TIERS: &[Tier] = &[Tier::Jit, Tier::Auto];

/// What the others are compared with.
pub const REFERENCE: Tier = Tier::Interpreter;

/// Segments longer than this are digested at their ends only.
const WHOLE: u64 = 1 << 18;

/// How a program is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Setting {
    /// Gas it is given.
    pub gas_limit: u64,
    /// What its host does.
    pub script: Script,
    /// Which memory its events show.
    pub layout: Option<Layout>,
}

/// All that a run came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// End, gas, trap.
    pub outcome: Outcome,
    /// What the host saw.
    pub events: Vec<Event>,
    /// What was written out.
    pub output: Vec<u8>,
    /// Exit status.
    pub status: Option<u64>,
    /// Digest of all writable memory, unless the run trapped: then memory is nobody's.
    pub memory: Option<u64>,
}

impl Run {
    /// Instructions executed, as far as the tier counts them.
    #[must_use]
    pub fn instructions(&self) -> u64 {
        self.outcome.instructions.unwrap_or_default()
    }
}

/// Runs a program from fresh memory.
#[must_use]
pub fn run(program: &Arc<Program>, tier: Tier, setting: &Setting) -> Run {
    let mut instance = Instance::new(Arc::clone(program));
    let mut host = Recorder::new(setting.layout, setting.script);
    let mut outcome = instance.run(tier, setting.gas_limit, &mut host);
    if let millrace_jit::End::Trapped(trap) = &mut outcome.end {
        *trap = instance.diagnose(trap);
    }
    let trapped = matches!(outcome.end, millrace_jit::End::Trapped(_));
    let memory = (!trapped).then(|| digest(program, &instance));
    Run {
        outcome,
        events: host.events,
        output: host.output,
        status: host.status,
        memory,
    }
}

fn digest(program: &Program, instance: &Instance) -> u64 {
    let memory = instance.memory();
    let layout = &program.machine().layout;
    let heap = (
        memory.heap_start(),
        u64::from(memory.heap_pages()) * u64::from(millrace_jit::machine::PAGE_BYTES),
    );
    let stack = (
        u64::from(layout.stack_top - layout.stack_bytes),
        u64::from(layout.stack_bytes),
    );
    let segments = program
        .segments()
        .iter()
        .filter(|segment| segment.permissions == Permissions::ReadWrite)
        .map(|segment| (u64::from(segment.address), u64::from(segment.memory_len)));
    let mut hasher = blake3::Hasher::new();
    let mut add = |start: u64, len: u64| {
        let bytes = memory
            .read(start, len)
            .expect("segments, heap and stack are mapped");
        hasher.update(bytes);
    };
    for (start, len) in segments.chain([heap, stack]) {
        if len <= WHOLE {
            add(start, len);
        } else {
            add(start, WHOLE / 2);
            add(start + len - WHOLE / 2, WHOLE / 2);
        }
    }
    short(&hasher)
}
