//! Kinds of sequences, each searched for its own worst.

use std::ops::RangeInclusive;

use millrace_jit::isa::Class;

/// What genes are drawn from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Piece {
    /// An instruction on values.
    Operation(Class),
    /// A great many of them.
    Shuffle(Class),
    /// A step in a chain of pointers.
    Chase,
    /// A computed address.
    Address,
    /// A load, store or atomic.
    Access(Class),
    /// A step of the generator.
    Scramble,
    /// A branch that is hard to predict.
    Branch,
    /// A jump or call to a place that is hard to predict.
    Switch,
    /// Calls that nest.
    Calls,
    /// Transfers of control between pieces of code that are no calls and returns.
    Coroutine,
    /// Returns to elsewhere.
    Stray,
    /// Leaving the machine.
    HostCall,
    /// Code that lies far apart.
    Far,
}

/// A kind of sequences. Each evolves for itself.
#[derive(Debug)]
pub struct Island {
    /// In the table.
    pub name: &'static str,
    /// What genes are drawn from.
    pub pieces: &'static [Piece],
    /// Binary logarithms of footprints in bytes; 27 stands for all that an instance may have.
    pub footprints: RangeInclusive<u32>,
}

const fn island(name: &'static str, pieces: &'static [Piece], footprints: RangeInclusive<u32>) -> Island {
    Island {
        name,
        pieces,
        footprints,
    }
}

const MEMORY: &[Piece] = &[
    Piece::Chase,
    Piece::Address,
    Piece::Access(Class::Load),
    Piece::Access(Class::Load),
    Piece::Access(Class::Store),
    Piece::Access(Class::Atomic),
];

const FLOATS: &[Piece] = &[
    Piece::Operation(Class::FloatBits),
    Piece::Operation(Class::Float),
    Piece::Operation(Class::FloatFused),
    Piece::Operation(Class::FloatDivide),
    Piece::Operation(Class::Csr),
    Piece::Shuffle(Class::FloatBits),
    Piece::Shuffle(Class::Float),
    Piece::Shuffle(Class::FloatFused),
    Piece::Shuffle(Class::FloatDivide),
];

/// Every kind.
pub static ALL: &[Island] = &[
    island(
        "alu",
        &[
            Piece::Operation(Class::Alu),
            Piece::Operation(Class::Alu),
            Piece::Shuffle(Class::Alu),
        ],
        12..=12,
    ),
    island(
        "mul",
        &[
            Piece::Operation(Class::Mul),
            Piece::Operation(Class::Mul),
            Piece::Shuffle(Class::Mul),
        ],
        12..=12,
    ),
    island(
        "clmul",
        &[
            Piece::Operation(Class::Clmul),
            Piece::Operation(Class::Clmul),
            Piece::Shuffle(Class::Clmul),
        ],
        12..=12,
    ),
    island(
        "div",
        &[
            Piece::Operation(Class::Div),
            Piece::Operation(Class::Div),
            Piece::Operation(Class::Alu),
            Piece::Shuffle(Class::Div),
        ],
        12..=12,
    ),
    island(
        "loads, 16 KiB",
        &[
            Piece::Chase,
            Piece::Address,
            Piece::Access(Class::Load),
            Piece::Access(Class::Load),
            Piece::Operation(Class::Alu),
        ],
        12..=14,
    ),
    island(
        "loads and stores, 16 KiB",
        &[
            Piece::Address,
            Piece::Access(Class::Load),
            Piece::Access(Class::Store),
            Piece::Operation(Class::Alu),
        ],
        12..=14,
    ),
    island(
        "atomics, 16 KiB",
        &[
            Piece::Address,
            Piece::Access(Class::Atomic),
            Piece::Access(Class::Store),
        ],
        12..=14,
    ),
    island("memory, 256 KiB", MEMORY, 12..=18),
    island("memory, 1 MiB", MEMORY, 12..=20),
    island("memory, 4 MiB", MEMORY, 12..=22),
    island("memory, 16 MiB", MEMORY, 12..=24),
    island("memory, all", MEMORY, 22..=27),
    island(
        "branches",
        &[
            Piece::Scramble,
            Piece::Branch,
            Piece::Branch,
            Piece::Operation(Class::Alu),
        ],
        12..=12,
    ),
    island(
        "indirect jumps and calls",
        &[Piece::Scramble, Piece::Switch, Piece::Switch],
        12..=12,
    ),
    island(
        "nested calls",
        &[Piece::Calls, Piece::Operation(Class::Alu)],
        12..=12,
    ),
    island(
        "coroutines",
        &[
            Piece::Coroutine,
            Piece::Coroutine,
            Piece::Calls,
            Piece::Operation(Class::Alu),
        ],
        12..=12,
    ),
    island(
        "returns to elsewhere",
        &[
            Piece::Stray,
            Piece::Stray,
            Piece::Calls,
            Piece::Operation(Class::Alu),
        ],
        12..=12,
    ),
    island(
        "far code",
        &[
            Piece::Far,
            Piece::Far,
            Piece::Operation(Class::Alu),
            Piece::Shuffle(Class::Alu),
            Piece::Calls,
        ],
        12..=12,
    ),
    island(
        "host calls",
        &[Piece::HostCall, Piece::Operation(Class::Alu)],
        12..=12,
    ),
    island(
        "floating-point bits",
        &[
            Piece::Operation(Class::FloatBits),
            Piece::Operation(Class::FloatBits),
            Piece::Shuffle(Class::FloatBits),
        ],
        12..=12,
    ),
    island(
        "floating-point sums and products",
        &[
            Piece::Operation(Class::Float),
            Piece::Operation(Class::Float),
            Piece::Shuffle(Class::Float),
        ],
        12..=12,
    ),
    island(
        "fused multiplications",
        &[
            Piece::Operation(Class::FloatFused),
            Piece::Operation(Class::FloatFused),
            Piece::Shuffle(Class::FloatFused),
        ],
        12..=12,
    ),
    island(
        "floating-point divisions",
        &[
            Piece::Operation(Class::FloatDivide),
            Piece::Operation(Class::FloatDivide),
            Piece::Shuffle(Class::FloatDivide),
        ],
        12..=12,
    ),
    island(
        "floating-point registers",
        &[
            Piece::Operation(Class::Csr),
            Piece::Operation(Class::Csr),
            Piece::Shuffle(Class::Csr),
        ],
        12..=12,
    ),
    island("all floating point", FLOATS, 12..=12),
    island(
        "floating point in 256 KiB",
        &[
            Piece::Operation(Class::FloatBits),
            Piece::Operation(Class::Float),
            Piece::Operation(Class::FloatFused),
            Piece::Operation(Class::FloatDivide),
            Piece::Operation(Class::Csr),
            Piece::Address,
            Piece::Access(Class::Load),
            Piece::Access(Class::Store),
            Piece::Scramble,
            Piece::Branch,
            Piece::Switch,
            Piece::Calls,
            Piece::HostCall,
        ],
        12..=18,
    ),
    island(
        "everything but large memory",
        &[
            Piece::Operation(Class::Alu),
            Piece::Operation(Class::Mul),
            Piece::Operation(Class::Div),
            Piece::Shuffle(Class::Alu),
            Piece::Shuffle(Class::Mul),
            Piece::Operation(Class::Float),
            Piece::Operation(Class::FloatFused),
            Piece::Address,
            Piece::Access(Class::Load),
            Piece::Access(Class::Store),
            Piece::Access(Class::Atomic),
            Piece::Scramble,
            Piece::Branch,
            Piece::Switch,
            Piece::Calls,
            Piece::Coroutine,
            Piece::Stray,
            Piece::Far,
        ],
        12..=18,
    ),
    island(
        "everything",
        &[
            Piece::Operation(Class::Alu),
            Piece::Operation(Class::Mul),
            Piece::Operation(Class::Div),
            Piece::Shuffle(Class::Alu),
            Piece::Operation(Class::Float),
            Piece::Operation(Class::FloatFused),
            Piece::Chase,
            Piece::Chase,
            Piece::Address,
            Piece::Access(Class::Load),
            Piece::Access(Class::Store),
            Piece::Access(Class::Atomic),
            Piece::Scramble,
            Piece::Branch,
            Piece::Switch,
            Piece::Calls,
            Piece::Coroutine,
            Piece::Stray,
            Piece::Far,
        ],
        12..=27,
    ),
];
