//! What the search varies: genes, how often they are repeated in a turn, and the memory that they play in.

use millrace_jit::isa::{Class, F0, forms};
use millrace_jit::machine::PAGE_BYTES;
use millrace_tests::asm::{double, single, value};
use rand::Rng;
use rand::seq::{IndexedMutRandom, IndexedRandom};

use super::gene::{
    BASE, CHASERS, Emitter, FACTOR, FIXED, Gene, INCREMENT, MASK, MOVERS, STATE, STRIDE, SUM, VALUES,
    operation,
};
use super::islands::{Island, Piece};
use super::memory::{Chain, LARGEST_FOOTPRINT, Layout};
use super::sequence::{CODE, EPILOGUE_BYTES, REGION, REGISTERS, Sequence, newest};

const MOST_GENES: usize = 48;
/// Bytes of code and functions together. Compiling them takes half a second.
const MOST_CODE_BYTES: usize = 256 << 10;
/// Bytes that copying may make of a body.
const MOST_COPIED_BYTES: usize = 32 << 10;

/// Where addresses that are computed lie in their page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Grain {
    Word,
    Line,
    /// Four bytes before a line's end.
    LineSplit,
    Page,
    /// Four bytes before a page's end.
    PageSplit,
}

impl Grain {
    const ALL: [Self; 5] = [
        Self::Word,
        Self::Line,
        Self::LineSplit,
        Self::Page,
        Self::PageSplit,
    ];

    /// Bytes between addresses, and the lowest of them.
    const fn parts(self) -> (u64, u64) {
        match self {
            Self::Word => (8, 0),
            Self::Line => (64, 0),
            Self::LineSplit => (64, 60),
            Self::Page => (4096, 0),
            Self::PageSplit => (4096, 4092),
        }
    }
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub struct Genome {
    genes: Vec<Gene>,
    copies: u32,
    memory: Layout,
    grain: Grain,
    /// In grains.
    stride: u64,
    values: [u64; 8],
    floats: [u64; 32],
}

impl Genome {
    /// A random one of an island.
    pub fn random(random: &mut impl Rng, island: &Island) -> Self {
        let count = random.random_range(1..=12);
        let mut genome = Self {
            genes: (0..count).map(|_| draw_gene(random, island)).collect(),
            copies: 1,
            memory: Layout {
                footprint: 1 << island.footprints.start(),
                chain: None,
            },
            grain: Grain::Word,
            stride: 1,
            values: [0; 8],
            floats: [0; 32],
        };
        genome.redraw_memory(random, island);
        genome.redraw_values(random);
        genome.redraw_copies(random);
        genome
    }

    /// A changed copy.
    pub fn mutated(&self, random: &mut impl Rng, island: &Island) -> Self {
        let mut genome = self.clone();
        for _ in 0..random.random_range(1..=3) {
            genome.mutate(random, island);
        }
        genome
    }

    /// This one's beginning and the other's end, in this one's memory or the other's.
    pub fn crossed(&self, other: &Self, random: &mut impl Rng) -> Self {
        let mut genome = if random.random() {
            self.clone()
        } else {
            other.clone()
        };
        let here = random.random_range(0..=self.genes.len());
        let there = random.random_range(0..=other.genes.len());
        genome.genes = self.genes[..here]
            .iter()
            .chain(&other.genes[there..])
            .take(MOST_GENES)
            .cloned()
            .collect();
        genome
    }

    fn mutate(&mut self, random: &mut impl Rng, island: &Island) {
        let len = self.genes.len();
        let place = random.random_range(0..=len);
        match random.random_range(0..14) {
            0..=2 if len < MOST_GENES => self.genes.insert(place, draw_gene(random, island)),
            3 | 4 if place < len => self.genes[place] = draw_gene(random, island),
            5 | 6 if len > 1 && place < len => drop(self.genes.remove(place)),
            7 if place < len && len < MOST_GENES => {
                let gene = self.genes[place].clone();
                self.genes.insert(random.random_range(0..=len), gene);
            }
            8 if place < len => self.genes.swap(place, random.random_range(0..len)),
            9 => self.redraw_copies(random),
            10 => self.redraw_values(random),
            11 => *self.values.choose_mut(random).expect("there are some") = value(random),
            12 => *self.floats.choose_mut(random).expect("there are some") = float(random),
            _ => self.redraw_memory(random, island),
        }
    }

    fn redraw_copies(&mut self, random: &mut impl Rng) {
        self.copies = 1 << random.random_range(0..=7);
    }

    fn redraw_values(&mut self, random: &mut impl Rng) {
        self.values = std::array::from_fn(|_| value(random));
        self.floats = std::array::from_fn(|_| float(random));
    }

    fn redraw_memory(&mut self, random: &mut impl Rng, island: &Island) {
        let log = random.random_range(island.footprints.clone());
        // One above the largest power of two stands for everything that there is.
        let footprint = if log > 26 { LARGEST_FOOTPRINT } else { 1 << log };
        let chains = [
            (64, 0),
            (128, 0),
            (4096, 0),
            (4160, 0),
            (128, 124),
            (4096, 4092),
            (4160, 60),
        ];
        let (stride, offset) = *chains.choose(random).expect("there are some");
        let has_room = footprint >= 4 * PAGE_BYTES || stride < PAGE_BYTES && offset + 8 <= stride;
        self.memory = Layout {
            footprint,
            chain: (has_room && island.pieces.contains(&Piece::Chase)).then_some(Chain { stride, offset }),
        };
        self.grain = *Grain::ALL.choose(random).expect("there are some");
        self.stride = match random.random_range(0..4) {
            0 => 1,
            1 => random.random_range(1..64),
            // Odd numbers of grains visit everything.
            2 => random.random_range(0..1 << 20) | 1,
            _ => 4096 / self.grain.parts().0 + 1,
        };
    }

    fn registers(&self) -> [u64; REGISTERS] {
        let (grain, low) = self.grain.parts();
        let whole = u64::from(self.memory.footprint);
        let power = 1 << whole.ilog2();
        let page = u64::from(PAGE_BYTES);
        let middle = REGION + page / 2;
        let second = if whole >= 2 * page { middle + page } else { middle };
        let mut registers = [0; REGISTERS];
        registers[usize::from(F0)..].copy_from_slice(&self.floats);
        registers[2] = u64::from(newest().layout.stack_top) - 4096;
        registers[usize::from(STATE)] = 0x9e37_79b9_7f4a_7c15;
        registers[usize::from(FACTOR)] = 6_364_136_223_846_793_005;
        registers[usize::from(INCREMENT)] = 1_442_695_040_888_963_407;
        for (register, value) in VALUES.zip(self.values) {
            registers[usize::from(register)] = value;
        }
        for (part, register) in (0..).zip(CHASERS) {
            registers[usize::from(register)] = self.memory.link(part * 3);
        }
        for register in MOVERS {
            registers[usize::from(register)] = REGION + low;
        }
        let fixed = [middle, REGION + page - 4, second, REGION + 1024 - 4];
        for (register, address) in FIXED.into_iter().zip(fixed) {
            registers[usize::from(register)] = address;
        }
        registers[usize::from(STRIDE)] = self.stride * grain;
        registers[usize::from(MASK)] = (power - 1) & !(grain - 1);
        registers[usize::from(BASE)] = REGION | low;
        registers
    }

    /// What it becomes. `None` if that is too large.
    pub fn sequence(&self) -> Option<Sequence> {
        let mut out = Emitter::new(CODE);
        for copy in 0..self.copies {
            if copy > 0 && out.code.bytes.len() + out.functions.bytes.len() > MOST_COPIED_BYTES {
                break;
            }
            self.genes.iter().for_each(|gene| gene.emit(&mut out));
        }
        let functions = CODE + out.code.bytes.len() as u64 + EPILOGUE_BYTES;
        let (code, functions) = out.link(functions)?;
        (code.len() + functions.len() <= MOST_CODE_BYTES && !code.is_empty()).then(|| Sequence {
            code,
            functions,
            registers: self.registers(),
            memory: self.memory,
        })
    }
}

/// A number of one of the formats. Where the other is wanted, a single is a double that is no number, and a double no single.
fn float(random: &mut impl Rng) -> u64 {
    if random.random() {
        double(random)
    } else {
        single(random)
    }
}

fn value_register(random: &mut impl Rng) -> u8 {
    random.random_range(VALUES)
}

/// A random gene of the pieces that an island has.
fn draw_gene(random: &mut impl Rng, island: &Island) -> Gene {
    let piece = *island.pieces.choose(random).expect("every island has pieces");
    match piece {
        Piece::Operation(class) => {
            let (form, word) = operation(random, class);
            Gene::Operation { form, word }
        }
        Piece::Shuffle(class) => Gene::Shuffle {
            class,
            count: 1 << random.random_range(3..15),
            seed: random.random(),
        },
        Piece::Chase => Gene::Chase {
            chaser: *CHASERS.choose(random).expect("there are some"),
        },
        Piece::Address => {
            let mover = *MOVERS.choose(random).expect("there are some");
            if random.random() {
                Gene::Stride { mover }
            } else {
                Gene::Draw {
                    mover,
                    shift: random.random_range(0..32),
                    steps: random.random(),
                    waits: random.random(),
                }
            }
        }
        Piece::Access(class) => draw_access(random, class),
        Piece::Scramble => Gene::Scramble {
            value: value_register(random),
        },
        Piece::Branch if random.random() => Gene::Bit {
            shift: random.random_range(0..48),
            skips: random.random(),
        },
        Piece::Branch => Gene::Compare {
            form: form_of(random, Class::Branch),
            rs1: value_register(random),
            rs2: value_register(random),
            skips: random.random(),
        },
        Piece::Switch => Gene::Switch {
            log: random.random_range(1..=8),
            shift: random.random_range(0..50),
            calls: random.random(),
        },
        Piece::Calls => Gene::Calls {
            depth: 1 << random.random_range(0..8),
            recursive: random.random(),
        },
        Piece::Coroutine if random.random() => Gene::OtherLink,
        Piece::Coroutine => Gene::Coroutine {
            turns: random.random_range(1..8),
        },
        Piece::Stray => Gene::Stray {
            depth: 1 << random.random_range(0..7),
        },
        Piece::HostCall => Gene::HostCall,
        Piece::Far => Gene::Far {
            bytes: 1 << random.random_range(2..14),
        },
    }
}

/// A form of 32 bits, whose registers are free.
fn form_of(random: &mut impl Rng, class: Class) -> &'static millrace_jit::isa::Form {
    let forms: Vec<_> = forms()
        .iter()
        .filter(|form| form.op.class() == class && !form.is_compressed())
        .collect();
    forms.choose(random).expect("every class has such a form")
}

fn draw_access(random: &mut impl Rng, class: Class) -> Gene {
    let form = form_of(random, class);
    // Atomics trap where they are not aligned.
    let addresses: &[u8] = if class == Class::Atomic {
        &[CHASERS[0], MOVERS[0], MOVERS[1], FIXED[0], FIXED[2]]
    } else {
        &[
            CHASERS[0], CHASERS[1], MOVERS[0], MOVERS[1], FIXED[0], FIXED[1], FIXED[2], FIXED[3],
        ]
    };
    let offset = match random.random_range(0..4) {
        0 | 1 => 0,
        2 => random.random_range(0..8),
        _ => random.random_range(0..2040),
    };
    let data = if random.random_range(0..3) == 0 {
        SUM
    } else {
        value_register(random)
    };
    Gene::Access {
        form,
        address: *addresses.choose(random).expect("there are some"),
        data,
        offset,
    }
}
