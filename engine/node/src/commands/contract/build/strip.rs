//! What goes on chain of a linked program: the headers and what the program headers load.
//!
//! Both files come of one link, so that addresses in one are those in the other. A deploy pays for every byte, and a
//! chain reads no section: the table of sections goes too, which `strip` would keep.

/// Fields of the ELF header that speak of sections: `e_shoff`, and `e_shnum` and `e_shstrndx`.
const SECTIONS_OFFSET: std::ops::Range<usize> = 40..48;
const SECTIONS_COUNT: std::ops::Range<usize> = 60..64;

const HEADER_BYTES: usize = 64;
const PROGRAM_HEADER_BYTES: usize = 56;
/// Of a program header: a segment's offset in the file, and its bytes there.
const OFFSET: usize = 8;
const FILE_BYTES: usize = 32;
const PT_LOAD: [u8; 4] = [1, 0, 0, 0];

/// `elf` without sections, symbols and debug information; `None` if it is no ELF file that could be read.
pub fn strip(elf: &[u8]) -> Option<Vec<u8>> {
    let header = elf.get(..HEADER_BYTES)?;
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let table = usize::try_from(word(header, 32)?).ok()?;
    let count = usize::from(u16::from_le_bytes(*header.get(56..58)?.first_chunk()?));
    let headers = table..table.checked_add(count * PROGRAM_HEADER_BYTES)?;
    let segments: Vec<_> = elf
        .get(headers.clone())?
        .chunks_exact(PROGRAM_HEADER_BYTES)
        .map(|header| {
            let end = word(header, OFFSET)?.checked_add(word(header, FILE_BYTES)?)?;
            Some((header.starts_with(&PT_LOAD), usize::try_from(end).ok()?))
        })
        .collect::<Option<_>>()?;
    let loaded = segments.iter().filter(|(is_load, _)| *is_load);
    let end = loaded
        .map(|(_, end)| *end)
        .max()?
        .max(headers.end)
        .max(HEADER_BYTES);
    let mut stripped = elf.get(..end)?.to_vec();
    stripped[SECTIONS_OFFSET].fill(0);
    stripped[SECTIONS_COUNT].fill(0);
    for (index, (is_load, of)) in segments.into_iter().enumerate() {
        if !is_load && of > end {
            // It spoke of a section that is gone; a header of zeros is none.
            let at = headers.start + index * PROGRAM_HEADER_BYTES;
            stripped[at..at + PROGRAM_HEADER_BYTES].fill(0);
        }
    }
    Some(stripped)
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..at + 8)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use millrace_jit::Program;
    use millrace_jit::machine::{NEWEST, machine};

    use super::*;

    const ELF: &[u8] = include_bytes!("../../../../../../contracts/artifacts/token.elf");

    #[test]
    fn the_program_stays_the_same_and_the_file_gets_smaller() {
        let machine = machine(NEWEST).expect("the newest");
        let stripped = strip(ELF).expect("an ELF file");
        assert!(stripped.len() < ELF.len());
        let of_sections = [&stripped[SECTIONS_OFFSET], &stripped[SECTIONS_COUNT]].concat();
        assert_eq!(of_sections, [0; 12], "the table that is gone is not named");
        let (before, after) = (Program::load(ELF, machine), Program::load(&stripped, machine));
        let (before, after) = (before.expect("valid"), after.expect("valid"));
        assert_eq!((before.entry(), before.text()), (after.entry(), after.text()));
        assert_eq!(before.segments().len(), after.segments().len());
        for (before, after) in before.segments().iter().zip(after.segments()) {
            assert_eq!(
                (before.address, before.memory_len),
                (after.address, after.memory_len)
            );
            // The first segment begins with the headers, in which nobody looks for sections.
            let from = if before.data.starts_with(b"\x7fELF") {
                1024
            } else {
                0
            };
            assert!(
                before.data.get(from..) == after.data.get(from..),
                "{:#x}",
                before.address
            );
        }
        assert_eq!(
            strip(&stripped).as_deref(),
            Some(&stripped[..]),
            "nothing is left to take"
        );
    }

    #[test]
    fn bytes_that_are_no_file_are_refused_at_every_length() {
        for len in 0..ELF.len() {
            if let Some(stripped) = strip(&ELF[..len]) {
                assert!(stripped.len() <= len);
            }
        }
        let mut wild = ELF.to_vec();
        wild[32..40].fill(0xff);
        assert_eq!(strip(&wild), None);
        wild[32..40].copy_from_slice(&64_u64.to_le_bytes());
        assert_eq!(wild, ELF);
        wild[56..58].fill(0xff);
        assert_eq!(strip(&wild), None);
    }
}
