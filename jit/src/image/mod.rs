//! ELF to validated program; symbols and DWARF lines.

use crate::machine::Machine;

/// Why a file is no program of the machine. Names what, where, the limit and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {}

/// A validated program: segments with permissions, text, entry. Immutable; shared as `Arc<Program>`.
#[derive(Debug)]
pub struct Program {}

impl Program {
    /// Validates an ELF file by the rules of `machine`. Cost is linear in `elf.len()`.
    ///
    /// # Errors
    /// The first rule that the file breaks.
    pub fn load(elf: &[u8], machine: &'static Machine) -> Result<Self, ImageError> {
        let _ = (elf, machine);
        unimplemented!()
    }

    /// Bytes of text: what deploy and first-call charges are computed from.
    #[must_use]
    pub fn text_len(&self) -> u32 {
        unimplemented!()
    }

    /// 4 KiB pages of writable image (data, bss) and stack: what entry charges for and what counts as live.
    #[must_use]
    pub fn entry_pages(&self) -> u32 {
        unimplemented!()
    }

    /// The machine it was validated for.
    #[must_use]
    pub fn machine(&self) -> &'static Machine {
        unimplemented!()
    }
}
