//! Machine versions: what instruction set, layout, limits and weights a version number fixes.
//!
//! Everything here decides validity, gas or results, so it is one table, read by the image loader, every tier and the
//! executor, and never by configuration. A number changes only with a new version. `docs/spec/machine.md` and
//! `docs/spec/gas.md` publish the table; a test compares them with it.

use crate::isa::{self, Class, Extension, Instruction};

/// Bytes of a page of guest memory, in every version.
pub const PAGE_BYTES: u32 = 4096;

/// The largest gas limit of a run: sums of weights stay far from 2^64.
pub const MAX_GAS_LIMIT: u64 = 1 << 62;

/// One version of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The version's number, as in the chain spec.
    pub version: u16,
    /// Extensions whose encodings are legal.
    pub extensions: &'static [Extension],
    /// Where things lie in the address space.
    pub layout: Layout,
    /// What a program may be.
    pub limits: Limits,
    /// What things cost.
    pub weights: Weights,
    /// What instructions cost more in an instance that holds much memory: ascending, and the last one's rate holds beyond
    /// it. None: a rate of one.
    pub memory_rates: &'static [MemoryRate],
}

/// By how much weights are multiplied in instances up to some size.
///
/// An access that misses every cache takes a hundred times as long as one that hits, and whether it misses depends on how
/// much memory the program goes through. No weight of an instruction can tell; what the instance holds bounds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRate {
    /// Up to how many pages of segments, stack and heap together.
    pub pages: u32,
    /// Weights are multiplied by 2 to the power of this.
    pub shift: u32,
}

/// Where things lie in the 32-bit address space. Pointers are observable, so these are consensus constants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// First address that may be mapped: everything below is never mapped, so that folded displacements of up to 60 KiB
    /// stay inside the host's guards and null pointers fault.
    pub low_guard: u32,
    /// First address of the highest part that is never mapped; it reaches to 2^32.
    pub high_guard: u32,
    /// One past the highest stack byte, and sp at entry. 16-aligned.
    pub stack_top: u32,
    /// Bytes of stack, whole pages, all of them mapped from the start.
    pub stack_bytes: u32,
    /// Most bytes of heap. The heap starts at the page after the highest segment and grows upwards.
    pub heap_max_bytes: u32,
    /// Unmapped bytes that always remain between the largest possible heap and the stack, so that running off the
    /// stack's end faults.
    pub stack_guard_bytes: u32,
}

impl Layout {
    /// Lowest stack address.
    #[must_use]
    pub const fn stack_bottom(&self) -> u32 {
        self.stack_top - self.stack_bytes
    }

    /// One past the highest address that a segment may occupy: a full heap behind it leaves the stack's guard free.
    #[must_use]
    pub const fn image_end(&self) -> u32 {
        self.stack_bottom() - self.stack_guard_bytes - self.heap_max_bytes
    }
}

/// What a program may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Program headers of an ELF file, of any type.
    pub max_program_headers: u32,
    /// Loadable segments.
    pub max_segments: u32,
    /// Bytes of memory that all segments together occupy, each rounded out to whole pages.
    pub max_image_bytes: u32,
    /// Bytes of text.
    pub max_text_bytes: u32,
    /// Symbols that are looked at; more are ignored. They name things and never decide anything.
    pub max_symbols: u32,
}

/// What things cost, in gas. One gas is 0.2 ns of the dearest real programs in native code, 1 ns at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights {
    /// Integer and bit-manipulation operations, `lui`, `auipc`, fences.
    pub alu: u32,
    /// Multiplications, carry-less ones excepted.
    pub mul: u32,
    /// Carry-less multiplications: a loop of shifts where the host has no such instruction.
    pub clmul: u32,
    /// Divisions and remainders: up to 40 cycles on hosts before Ice Lake and Zen 2.
    pub div: u32,
    /// Loads: priced between a cache hit and a miss, see `docs/spec/gas.md`.
    pub load: u32,
    /// Stores.
    pub store: u32,
    /// Conditional branches: the host may mispredict each.
    pub branch: u32,
    /// `jal`.
    pub jal: u32,
    /// `jalr`: the host may mispredict each.
    pub jalr: u32,
    /// LR, SC and AMOs: a load, a store and, in native code, a locked operation.
    pub atomic: u32,
    /// Floating-point operations that only look at bits: moves, signs, classes, comparisons, minima and maxima. 0 in
    /// versions without floating point, as the next four.
    pub float_bits: u32,
    /// Floating-point sums, differences, products and conversions, in software in the slowest tier.
    pub float: u32,
    /// Fused multiplication and addition.
    pub float_fused: u32,
    /// Floating-point division and square root.
    pub float_divide: u32,
    /// Access to `fflags`, `frm` and `fcsr`.
    pub csr: u32,
    /// Leaving the machine and coming back, without what the host call charges for its work.
    pub ecall: u32,
    /// Per page of writable image and stack, charged when an instance is entered.
    pub entry_page: u32,
    /// Per page of heap granted.
    pub heap_page: u32,
    /// Per byte of text when a program is deployed: validation and later decoding and compilation.
    pub deploy_text_byte: u32,
    /// Per byte of text when a transaction first calls a program: tier 0 decodes what it touches.
    pub first_call_text_byte: u32,
}

impl Weights {
    /// Gas of one instruction of `class`.
    #[must_use]
    pub const fn of(&self, class: Class) -> u32 {
        match class {
            Class::Alu | Class::Fence => self.alu,
            Class::Mul => self.mul,
            Class::Clmul => self.clmul,
            Class::Div => self.div,
            Class::Load => self.load,
            Class::Store => self.store,
            Class::Branch => self.branch,
            Class::Jal => self.jal,
            Class::Jalr => self.jalr,
            Class::Atomic => self.atomic,
            Class::Ecall => self.ecall,
            Class::FloatBits => self.float_bits,
            Class::Float => self.float,
            Class::FloatFused => self.float_fused,
            Class::FloatDivide => self.float_divide,
            Class::Csr => self.csr,
            // Traps, and a trap consumes everything: its weight is never seen.
            Class::Ebreak => self.alu,
        }
    }

    /// The largest weight of an instruction.
    #[must_use]
    pub const fn largest(&self) -> u32 {
        let mut largest = 0;
        let mut i = 0;
        while i < Class::ALL.len() {
            let weight = self.of(Class::ALL[i]);
            if weight > largest {
                largest = weight;
            }
            i += 1;
        }
        largest
    }
}

impl Machine {
    /// Whether encodings of `extension` are legal.
    #[must_use]
    pub fn supports(&self, extension: Extension) -> bool {
        self.extensions.contains(&extension)
    }

    /// The instruction at the start of `word`, if it is legal in this version.
    #[must_use]
    pub fn decode(&self, word: u32) -> Option<Instruction> {
        isa::decode(word).filter(|instruction| self.supports(instruction.form.extension))
    }

    /// By what power of two the weights of instructions are multiplied in an instance that holds `pages` of segments, stack
    /// and heap.
    #[must_use]
    pub fn memory_shift(&self, pages: u32) -> u32 {
        let enough = |rate: &&MemoryRate| pages <= rate.pages;
        let rate = self.memory_rates.iter().find(enough).or(self.memory_rates.last());
        rate.map_or(0, |rate| rate.shift)
    }

    /// Whether all numbers hang together, checked when this crate is compiled.
    const fn is_consistent(&self) -> bool {
        let layout = &self.layout;
        let pages = layout.low_guard | layout.high_guard | layout.stack_top | layout.stack_bytes;
        let more_pages = layout.heap_max_bytes | layout.stack_guard_bytes | self.limits.max_image_bytes;
        (pages | more_pages).is_multiple_of(PAGE_BYTES)
            && layout.low_guard >= 0x1_0000
            && layout.high_guard <= 0xffff_0000
            && layout.stack_top <= layout.high_guard
            && layout.image_end() > layout.low_guard
            && layout.image_end() - layout.low_guard >= self.limits.max_image_bytes
            && self.limits.max_text_bytes <= self.limits.max_image_bytes
            && (self.limits.max_text_bytes as u64 / 2) * (self.weights.largest() as u64) < 1 << 40
            && self.rates_ascend()
    }

    const fn rates_ascend(&self) -> bool {
        let rates = self.memory_rates;
        let mut i = 1;
        while i < rates.len() {
            if rates[i - 1].pages >= rates[i].pages || rates[i - 1].shift >= rates[i].shift {
                return false;
            }
            i += 1;
        }
        // A run's gas limit has 62 bits.
        rates.is_empty() || rates[rates.len() - 1].shift < 16
    }
}

/// Version 1: RV64IMAC with Zba, Zbb, Zbc, Zbs, Zicond and Zifencei's no-op.
static V1: Machine = V1_TABLE;

const V1_TABLE: Machine = Machine {
    version: 1,
    extensions: &[
        Extension::I,
        Extension::M,
        Extension::A,
        Extension::C,
        Extension::Zba,
        Extension::Zbb,
        Extension::Zbc,
        Extension::Zbs,
        Extension::Zicond,
        Extension::Zifencei,
    ],
    layout: Layout {
        low_guard: 0x0001_0000,
        high_guard: 0xffff_0000,
        stack_top: 0xffff_0000,
        stack_bytes: 256 << 10,
        heap_max_bytes: 64 << 20,
        stack_guard_bytes: 64 << 10,
    },
    limits: Limits {
        max_program_headers: 64,
        max_segments: 16,
        max_image_bytes: 64 << 20,
        max_text_bytes: 16 << 20,
        max_symbols: 1 << 16,
    },
    weights: Weights {
        alu: 1,
        mul: 2,
        clmul: 24,
        div: 12,
        load: 4,
        store: 4,
        branch: 3,
        jal: 3,
        jalr: 12,
        atomic: 12,
        float_bits: 0,
        float: 0,
        float_fused: 0,
        float_divide: 0,
        csr: 0,
        ecall: 20,
        entry_page: 1_000,
        heap_page: 1_000,
        deploy_text_byte: 20,
        first_call_text_byte: 10,
    },
    memory_rates: &[
        MemoryRate {
            pages: mebibytes(1),
            shift: 0,
        },
        MemoryRate {
            pages: mebibytes(2),
            shift: 2,
        },
        MemoryRate {
            pages: mebibytes(4),
            shift: 5,
        },
        MemoryRate {
            pages: mebibytes(8),
            shift: 6,
        },
    ],
};

/// Pages of that much memory.
const fn mebibytes(mebibytes: u32) -> u32 {
    mebibytes * ((1 << 20) / PAGE_BYTES)
}

const _: () = assert!(V1_TABLE.is_consistent(), "machine version 1 contradicts itself");

/// Version 2: version 1 with F, D, their compressed loads and stores, and the CSRs of floating point.
static V2: Machine = V2_TABLE;

const V2_TABLE: Machine = Machine {
    version: 2,
    extensions: &[
        Extension::I,
        Extension::M,
        Extension::A,
        Extension::C,
        Extension::Zba,
        Extension::Zbb,
        Extension::Zbc,
        Extension::Zbs,
        Extension::Zicond,
        Extension::Zifencei,
        Extension::F,
        Extension::D,
        Extension::Zcd,
        Extension::Zicsr,
    ],
    weights: Weights {
        float_bits: 16,
        float: 44,
        float_fused: 63,
        float_divide: 63,
        csr: 4,
        ..V1_TABLE.weights
    },
    ..V1_TABLE
};

const _: () = assert!(V2_TABLE.is_consistent(), "machine version 2 contradicts itself");

/// The newest version that this build knows.
pub const NEWEST: u16 = V2_TABLE.version;

/// The machine with that version number, if this build knows it.
#[must_use]
pub fn machine(version: u16) -> Option<&'static Machine> {
    match version {
        1 => Some(&V1),
        2 => Some(&V2),
        _ => None,
    }
}
