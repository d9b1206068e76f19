//! A minimal ELF writer, independent of the loader under test: segments in, a static executable out.
//!
//! [`file()`] writes valid files; tests of the loader damage them at the offsets named here.

/// Length of the ELF header, which is where the program headers begin.
pub const HEADER_LEN: usize = 64;
/// Length of a program header.
pub const PROGRAM_HEADER_LEN: usize = 56;

/// `p_flags` of constant data.
pub const R: u32 = 4;
/// `p_flags` of data and bss.
pub const RW: u32 = 6;
/// `p_flags` of text.
pub const RX: u32 = 5;
/// `p_type` of a loadable segment.
pub const PT_LOAD: u32 = 1;

const PAGE: usize = 4096;

/// A segment to be written.
#[derive(Debug, Clone)]
pub struct Segment {
    /// `p_type`.
    pub kind: u32,
    /// `p_flags`.
    pub flags: u32,
    /// `p_vaddr`.
    pub address: u64,
    /// `p_memsz`.
    pub memory_len: u64,
    /// The bytes in the file.
    pub data: Vec<u8>,
}

impl Segment {
    /// A loadable segment of just these bytes.
    #[must_use]
    pub fn load(flags: u32, address: u64, data: impl Into<Vec<u8>>) -> Self {
        let data = data.into();
        Self {
            kind: PT_LOAD,
            flags,
            address,
            memory_len: data.len() as u64,
            data,
        }
    }
}

/// Offset in the file of a field of program header `index`.
#[must_use]
pub fn header_field(index: usize, field: HeaderField) -> usize {
    HEADER_LEN + index * PROGRAM_HEADER_LEN + field as usize
}

/// Fields of a program header, by their offsets in it.
#[derive(Debug, Clone, Copy)]
pub enum HeaderField {
    /// `p_type`, 4 bytes.
    Kind = 0,
    /// `p_flags`, 4 bytes.
    Flags = 4,
    /// `p_offset`, 8 bytes.
    Offset = 8,
    /// `p_vaddr`, 8 bytes.
    Address = 16,
    /// `p_filesz`, 8 bytes.
    FileLen = 32,
    /// `p_memsz`, 8 bytes.
    MemoryLen = 40,
    /// `p_align`, 8 bytes.
    Align = 48,
}

/// A static executable. Every segment's bytes begin on a page of the file, congruent to its address.
#[must_use]
pub fn file(entry: u64, segments: &[Segment]) -> Vec<u8> {
    let mut bytes = header(entry, segments.len());
    let mut bodies = Vec::new();
    let bodies_start = (HEADER_LEN + segments.len() * PROGRAM_HEADER_LEN).next_multiple_of(PAGE);
    for segment in segments {
        let page = (bodies_start + bodies.len()).next_multiple_of(PAGE);
        let offset = page + segment.address as usize % PAGE;
        bytes.extend(segment.kind.to_le_bytes());
        bytes.extend(segment.flags.to_le_bytes());
        let data_len = segment.data.len() as u64;
        let words = [
            offset as u64,
            segment.address,
            segment.address,
            data_len,
            segment.memory_len,
            PAGE as u64,
        ];
        bytes.extend(words.into_iter().flat_map(u64::to_le_bytes));
        bodies.resize(offset - bodies_start, 0);
        bodies.extend_from_slice(&segment.data);
    }
    bytes.resize(bodies_start, 0);
    bytes.extend(bodies);
    bytes
}

fn header(entry: u64, segments: usize) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    for half in [2_u16, 243] {
        bytes.extend(half.to_le_bytes());
    }
    bytes.extend(1_u32.to_le_bytes());
    for word in [entry, HEADER_LEN as u64, 0] {
        bytes.extend(word.to_le_bytes());
    }
    // RVC, soft-float ABI.
    bytes.extend(1_u32.to_le_bytes());
    let count = u16::try_from(segments).expect("tests write few segments");
    for half in [HEADER_LEN as u16, PROGRAM_HEADER_LEN as u16, count, 64, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    bytes
}
