//! What a file says of itself before any of its code runs: a shared object for this machine, with the note of a plugin
//! for this ABI, and the entry symbol.

use std::path::Path;

use millrace_plugin_abi::note::{NOTE_NAME, NOTE_NAME_SIZE, NOTE_SECTION, NOTE_TYPE};
use millrace_plugin_abi::{ABI_MAJOR, ENTRY_SYMBOL, NoteDescriptor, SCHEMA};
use object::read::elf::{ElfFile64, FileHeader};
use object::{Endianness, Object, ObjectSection, ObjectSymbol, elf};

use crate::error::LoadError;

#[cfg(test)]
mod tests;

/// This machine, in words.
pub const MACHINE: &str = if cfg!(target_arch = "x86_64") {
    "x86-64 Linux"
} else {
    "aarch64 Linux"
};
const MACHINE_CODE: elf::Machine = if cfg!(target_arch = "x86_64") {
    elf::EM_X86_64
} else {
    elf::EM_AARCH64
};

/// Magic, versions and size: the least that the entry symbol must hold.
const TABLE_PREFIX_BYTES: u64 = 16;

/// What the note of an acceptable file says.
pub struct Checked {
    /// ABI version: major, minor.
    pub abi: (u16, u16),
    /// The consensus id.
    pub consensus_id: String,
    /// Bytes of the entry symbol: the table may not claim more.
    pub table_bytes: u64,
}

/// Checks a file's bytes. `path` is for the messages.
pub fn check(path: &Path, bytes: &[u8], expected: Option<&str>) -> Result<Checked, LoadError> {
    let file = shared_object(path, bytes)?;
    let note = note(path, &file)?;
    if note.abi_major != ABI_MAJOR {
        return Err(LoadError::AbiVersion {
            path: path.into(),
            major: note.abi_major,
            minor: note.abi_minor,
        });
    }
    if note.schema != SCHEMA {
        return Err(LoadError::Schema {
            path: path.into(),
            found: note.schema,
        });
    }
    let Some(consensus_id) = note.identity() else {
        return Err(bad_note(
            path,
            "its consensus id is not printable ASCII filled up with zeros",
        ));
    };
    if let Some(expected) = expected.filter(|expected| *expected != consensus_id) {
        let (expected, found) = (expected.to_owned(), consensus_id.to_owned());
        return Err(LoadError::Identity {
            path: path.into(),
            expected,
            found,
        });
    }
    let table_bytes = entry(path, &file)?;
    Ok(Checked {
        abi: (note.abi_major, note.abi_minor),
        consensus_id: consensus_id.to_owned(),
        table_bytes,
    })
}

fn shared_object<'data>(path: &Path, bytes: &'data [u8]) -> Result<ElfFile64<'data>, LoadError> {
    let refuse = |what: String| LoadError::NotASharedObject {
        path: path.into(),
        what,
    };
    if !bytes.starts_with(&elf::ELFMAG) {
        return Err(refuse("it is not an ELF file".into()));
    }
    let file: ElfFile64 =
        ElfFile64::parse(bytes).map_err(|e| refuse(format!("it is a damaged ELF file ({e})")))?;
    let endian = file.endian();
    let (machine, kind) = (
        file.elf_header().e_machine(endian),
        file.elf_header().e_type(endian),
    );
    if endian != Endianness::Little || machine != MACHINE_CODE {
        return Err(refuse(format!(
            "it is built for ELF machine {}, not {}",
            machine.0, MACHINE_CODE.0
        )));
    }
    if kind != elf::ET_DYN {
        return Err(refuse(format!(
            "its ELF type is {}, not {} (shared object)",
            kind.0,
            elf::ET_DYN.0
        )));
    }
    Ok(file)
}

fn bad_note(path: &Path, what: &str) -> LoadError {
    LoadError::BadNote {
        path: path.into(),
        what: what.to_owned(),
    }
}

/// The one note of the note section.
fn note(path: &Path, file: &ElfFile64) -> Result<NoteDescriptor, LoadError> {
    let section = file
        .section_by_name(NOTE_SECTION)
        .ok_or_else(|| LoadError::NoNote { path: path.into() })?;
    let data = section
        .data()
        .map_err(|e| bad_note(path, &format!("its bytes lie outside the file ({e})")))?;
    let short = || bad_note(path, "it is cut short");
    let (header, rest) = data.split_first_chunk::<12>().ok_or_else(short)?;
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (name_size, descriptor_size, note_type) = (word(0), word(4), word(8));
    let (name, rest) = rest.split_first_chunk::<12>().ok_or_else(short)?;
    if name_size != NOTE_NAME_SIZE || *name != NOTE_NAME || note_type != NOTE_TYPE {
        return Err(bad_note(path, "its name is not `Millrace` or its type not 1"));
    }
    let descriptor = rest.get(..descriptor_size as usize).ok_or_else(short)?;
    if rest.len() > descriptor.len().next_multiple_of(4) {
        return Err(bad_note(
            path,
            "there is more than one; link one plugin per shared object",
        ));
    }
    NoteDescriptor::parse(descriptor).ok_or_else(short)
}

/// The size of the exported table.
fn entry(path: &Path, file: &ElfFile64) -> Result<u64, LoadError> {
    let refuse = |what: &str| LoadError::NoTable {
        path: path.into(),
        what: what.to_owned(),
    };
    let symbol = file
        .dynamic_symbols()
        .find(|symbol| symbol.is_definition() && symbol.name() == Ok(ENTRY_SYMBOL))
        .ok_or_else(|| refuse("the dynamic symbol is missing"))?;
    if symbol.kind() != object::SymbolKind::Data {
        return Err(refuse("the symbol is not a data object"));
    }
    if symbol.size() < TABLE_PREFIX_BYTES {
        return Err(refuse("the symbol is smaller than a table's first 16 bytes"));
    }
    Ok(symbol.size())
}
