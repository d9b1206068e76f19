//! The programs, and how much work they are given.

/// What a program is written in, and so what builds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Language {
    /// One file of `guests/`.
    C,
    /// One binary of `guests-rust/`, around a crate from crates.io.
    Rust,
}

/// One program. Its only input is `work`, its only output a digest of everything that it computed.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Of the file or the crate, and in the table.
    pub name: &'static str,
    /// What it is written in.
    pub language: Language,
    /// What it is there to stress; the figure of a program that stresses one thing says where a tier loses.
    pub stresses: &'static str,
    /// Work of a timed run: about 40 ms of a current server core.
    pub work: u64,
    /// Work of a test: a few million instructions at most.
    pub small: u64,
}

const fn c(name: &'static str, stresses: &'static str, work: u64, small: u64) -> Program {
    Program {
        name,
        language: Language::C,
        stresses,
        work,
        small,
    }
}

const fn rust(name: &'static str, stresses: &'static str, work: u64, small: u64) -> Program {
    Program {
        name,
        language: Language::Rust,
        stresses,
        work,
        small,
    }
}

/// Every program.
pub const ALL: &[Program] = &[
    c("calls", "calls, returns", 450, 2),
    c("tak", "calls with arguments", 1100, 10),
    c("bytecode", "a dense switch", 2_500_000, 10_000),
    c("vtable", "indirect calls", 4000, 20),
    c("queens", "branches", 900, 4),
    c("bytes", "bytes", 800, 4),
    c("arithmetic", "64-bit arithmetic", 120_000, 500),
    c("uint256", "128-bit products, carries", 1_600_000, 5000),
    c("hashtable", "data-dependent loads", 3000, 20),
    c("quicksort", "unpredictable branches", 100, 1),
    c("sieve", "short loops of stores", 100, 1),
    c("matrix", "multiply and add, strides", 20, 1),
    c("sha256", "straight lines, rotations", 90_000, 300),
    rust("k256", "signature check, 64-bit limbs", 400, 1),
    rust("ed25519-dalek", "signature check, 51-bit limbs", 800, 2),
    rust("bls12_381", "pairings, many-word products", 12, 1),
    rust("ruint", "256-bit integers of an EVM", 150_000, 500),
    rust("sha2", "hash: 32-bit rotations", 400, 4),
    rust("tiny-keccak", "hash: 64-bit logic, registers", 600, 4),
    rust("blake3", "hash: straight lines", 1000, 4),
    rust("serde_json", "parsing, trees, allocation", 600, 4),
    rust("regex-automata", "a lazy automaton over bytes", 500, 4),
    rust("miniz_oxide", "unpacking bits", 200, 2),
    rust("lz4_flex", "packing, short copies", 500, 2),
    rust("wasmi", "an interpreter in the machine", 16, 1),
];

/// The program called `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Program> {
    ALL.iter().find(|program| program.name == name)
}
