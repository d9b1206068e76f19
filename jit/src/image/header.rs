//! The ELF header and the program headers: all that consensus reads of a file.
//!
//! A reader of our own, because what it accepts is a rule of the chain: a library's next release must not change it.
//! Every offset is checked against the file before it is read; sums are checked; cost is linear in the number of
//! program headers, which is bounded before the first one is read.

use super::error::ImageError;
use super::report::Report;

const HEADER_LEN: usize = 64;
const PROGRAM_HEADER_LEN: usize = 56;

const ET_EXEC: u16 = 2;
const EM_RISCV: u16 = 243;
const EF_RISCV_RVE: u32 = 0x8;
const EF_RISCV_TSO: u32 = 0x10;

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const PT_TLS: u32 = 7;

/// The fields of a `PT_LOAD` program header that consensus reads, not yet checked but for the file range.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load<'a> {
    /// Index among the program headers, for messages.
    pub(super) index: usize,
    /// `p_flags`.
    pub(super) flags: u32,
    /// `p_vaddr`.
    pub(super) address: u64,
    /// `p_memsz`.
    pub(super) memory_len: u64,
    /// The file's bytes, `p_filesz` of them.
    pub(super) data: &'a [u8],
}

/// Reads the entry address and the loadable segments of `elf`, at most `max_headers` program headers.
pub(super) fn parse<'a>(
    elf: &'a [u8],
    max_headers: u32,
    report: &mut Report,
) -> Result<(u64, Vec<Load<'a>>), ImageError> {
    let Some(header) = elf.first_chunk::<HEADER_LEN>() else {
        return Err(ImageError::TooShort { len: elf.len() });
    };
    check_header(header, report)?;
    let count = u16_at(header, 56);
    if count == 0 || u32::from(count) > max_headers {
        return Err(ImageError::HeaderCount {
            found: count,
            limit: max_headers,
        });
    }
    let offset = u64_at(header, 32);
    let table = slice(elf, offset, u64::from(count) * PROGRAM_HEADER_LEN as u64).ok_or(
        ImageError::HeadersOutside {
            offset,
            count,
            len: elf.len(),
        },
    )?;
    let mut loads = Vec::with_capacity(usize::from(count));
    let mut file_bytes = 0;
    for (index, bytes) in table.chunks_exact(PROGRAM_HEADER_LEN).enumerate() {
        if is_load(index, u32_at(bytes, 0), report)?
            && let Some(load) = load(elf, index, bytes, report)?
        {
            // Without this, sixteen segments could each copy the whole file.
            file_bytes += load.data.len() as u64;
            if file_bytes > elf.len() as u64 {
                return Err(ImageError::FileRangesOverlap {
                    segment: index,
                    needed: file_bytes,
                    len: elf.len(),
                });
            }
            loads.push(load);
        }
    }
    Ok((u64_at(header, 24), loads))
}

fn check_header(header: &[u8; HEADER_LEN], report: &mut Report) -> Result<(), ImageError> {
    let magic = [header[0], header[1], header[2], header[3]];
    if magic != *b"\x7fELF" {
        return Err(ImageError::NotElf { found: magic });
    }
    let rebuild = "build for riscv64 (`--target=riscv64-unknown-elf`, `riscv64imac-unknown-none-elf`)";
    let link =
        "link the file statically at a fixed address (`-static -no-pie`; Rust: `-C relocation-model=static`)";
    let damaged = "the file is damaged or of an unknown ELF version";
    let byte = |offset: usize| u64::from(header[offset]);
    let half = |offset: usize| u64::from(u16_at(header, offset));
    let rules = [
        ("EI_CLASS", 4, byte(4), 2, "2 (64-bit)", rebuild),
        ("EI_DATA", 5, byte(5), 1, "1 (little endian)", rebuild),
        ("EI_VERSION", 6, byte(6), 1, "1", damaged),
        ("e_type", 16, half(16), u64::from(ET_EXEC), "2 (EXEC)", link),
        (
            "e_machine",
            18,
            half(18),
            u64::from(EM_RISCV),
            "243 (RISC-V)",
            rebuild,
        ),
        ("e_version", 20, u64::from(u32_at(header, 20)), 1, "1", damaged),
        ("e_ehsize", 52, half(52), HEADER_LEN as u64, "64", damaged),
        (
            "e_phentsize",
            54,
            half(54),
            PROGRAM_HEADER_LEN as u64,
            "56",
            damaged,
        ),
    ];
    for (field, offset, found, value, required, mend) in rules {
        if found != value {
            let error = ImageError::Header {
                field,
                offset,
                found,
                required,
                mend,
            };
            // By these, every field behind them lies elsewhere or means something else.
            if ["EI_CLASS", "EI_DATA", "e_phentsize"].contains(&field) {
                return Err(error);
            }
            report.broken(error)?;
        }
    }
    check_flags(u32_at(header, 48), report)
}

fn check_flags(flags: u32, report: &mut Report) -> Result<(), ImageError> {
    let refused = [
        (
            EF_RISCV_RVE,
            "RVE",
            "build with all 32 registers (-march=rv64imac, not rv64e)",
        ),
        (EF_RISCV_TSO, "TSO", "build without the Ztso extension"),
    ];
    for (bit, name, mend) in refused {
        if flags & bit != 0 {
            report.broken(ImageError::Flags {
                flags,
                bit,
                name,
                mend,
            })?;
        }
    }
    Ok(())
}

fn is_load(segment: usize, kind: u32, report: &mut Report) -> Result<bool, ImageError> {
    let dynamic = "link statically (`-static -no-pie`), without shared libraries";
    let (name, mend) = match kind {
        PT_LOAD => return Ok(true),
        PT_INTERP => ("PT_INTERP", dynamic),
        PT_DYNAMIC => ("PT_DYNAMIC", dynamic),
        PT_TLS => (
            "PT_TLS",
            "there are no threads; use plain statics instead of thread-local ones",
        ),
        _ => return Ok(false),
    };
    report.broken(ImageError::Kind { segment, name, mend })?;
    Ok(false)
}

/// A loadable segment; none where its bytes are not in the file and the report goes on.
fn load<'a>(
    elf: &'a [u8],
    index: usize,
    header: &[u8],
    report: &mut Report,
) -> Result<Option<Load<'a>>, ImageError> {
    let (offset, address) = (u64_at(header, 8), u64_at(header, 16));
    let (filesz, memsz, align) = (u64_at(header, 32), u64_at(header, 40), u64_at(header, 48));
    let Some(data) = slice(elf, offset, filesz) else {
        report.lost_segment(ImageError::OutsideFile {
            segment: index,
            offset,
            filesz,
            len: elf.len(),
        })?;
        return Ok(None);
    };
    let congruent = align <= 1 || (align.is_power_of_two() && (address ^ offset) & (align - 1) == 0);
    if !congruent {
        report.broken(ImageError::Alignment {
            segment: index,
            address,
            offset,
            align,
        })?;
    }
    Ok(Some(Load {
        index,
        flags: u32_at(header, 4),
        address,
        memory_len: memsz,
        data,
    }))
}

fn slice(bytes: &[u8], offset: u64, len: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    let end = usize::try_from(offset.checked_add(len)?).ok()?;
    bytes.get(start..end)
}

fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes([bytes[offset], bytes[offset + 1]])
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from(u16_at(bytes, offset)) | u32::from(u16_at(bytes, offset + 2)) << 16
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from(u32_at(bytes, offset)) | u64::from(u32_at(bytes, offset + 4)) << 32
}
