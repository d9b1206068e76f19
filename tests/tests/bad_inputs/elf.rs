//! ELF files that are no programs. Whatever refuses one, `millrace contract check` says the same of it first.

use std::sync::{Arc, LazyLock};

use millrace_executor::{CodeFault, Executor};
use millrace_jit::machine::machine;
use millrace_jit::{ImageError, Program};
use millrace_tests::elf::HeaderField::{Address, Align, FileLen, Flags, Kind, MemoryLen, Offset};
use millrace_tests::elf::{HeaderField, R, RW, RX, Segment, file, header_field};
use millrace_types::ChainSpec;
use millrace_types::chain_spec::ConsensusSpec;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::{Case, case, check};

const TEXT: u64 = 0x1_0000;
/// `addi a7, x0, 93; ecall`.
const EXIT: [u8; 8] = [0x93, 0x08, 0xd0, 0x05, 0x73, 0x00, 0x00, 0x00];

fn load(bytes: &[u8]) -> Result<Program, ImageError> {
    let loaded = Program::load(bytes, machine(1).expect("version 1 is part of every build"));
    assert_eq!(
        examined(bytes).first(),
        loaded.as_ref().err(),
        "what check says first"
    );
    loaded
}

/// Everything that the executor of a chain finds wrong with a file as a program.
fn examined(bytes: &[u8]) -> Vec<ImageError> {
    static EXECUTOR: LazyLock<Executor> = LazyLock::new(|| {
        let consensus = ConsensusSpec {
            id: "none/1".into(),
            parameters: Vec::new(),
        };
        let spec = ChainSpec::development(1, 0, Vec::new(), consensus);
        Executor::new(Arc::new(spec)).expect("the development chain")
    });
    let report = EXECUTOR.examine_code(0, bytes);
    assert_eq!(report.program.is_some(), report.deploy.is_some());
    let faults = report.faults.into_iter().filter_map(|fault| match fault {
        CodeFault::Image(error) => Some(error),
        // The corpus has programs that are valid and too large for a transaction.
        _ => None,
    });
    let faults: Vec<_> = faults.collect();
    assert_eq!(report.program.is_some(), faults.is_empty());
    faults
}

/// Text, constants, data with bss.
fn segments() -> Vec<Segment> {
    let data = Segment {
        memory_len: 0x2000,
        ..Segment::load(RW, TEXT + 0x2000, [7; 100])
    };
    vec![
        Segment::load(RX, TEXT, EXIT),
        Segment::load(R, TEXT + 0x1000, *b"constant"),
        data,
    ]
}

fn valid() -> Vec<u8> {
    file(TEXT, &segments())
}

#[test]
fn the_undamaged_file_is_accepted() {
    let program = load(&valid()).expect("what the cases below damage is valid");
    assert_eq!(program.segments().len(), 3);
}

/// The valid file with bytes overwritten.
fn patched(name: &'static str, patches: &[(usize, &'static [u8])], expected: &'static str) -> Case {
    let patches = patches.to_vec();
    let read = move || {
        let mut bytes = valid();
        for (offset, patch) in &patches {
            bytes[*offset..*offset + patch.len()].copy_from_slice(patch);
        }
        load(&bytes)
    };
    case(name, read, expected)
}

/// The valid file with one field of one program header overwritten.
fn field(name: &'static str, segment: usize, field: HeaderField, value: u64, expected: &'static str) -> Case {
    let read = move || {
        let mut bytes = valid();
        let (at, len) = (
            header_field(segment, field),
            if (field as usize) < 8 { 4 } else { 8 },
        );
        bytes[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
        load(&bytes)
    };
    case(name, read, expected)
}

/// A file of these segments.
fn linked(name: &'static str, entry: u64, segments: Vec<Segment>, expected: &'static str) -> Case {
    case(name, move || load(&file(entry, &segments)), expected)
}

/// The first bytes of the valid file.
fn cut(name: &'static str, len: usize, expected: &'static str) -> Case {
    case(name, move || load(&valid()[..len]), expected)
}

fn header_cases() -> Vec<Case> {
    vec![
        cut(
            "empty file",
            0,
            "file has 0 bytes, an ELF header needs 64: the file is no ELF file or was cut",
        ),
        cut(
            "header cut",
            63,
            "file has 63 bytes, an ELF header needs 64: the file is no ELF file or was cut",
        ),
        patched(
            "shell script",
            &[(0, b"#!/b")],
            "bytes 0 to 3 are [23, 21, 2f, 62], not 7f 45 4c 46: no ELF file; give the linked \
            program, not a raw binary or text",
        ),
        patched(
            "32-bit",
            &[(4, &[1])],
            "EI_CLASS at offset 4 is 1, must be 2 (64-bit): build for riscv64 \
            (`--target=riscv64-unknown-elf`, `riscv64imac-unknown-none-elf`)",
        ),
        patched(
            "big endian",
            &[(5, &[2])],
            "EI_DATA at offset 5 is 2, must be 1 (little endian): build for riscv64 \
            (`--target=riscv64-unknown-elf`, `riscv64imac-unknown-none-elf`)",
        ),
        patched(
            "unknown ELF version",
            &[(6, &[2])],
            "EI_VERSION at offset 6 is 2, must be 1: the file is damaged or of an unknown ELF \
            version",
        ),
        patched(
            "object file",
            &[(16, &[1])],
            "e_type at offset 16 is 1, must be 2 (EXEC): link the file statically at a fixed \
            address (`-static -no-pie`; Rust: `-C relocation-model=static`)",
        ),
        patched(
            "position-independent",
            &[(16, &[3])],
            "e_type at offset 16 is 3, must be 2 (EXEC): link the file statically at a fixed \
            address (`-static -no-pie`; Rust: `-C relocation-model=static`)",
        ),
        patched(
            "x86-64",
            &[(18, &[62, 0])],
            "e_machine at offset 18 is 62, must be 243 (RISC-V): build for riscv64 \
            (`--target=riscv64-unknown-elf`, `riscv64imac-unknown-none-elf`)",
        ),
        patched(
            "unknown object version",
            &[(20, &[7])],
            "e_version at offset 20 is 7, must be 1: the file is damaged or of an unknown ELF \
            version",
        ),
        patched(
            "RVE",
            &[(48, &[0x09])],
            "e_flags at offset 48 is 0x9, which sets RVE (0x8): build with all 32 registers \
            (-march=rv64imac, not rv64e)",
        ),
        patched(
            "TSO",
            &[(48, &[0x11])],
            "e_flags at offset 48 is 0x11, which sets TSO (0x10): build without the Ztso extension",
        ),
        patched(
            "wrong header size",
            &[(52, &[52])],
            "e_ehsize at offset 52 is 52, must be 64: the file is damaged or of an unknown ELF \
            version",
        ),
        patched(
            "wrong program header size",
            &[(54, &[32])],
            "e_phentsize at offset 54 is 32, must be 56: the file is damaged or of an unknown ELF \
            version",
        ),
        patched(
            "no program headers",
            &[(56, &[0])],
            "e_phnum at offset 56 is 0, must be 1 to 64: link with a stock linker, which makes 2 \
            to 10; an object file (.o) has none",
        ),
        patched(
            "too many program headers",
            &[(56, &[65])],
            "e_phnum at offset 56 is 65, must be 1 to 64: link with a stock linker, which makes 2 \
            to 10; an object file (.o) has none",
        ),
        patched(
            "program headers outside",
            &[(33, &[0xff])],
            "the 3 program headers at offset 0xff40 end outside the file of 12388 bytes: the file \
            was cut or damaged",
        ),
        patched(
            "program header offset overflows",
            &[(32, &[0xff; 8])],
            "the 3 program headers at offset 0xffffffffffffffff end outside the file of 12388 \
            bytes: the file was cut or damaged",
        ),
        cut(
            "program headers cut",
            64 + 3 * 56 - 1,
            "the 3 program headers at offset 0x40 end outside the file of 231 bytes: the file was \
            cut or damaged",
        ),
        cut(
            "last segment cut",
            0x3000 + 99,
            "segment 2: file range 0x3000 + 0x64 ends outside the file of 12387 bytes: the file \
            was cut or damaged",
        ),
    ]
}

fn segment_cases() -> Vec<Case> {
    vec![
        field(
            "dynamically linked",
            1,
            Kind,
            2,
            "program header 1 is PT_DYNAMIC: link statically (`-static -no-pie`), without shared \
            libraries",
        ),
        field(
            "asks for an interpreter",
            1,
            Kind,
            3,
            "program header 1 is PT_INTERP: link statically (`-static -no-pie`), without shared \
            libraries",
        ),
        field(
            "thread-local storage",
            2,
            Kind,
            7,
            "program header 2 is PT_TLS: there are no threads; use plain statics instead of \
            thread-local ones",
        ),
        field(
            "file range overflows",
            2,
            Offset,
            u64::MAX - 0xfff,
            "segment 2: file range 0xfffffffffffff000 + 0x64 ends outside the file of 12388 bytes: \
            the file was cut or damaged",
        ),
        field(
            "more file than memory",
            2,
            MemoryLen,
            99,
            "segment 2: p_filesz 0x64 exceeds p_memsz 0x63: the file is damaged",
        ),
        field(
            "alignment no power of two",
            1,
            Align,
            0x1001,
            "segment 1: address 0x11000 and offset 0x2000 are not congruent modulo p_align 0x1001 \
            (a power of two, 0 or 1): the file is damaged",
        ),
        field(
            "offset not congruent",
            1,
            Offset,
            0x2001,
            "segment 1: address 0x11000 and offset 0x2001 are not congruent modulo p_align 0x1000 \
            (a power of two, 0 or 1): the file is damaged",
        ),
        field(
            "memory size overflows",
            2,
            MemoryLen,
            u64::MAX,
            "segment 2: pages 0x12000 to 0xffffffffffffffff lie outside 0x10000 to 0xfbfa0000, \
            where programs may lie: link at another address (`-Wl,-Ttext-segment=0x10000`; lld: \
            `-Wl,--image-base=0x10000`)",
        ),
        field(
            "writable text",
            0,
            Flags,
            7,
            "segment 0: p_flags 0x7 is not R, RW or RX (4, 6, 5): no segment may be writable and \
            executable; link with lld, or compile for GNU ld with `-msmall-data-limit=0` (it \
            joins text with small constants and bss), without -N (--omagic)",
        ),
        field(
            "execute-only text",
            0,
            Flags,
            1,
            "segment 0: p_flags 0x1 is not R, RW or RX (4, 6, 5): link without --execute-only; \
            every segment must be readable",
        ),
        field(
            "unknown permission bits",
            1,
            Flags,
            0x10_0004,
            "segment 1: p_flags 0x100004 is not R, RW or RX (4, 6, 5): bits above 0x7 have no \
            meaning here; the file is damaged",
        ),
        field(
            "no permissions",
            1,
            Flags,
            0,
            "segment 1: p_flags 0x0 is not R, RW or RX (4, 6, 5): link without --execute-only; \
            every segment must be readable",
        ),
        field(
            "below the lowest address",
            0,
            Address,
            0xf000,
            "segment 0: pages 0xf000 to 0x10000 lie outside 0x10000 to 0xfbfa0000, where programs \
            may lie: link at another address (`-Wl,-Ttext-segment=0x10000`; lld: \
            `-Wl,--image-base=0x10000`)",
        ),
        field(
            "above 32 bits",
            2,
            Address,
            0x1_0000_2000,
            "segment 2: pages 0x100002000 to 0x100004000 lie outside 0x10000 to 0xfbfa0000, where \
            programs may lie: link at another address (`-Wl,-Ttext-segment=0x10000`; lld: \
            `-Wl,--image-base=0x10000`)",
        ),
        field(
            "in the stack's place",
            2,
            Address,
            0xfffe_f000,
            "segment 2: pages 0xfffef000 to 0xffff1000 lie outside 0x10000 to 0xfbfa0000, where \
            programs may lie: link at another address (`-Wl,-Ttext-segment=0x10000`; lld: \
            `-Wl,--image-base=0x10000`)",
        ),
        field(
            "overlapping addresses",
            1,
            Address,
            TEXT,
            "segment 1 at 0x10000 begins below segment 0, which ends at 0x10008: PT_LOAD headers \
            must ascend and not overlap; the linker script or file is damaged",
        ),
        field(
            "descending addresses",
            2,
            Address,
            TEXT,
            "segment 2 at 0x10000 begins below segment 1, which ends at 0x11008: PT_LOAD headers \
            must ascend and not overlap; the linker script or file is damaged",
        ),
        patched(
            "overlapping file ranges",
            &[
                (header_field(1, Offset), &[0, 0]),
                (header_field(1, FileLen), &[0, 0x30]),
                (header_field(1, MemoryLen), &[0, 0x30]),
            ],
            "segments up to 2 take 12396 bytes from a file of 12388: their file ranges overlap; \
            link with a stock linker",
        ),
    ]
}

fn layout_cases() -> Vec<Case> {
    let on_one_page = vec![
        Segment::load(RX, TEXT, EXIT),
        Segment::load(RW, TEXT + 0x800, [1]),
    ];
    let large = Segment {
        memory_len: 64 << 20,
        ..Segment::load(RW, TEXT + 0x1000, [1])
    };
    let much_text = Segment::load(RX, TEXT, vec![0x13; (16 << 20) + 4]);
    let many = (0..17)
        .map(|i| Segment::load(if i == 0 { RX } else { R }, TEXT + i * 0x1000, EXIT))
        .collect();
    let two_texts = vec![
        Segment::load(RX, TEXT, EXIT),
        Segment::load(RX, TEXT + 0x1000, EXIT),
    ];
    vec![
        linked(
            "two segments on one page",
            TEXT,
            on_one_page,
            "segments 0 and 1 share the page at 0x10000: each must have its own 4096-byte pages; \
            link with `-Wl,-z,max-page-size=4096`, without -N, -n or a linker script",
        ),
        linked(
            "too much memory",
            TEXT,
            vec![Segment::load(RX, TEXT, EXIT), large],
            "segments need 67112960 bytes of memory in whole pages, the limit is 67108864: make \
            data and bss smaller; large buffers belong on the heap",
        ),
        linked(
            "too much text",
            TEXT,
            vec![much_text],
            "segment 0: text has 16777220 bytes, the limit is 16777216: build for size (`-Os`, \
            opt-level = \"z\") or split the program",
        ),
        linked(
            "too many segments",
            TEXT,
            many,
            "segment 16 is one more than the limit of 16 PT_LOAD segments: merge sections of equal \
            permissions",
        ),
        linked(
            "two executable segments",
            TEXT,
            two_texts,
            "segments 0 and 1 are both executable, one may be: put all code into one segment (drop \
            custom PHDRS from the linker script)",
        ),
        linked(
            "no executable segment",
            TEXT,
            vec![Segment::load(R, TEXT, EXIT)],
            "no PT_LOAD segment is executable (flags R+X): there is nothing to run; link with an \
            entry point (`_start`)",
        ),
        linked(
            "odd entry",
            TEXT + 1,
            segments(),
            "e_entry 0x10001 is not an even address in text, 0x10000 to 0x10008: define `_start` \
            in an executable section (`-Wl,-e,SYMBOL`)",
        ),
        linked(
            "entry in data",
            TEXT + 0x2000,
            segments(),
            "e_entry 0x12000 is not an even address in text, 0x10000 to 0x10008: define `_start` \
            in an executable section (`-Wl,-e,SYMBOL`)",
        ),
        linked(
            "entry after the last instruction",
            TEXT + 8,
            segments(),
            "e_entry 0x10008 is not an even address in text, 0x10000 to 0x10008: define `_start` \
            in an executable section (`-Wl,-e,SYMBOL`)",
        ),
        linked(
            "entry 0, as linkers write it without _start",
            0,
            segments(),
            "e_entry 0x0 is not an even address in text, 0x10000 to 0x10008: define `_start` in an \
            executable section (`-Wl,-e,SYMBOL`)",
        ),
        linked(
            "entry above 32 bits",
            TEXT | 1 << 32,
            segments(),
            "e_entry 0x100010000 is not an even address in text, 0x10000 to 0x10008: define \
            `_start` in an executable section (`-Wl,-e,SYMBOL`)",
        ),
        linked(
            "text without bytes",
            TEXT,
            vec![Segment {
                memory_len: 16,
                ..Segment::load(RX, TEXT, [])
            }],
            "e_entry 0x10000 is not an even address in text, 0x10000 to 0x10000: define `_start` \
            in an executable section (`-Wl,-e,SYMBOL`)",
        ),
    ]
}

pub fn cases() -> Vec<Case> {
    header_cases()
        .into_iter()
        .chain(segment_cases())
        .chain(layout_cases())
        .collect()
}

#[test]
fn every_broken_rule_is_said_once_and_in_order() {
    let mut bytes = valid();
    bytes[16] = 3;
    bytes[48] = 0x19;
    for (segment, field, value) in [(0, Flags, 7_u64), (1, Kind, 3), (2, Address, 0x1000)] {
        let (at, len) = (
            header_field(segment, field),
            if (field as usize) < 8 { 4 } else { 8 },
        );
        bytes[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
    }
    let said: Vec<_> = examined(&bytes).iter().map(ToString::to_string).collect();
    let begins = [
        "e_type",
        "e_flags",
        "e_flags",
        "program header 1 is PT_INTERP",
        "segment 0: p_flags",
        "segment 2: pages",
    ];
    assert_eq!(said.len(), begins.len(), "{said:#?}");
    for (said, begin) in said.iter().zip(begins) {
        assert!(said.starts_with(begin), "{said}");
    }
}

#[test]
fn check_and_the_chain_agree_on_damaged_contracts() {
    const ARTIFACTS: [&[u8]; 4] = [
        include_bytes!("../../../contracts/artifacts/counter.elf"),
        include_bytes!("../../../contracts/artifacts/exchange.elf"),
        include_bytes!("../../../contracts/artifacts/hash.elf"),
        include_bytes!("../../../contracts/artifacts/token.elf"),
    ];
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let (mut refused, mut several) = (0, 0);
    for artifact in ARTIFACTS {
        load(artifact).expect("the examples are valid");
        for _ in 0..2_000 {
            let mut bytes = artifact.to_vec();
            for _ in 0..random.random_range(1..6) {
                // The headers, where the rules are.
                let at = random.random_range(0..64 + 6 * 56);
                bytes[at] = random.random();
            }
            refused += usize::from(load(&bytes).is_err());
            several += usize::from(examined(&bytes).len() > 1);
        }
    }
    assert!(
        refused > 1_000 && several > 100,
        "{refused} were refused, {several} for several reasons"
    );
}

#[test]
fn elf_files() {
    check("ELF", 45, &cases());
}
