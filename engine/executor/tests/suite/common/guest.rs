//! A contract that does what its input says: it performs the host calls of a script and keeps their results.
//!
//! Input: offset of the records, their number, data, records of seven words (a7, a0 to a5). After each `ecall`, a0 and
//! a1 go to the next 16 bytes of [`RESULTS`]. Behind the last record it hits `ebreak`: scripts end themselves.

/// Where the input is copied to.
pub const INPUT: u64 = 0x10_0000;
/// Where results of host calls are kept, 16 bytes each, at most 256.
pub const RESULTS: u64 = 0x12_0000;
/// Free for the script: 60 KiB.
pub const SCRATCH: u64 = 0x12_1000;
/// End of writable memory.
pub const END: u64 = 0x13_0000;

const TEXT: u32 = 0x2_0000;

const A0: u32 = 10;
const A1: u32 = 11;
const A2: u32 = 12;
const A7: u32 = 17;
const S0: u32 = 8;
const S1: u32 = 9;
const S2: u32 = 18;
const S3: u32 = 19;
const ECALL: u32 = 0x0000_0073;
const EBREAK: u32 = 0x0010_0073;

fn addi(rd: u32, rs1: u32, imm: i32) -> u32 {
    (imm.cast_unsigned() << 20) | (rs1 << 15) | (rd << 7) | 0x13
}

fn add(rd: u32, rs1: u32, rs2: u32) -> u32 {
    (rs2 << 20) | (rs1 << 15) | (rd << 7) | 0x33
}

fn lui(rd: u32, address: u64) -> u32 {
    assert_eq!(address & 0xfff, 0, "lui loads whole pages");
    u32::try_from(address).unwrap() | (rd << 7) | 0x37
}

fn ld(rd: u32, rs1: u32, offset: u32) -> u32 {
    (offset << 20) | (rs1 << 15) | (3 << 12) | (rd << 7) | 0x03
}

fn sd(rs2: u32, rs1: u32, offset: u32) -> u32 {
    ((offset >> 5) << 25) | (rs2 << 20) | (rs1 << 15) | (3 << 12) | ((offset & 31) << 7) | 0x23
}

fn beqz_forward(rs1: u32, bytes: u32) -> u32 {
    (((bytes >> 5) & 0x3f) << 25) | (rs1 << 15) | (((bytes >> 1) & 0xf) << 8) | 0x63
}

fn jump_back(bytes: u32) -> u32 {
    let offset = bytes.wrapping_neg();
    let (sign, high, low) = ((offset >> 20) & 1, (offset >> 12) & 0xff, (offset >> 1) & 0x3ff);
    (sign << 31) | (low << 21) | (((offset >> 11) & 1) << 20) | (high << 12) | 0x6f
}

fn text() -> Vec<u32> {
    let mut code = vec![
        addi(A7, 0, 0x100),
        ECALL,
        addi(A2, A0, 0),
        lui(A0, INPUT),
        addi(A1, 0, 0),
        addi(A7, 0, 0x101),
        ECALL,
        lui(S1, INPUT),
        ld(S0, S1, 0),
        add(S0, S0, S1),
        ld(S2, S1, 8),
        lui(S3, RESULTS),
    ];
    let mut turn = vec![ld(A7, S0, 0)];
    turn.extend((0..6).map(|argument| ld(A0 + argument, S0, 8 + 8 * argument)));
    turn.extend([
        ECALL,
        sd(A0, S3, 0),
        sd(A1, S3, 8),
        addi(S3, S3, 16),
        addi(S0, S0, 56),
        addi(S2, S2, -1),
    ]);
    let turn_bytes = 4 * u32::try_from(turn.len()).unwrap();
    code.push(beqz_forward(S2, turn_bytes + 8));
    code.extend(turn);
    code.push(jump_back(turn_bytes + 4));
    code.push(EBREAK);
    code
}

/// Where the constants of [`elf_with_constants`] are.
const CONSTANTS: u64 = 0x20_0000;

/// The contract's ELF file.
pub fn elf() -> Vec<u8> {
    elf_with_constants(0)
}

/// The same with `constants` bytes of read-only zeros, of which the file holds none.
pub fn elf_with_constants(constants: u64) -> Vec<u8> {
    elf_of(&text(), constants)
}

/// A file of these instructions, with as many bytes of constants.
pub fn elf_of(text: &[u32], constants: u64) -> Vec<u8> {
    let segments = if constants == 0 { 2 } else { 3u16 };
    let headers = 64 + 56 * u32::from(segments);
    let text: Vec<u8> = text.iter().flat_map(|word| word.to_le_bytes()).collect();
    let len = text.len() as u64;
    let segment = |flags: u32, offset: u64, address: u64, filesz: u64, memsz: u64| {
        let mut header = [1u32.to_le_bytes(), flags.to_le_bytes()].concat();
        for word in [offset, address, address, filesz, memsz, 0x1000] {
            header.extend(word.to_le_bytes());
        }
        header
    };
    let entry = u64::from(TEXT + headers);
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.extend([2u16.to_le_bytes(), 243u16.to_le_bytes()].concat());
    file.extend(1u32.to_le_bytes());
    file.extend([entry, 64, 0].iter().flat_map(|word| word.to_le_bytes()));
    file.extend(1u32.to_le_bytes());
    file.extend(
        [64u16, 56, segments, 64, 0, 0]
            .iter()
            .flat_map(|half| half.to_le_bytes()),
    );
    file.extend(segment(5, headers.into(), entry, len, len));
    file.extend(segment(6, 0, INPUT, 0, END - INPUT));
    if constants > 0 {
        file.extend(segment(4, 0, CONSTANTS, 0, constants));
    }
    file.extend(text);
    file
}
