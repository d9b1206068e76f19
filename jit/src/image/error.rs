//! Why a file is no program.

/// Why a file is no program of the machine. Every message names what, where, the limit and what to do.
///
/// `segment` counts program headers from 0, as `readelf -l` lists them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// Shorter than an ELF header.
    #[error("file has {len} bytes, an ELF header needs 64: the file is no ELF file or was cut")]
    TooShort {
        /// Bytes in the file.
        len: usize,
    },
    /// The first four bytes are not `7f 45 4c 46`.
    #[error(
        "bytes 0 to 3 are {found:02x?}, not 7f 45 4c 46: no ELF file; give the linked program, not a raw binary or text"
    )]
    NotElf {
        /// The bytes found.
        found: [u8; 4],
    },
    /// A field of the ELF header has another value than the machine requires.
    #[error("{field} at offset {offset} is {found}, must be {required}: {mend}")]
    Header {
        /// The field's name in the ELF specification.
        field: &'static str,
        /// Its offset in the file.
        offset: usize,
        /// Its value.
        found: u64,
        /// What it must be.
        required: &'static str,
        /// What to do.
        mend: &'static str,
    },
    /// `e_flags` asks for something that the machine does not have.
    #[error("e_flags at offset 48 is {flags:#x}, which sets {name} ({bit:#x}): {mend}")]
    Flags {
        /// The whole field.
        flags: u32,
        /// The refused bit.
        bit: u32,
        /// Its name.
        name: &'static str,
        /// What to do.
        mend: &'static str,
    },
    /// No program headers, or more than the limit.
    #[error(
        "e_phnum at offset 56 is {found}, must be 1 to {limit}: link with a stock linker, which makes 2 to 10; an object file (.o) has none"
    )]
    HeaderCount {
        /// Number of program headers.
        found: u16,
        /// The machine's limit.
        limit: u32,
    },
    /// More loadable segments than the limit.
    #[error(
        "segment {segment} is one more than the limit of {limit} PT_LOAD segments: merge sections of equal permissions"
    )]
    SegmentCount {
        /// Index of the program header that passed the limit.
        segment: usize,
        /// The machine's limit.
        limit: u32,
    },
    /// The table of program headers is not in the file.
    #[error(
        "the {count} program headers at offset {offset:#x} end outside the file of {len} bytes: the file was cut or damaged"
    )]
    HeadersOutside {
        /// `e_phoff`.
        offset: u64,
        /// `e_phnum`.
        count: u16,
        /// Bytes in the file.
        len: usize,
    },
    /// A program header of a kind that asks for a dynamic linker or for thread-local storage.
    #[error("program header {segment} is {name}: {mend}")]
    Kind {
        /// Index of the program header.
        segment: usize,
        /// The kind's name.
        name: &'static str,
        /// What to do.
        mend: &'static str,
    },
    /// File range outside the file.
    #[error(
        "segment {segment}: file range {offset:#x} + {filesz:#x} ends outside the file of {len} bytes: the file was cut or damaged"
    )]
    OutsideFile {
        /// Index of the program header.
        segment: usize,
        /// `p_offset`.
        offset: u64,
        /// `p_filesz`.
        filesz: u64,
        /// Bytes in the file.
        len: usize,
    },
    /// File ranges of the segments overlap.
    #[error(
        "segments up to {segment} take {needed} bytes from a file of {len}: their file ranges overlap; link with a \
         stock linker"
    )]
    FileRangesOverlap {
        /// Index of the program header at which the sum passed the file's length.
        segment: usize,
        /// Sum of `p_filesz` so far.
        needed: u64,
        /// Bytes in the file.
        len: usize,
    },
    /// More bytes in the file than in memory.
    #[error("segment {segment}: p_filesz {filesz:#x} exceeds p_memsz {memsz:#x}: the file is damaged")]
    FileExceedsMemory {
        /// Index of the program header.
        segment: usize,
        /// `p_filesz`.
        filesz: u64,
        /// `p_memsz`.
        memsz: u64,
    },
    /// Address and file offset disagree modulo the alignment, or the alignment is no power of two.
    #[error(
        "segment {segment}: address {address:#x} and offset {offset:#x} are not congruent modulo p_align {align:#x} \
         (a power of two, 0 or 1): the file is damaged"
    )]
    Alignment {
        /// Index of the program header.
        segment: usize,
        /// `p_vaddr`.
        address: u64,
        /// `p_offset`.
        offset: u64,
        /// `p_align`.
        align: u64,
    },
    /// Neither R, RW nor RX.
    #[error("segment {segment}: p_flags {flags:#x} is not R, RW or RX (4, 6, 5): {mend}")]
    Permissions {
        /// Index of the program header.
        segment: usize,
        /// `p_flags`.
        flags: u32,
        /// What to do.
        mend: &'static str,
    },
    /// Outside the range of addresses that images may use.
    #[error(
        "segment {segment}: pages {start:#x} to {end:#x} lie outside {low:#x} to {high:#x}, where programs may lie: \
         link at another address (`-Wl,-Ttext-segment=0x10000`; lld: `-Wl,--image-base=0x10000`)"
    )]
    Address {
        /// Index of the program header.
        segment: usize,
        /// First address of its first page.
        start: u64,
        /// Address after its last page.
        end: u64,
        /// Lowest address allowed.
        low: u64,
        /// End of the range allowed.
        high: u64,
    },
    /// Segments not in ascending order of their addresses.
    #[error(
        "segment {segment} at {address:#x} begins below segment {before}, which ends at {end:#x}: PT_LOAD headers must \
         ascend and not overlap; the linker script or file is damaged"
    )]
    Order {
        /// Index of the program header.
        segment: usize,
        /// Its first address.
        address: u64,
        /// Index of the one before.
        before: usize,
        /// End of the one before.
        end: u64,
    },
    /// Two segments on one 4 KiB page.
    #[error(
        "segments {before} and {segment} share the page at {page:#x}: each must have its own 4096-byte pages; link with \
         `-Wl,-z,max-page-size=4096`, without -N, -n or a linker script"
    )]
    SharedPage {
        /// Index of the program header.
        segment: usize,
        /// Index of the one before.
        before: usize,
        /// First address of the page.
        page: u64,
    },
    /// More memory than the limit.
    #[error(
        "segments need {needed} bytes of memory in whole pages, the limit is {limit}: make data and bss smaller; large buffers belong on the heap"
    )]
    TooLarge {
        /// Bytes needed up to and with the segment that passed the limit.
        needed: u64,
        /// The machine's limit.
        limit: u64,
    },
    /// More text than the limit.
    #[error(
        "segment {segment}: text has {len} bytes, the limit is {limit}: build for size (`-Os`, opt-level = \"z\") or split the program"
    )]
    TextTooLarge {
        /// Index of the program header.
        segment: usize,
        /// Bytes of text.
        len: u64,
        /// The machine's limit.
        limit: u64,
    },
    /// No executable segment.
    #[error(
        "no PT_LOAD segment is executable (flags R+X): there is nothing to run; link with an entry point (`_start`)"
    )]
    NoText,
    /// A second executable segment.
    #[error(
        "segments {first} and {segment} are both executable, one may be: put all code into one segment (drop custom PHDRS from the linker script)"
    )]
    SecondText {
        /// Index of the first executable one.
        first: usize,
        /// Index of the second.
        segment: usize,
    },
    /// Entry odd, or not an address of text.
    #[error(
        "e_entry {entry:#x} is not an even address in text, {start:#x} to {end:#x}: define `_start` in an executable section (`-Wl,-e,SYMBOL`)"
    )]
    Entry {
        /// `e_entry`.
        entry: u64,
        /// First address of text.
        start: u64,
        /// Address after text.
        end: u64,
    },
}
