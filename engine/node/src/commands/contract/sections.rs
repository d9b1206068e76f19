//! Names of sections, for messages: a chain reads none of them.

use object::elf::SHF_ALLOC;
use object::read::elf::{ElfFile64, ProgramHeader as _, SectionHeader as _};
use object::{LittleEndian, Object as _, ObjectSection as _, SectionFlags};

/// Sections that are looked at, and named in one message.
const MOST_SECTIONS: usize = 4096;
const MOST_NAMED: usize = 8;

/// The sections of a file, as far as it can be read.
pub struct Sections<'a> {
    file: Option<ElfFile64<'a, LittleEndian>>,
}

impl<'a> Sections<'a> {
    /// Of a file that nobody vouches for.
    pub fn of(elf: &'a [u8]) -> Self {
        Self {
            file: ElfFile64::parse(elf).ok(),
        }
    }

    /// Names of the sections that a program header loads.
    pub fn in_segment(&self, index: usize) -> Vec<String> {
        let Some(file) = &self.file else {
            return Vec::new();
        };
        let Some(header) = file.elf_program_headers().get(index) else {
            return Vec::new();
        };
        let (start, len) = (header.p_vaddr(LittleEndian), header.p_memsz(LittleEndian));
        let range = start..start.saturating_add(len);
        file.sections()
            .take(MOST_SECTIONS)
            .filter(|section| {
                matches!(section.flags(), SectionFlags::Elf { sh_flags, .. } if (sh_flags & SHF_ALLOC).0 != 0)
            })
            .filter(|section| range.contains(&section.elf_section_header().sh_addr(LittleEndian)))
            .filter_map(|section| section.name().ok().map(str::to_owned))
            .take(MOST_NAMED)
            .collect()
    }
}
