//! Names and lines for people: symbols and DWARF of a file, read lazily and without trust.
//!
//! Nothing here can fail or change what a program does: what is missing, damaged, compressed or beyond a bound is not
//! found. Bounds: symbols looked at come from the machine's version, a name is read and written up to [`MAX_NAME`] bytes, and
//! DWARF is left alone when its parser could be made to do too much ([`dwarf`]).

use std::cell::OnceCell;
use std::fmt::{self, Write as _};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use addr2line::Context;
use gimli::{EndianSlice, LittleEndian};
use object::LittleEndian as ElfLittleEndian;
use object::elf::{
    FileHeader64, SHF_COMPRESSED, SHF_EXECINSTR, SHT_NOBITS, SHT_SYMTAB, STT_FUNC, STT_NOTYPE, Sym64,
};
use object::read::elf::{FileHeader as _, SectionHeader as _, SectionTable, Sym as _};

use super::dwarf;
use crate::machine::Machine;

const MAX_NAME: usize = 1024;
const MAX_SECTIONS: usize = 4096;
/// Functions inlined into each other at one address, that are looked at.
const MAX_INLINED: usize = 64;

type Elf = FileHeader64<ElfLittleEndian>;
type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// A named range of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// The name, demangled where it is a Rust name.
    pub name: String,
    /// First address.
    pub address: u32,
    /// Bytes; up to the next function where the file does not say.
    pub len: u32,
}

/// The function that an address lies in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol {
    /// The function's name, demangled where it is a Rust name.
    pub name: String,
    /// Bytes from the function's start.
    pub offset: u32,
}

/// A place in source code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file, as the compiler recorded it.
    pub file: String,
    /// Line, from 1; 0 where the compiler knew none.
    pub line: u32,
    /// Column, from 1; 0 where the compiler knew none.
    pub column: u32,
}

impl Location {
    fn of(location: &addr2line::Location<'_>) -> Option<Self> {
        Some(Self {
            file: location.file?.to_owned(),
            line: location.line.unwrap_or(0),
            column: location.column.unwrap_or(0),
        })
    }
}

/// A function at an address, and where in its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The function's name, demangled where it is a Rust name.
    pub function: Option<String>,
    /// The place in its source.
    pub location: Option<Location>,
}

/// Symbols and lines of one file. Borrows the file, so that a [`crate::Program`] need not keep it.
pub struct Debug<'a> {
    elf: &'a [u8],
    strings: &'a [u8],
    symbols: Vec<Entry>,
    lines: OnceCell<Option<Context<Slice<'a>>>>,
}

#[derive(Clone, Copy)]
struct Entry {
    address: u32,
    len: u32,
    name: u32,
}

impl fmt::Debug for Debug<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Debug")
            .field("symbols", &self.symbols.len())
            .finish_non_exhaustive()
    }
}

impl<'a> Debug<'a> {
    /// Reads the symbols of `elf`, at most as many as `machine` looks at. Lines are read when first asked for.
    #[must_use]
    pub fn new(elf: &'a [u8], machine: &Machine) -> Self {
        let read = || symbols(elf, machine.limits.max_symbols as usize);
        let (symbols, strings) = contain(read).unwrap_or_default();
        Self {
            elf,
            strings,
            symbols,
            lines: OnceCell::new(),
        }
    }

    /// All functions, ascending by address.
    pub fn functions(&self) -> impl Iterator<Item = Function> + '_ {
        self.symbols.iter().map(|entry| Function {
            name: self.name(*entry),
            address: entry.address,
            len: entry.len,
        })
    }

    /// Addresses of all functions, ascending.
    pub(crate) fn function_addresses(&self) -> impl Iterator<Item = u32> + '_ {
        self.symbols.iter().map(|entry| entry.address)
    }

    /// The function that `pc` lies in.
    #[must_use]
    pub fn symbol_at(&self, pc: u64) -> Option<Symbol> {
        let pc = u32::try_from(pc).ok()?;
        let after = self.symbols.partition_point(|entry| entry.address <= pc);
        let entry = *self.symbols.get(after.checked_sub(1)?)?;
        let offset = pc - entry.address;
        (offset < entry.len).then(|| Symbol {
            name: self.name(entry),
            offset,
        })
    }

    /// The functions that `pc` lies in, innermost first: those that the compiler inlined, then the one that they were
    /// inlined into. Empty where nothing is known; without debug information, the symbol alone.
    #[must_use]
    pub fn frames_at(&self, pc: u64) -> Vec<Frame> {
        let mut frames = self.inlined_at(pc).unwrap_or_default();
        let symbol = self.symbol_at(pc);
        match frames.last_mut() {
            // The symbol's name is the one that everything else shows.
            Some(outermost) => {
                outermost.function = symbol.map(|symbol| symbol.name).or(outermost.function.take())
            }
            None => frames.extend(symbol.map(|symbol| Frame {
                function: Some(symbol.name),
                location: None,
            })),
        }
        frames
    }

    fn inlined_at(&self, pc: u64) -> Option<Vec<Frame>> {
        let context = self.lines()?;
        contain(|| {
            let mut found = context.find_frames(pc).skip_all_loads().ok()?;
            let mut frames = Vec::new();
            while let Some(frame) = found.next().ok()? {
                if frames.len() == MAX_INLINED {
                    break;
                }
                let function = frame.function.map(|function| name(function.name.slice()));
                let location = frame.location.as_ref().and_then(Location::of);
                frames.push(Frame { function, location });
            }
            Some(frames)
        })
    }

    /// Passes every range of addresses with its place in source code, of those between `start` and `end`.
    pub(crate) fn for_each_line(&self, start: u32, end: u32, mut found: impl FnMut(Range<u32>, &str, u32)) {
        let Some(context) = self.lines() else { return };
        contain(|| {
            let ranges = context
                .find_location_range(u64::from(start), u64::from(end))
                .ok()?;
            for (address, len, location) in ranges {
                let first = u32::try_from(address).ok()?;
                let after = u32::try_from(address.saturating_add(len)).ok()?;
                if let Some(file) = location.file {
                    found(first..after, file, location.line.unwrap_or(0));
                }
            }
            Some(())
        });
    }

    /// Address and bytes of a section; no bytes where it is missing or compressed.
    pub(crate) fn section(&self, name: &str) -> (u64, &'a [u8]) {
        let elf = self.elf;
        contain(|| Some(section(&sections(elf)?, elf, name))).unwrap_or_default()
    }

    fn lines(&self) -> Option<&Context<Slice<'a>>> {
        let elf = self.elf;
        self.lines.get_or_init(|| contain(|| lines(elf))).as_ref()
    }

    /// The place in source code that `pc` was compiled from.
    #[must_use]
    pub fn line_at(&self, pc: u64) -> Option<Location> {
        let context = self.lines()?;
        contain(|| Location::of(&context.find_location(pc).ok()??))
    }

    fn name(&self, entry: Entry) -> String {
        name(self.strings.get(entry.name as usize..).unwrap_or_default())
    }
}

/// Runs a library over bytes that nobody vouches for. Should it panic, there is nothing to be found.
fn contain<T>(read: impl FnOnce() -> Option<T>) -> Option<T> {
    catch_unwind(AssertUnwindSafe(read)).ok().flatten()
}

fn sections(elf: &[u8]) -> Option<SectionTable<'_, Elf>> {
    let header = Elf::parse(elf).ok()?;
    let sections = header.sections(header.endian().ok()?, elf).ok()?;
    (sections.len() <= MAX_SECTIONS).then_some(sections)
}

/// Functions ascending by address, one per address, and the bytes of the string table that names them.
fn symbols(elf: &[u8], limit: usize) -> Option<(Vec<Entry>, &[u8])> {
    let sections = sections(elf)?;
    let table = sections.symbols(ElfLittleEndian, elf, SHT_SYMTAB).ok()?;
    let strings = sections
        .section(table.string_section())
        .ok()?
        .data(ElfLittleEndian, elf)
        .ok()?;
    let mut entries: Vec<_> = table
        .iter()
        .take(limit)
        .filter_map(|symbol| entry(symbol, &sections, strings))
        .collect();
    // Of several names for one address, the longest range is the most telling; ties by table order.
    entries.sort_by_key(|entry| (entry.address, u32::MAX - entry.len));
    entries.dedup_by_key(|entry| entry.address);
    for index in 0..entries.len() {
        let next = entries.get(index + 1).map_or(u32::MAX, |entry| entry.address);
        let entry = &mut entries[index];
        if entry.len == 0 {
            entry.len = next - entry.address;
        }
    }
    Some((entries, strings))
}

fn entry(symbol: &Sym64<ElfLittleEndian>, sections: &SectionTable<'_, Elf>, strings: &[u8]) -> Option<Entry> {
    let section = sections
        .section(object::SectionIndex(usize::from(
            symbol.st_shndx(ElfLittleEndian).0,
        )))
        .ok()?;
    let executable = section.sh_flags(ElfLittleEndian).contains(SHF_EXECINSTR);
    let named = match symbol.st_type() {
        STT_FUNC => true,
        // Labels of hand-written assembly, but neither mapping symbols ($x, $d) nor local labels (.L1).
        STT_NOTYPE => {
            let first = strings.get(symbol.st_name(ElfLittleEndian) as usize);
            first.is_some_and(|first| !matches!(first, 0 | b'$' | b'.'))
        }
        _ => false,
    };
    (executable && named).then_some(Entry {
        address: u32::try_from(symbol.st_value(ElfLittleEndian)).ok()?,
        len: u32::try_from(symbol.st_size(ElfLittleEndian)).unwrap_or(0),
        name: symbol.st_name(ElfLittleEndian),
    })
}

/// Address and bytes of a section that is there and not compressed.
fn section<'a>(sections: &SectionTable<'a, Elf>, elf: &'a [u8], name: &str) -> (u64, &'a [u8]) {
    let found = sections.section_by_name(ElfLittleEndian, name.as_bytes());
    let plain = found.map(|(_, section)| section).filter(|section| {
        !section.sh_flags(ElfLittleEndian).contains(SHF_COMPRESSED)
            && section.sh_type(ElfLittleEndian) != SHT_NOBITS
    });
    plain
        .and_then(|section| {
            Some((
                section.sh_addr(ElfLittleEndian),
                section.data(ElfLittleEndian, elf).ok()?,
            ))
        })
        .unwrap_or_default()
}

fn lines(elf: &[u8]) -> Option<Context<Slice<'_>>> {
    let sections = sections(elf)?;
    dwarf::context(|name| section(&sections, elf, name).1)
}

/// A Rust name as it was written, if it is one and not long: a mangled name may say a part of itself again and again.
fn demangled(raw: &str) -> Option<String> {
    /// As much of a name as there is room for.
    struct Name(String);
    impl fmt::Write for Name {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            if self.0.len() + part.len() > MAX_NAME {
                return Err(fmt::Error);
            }
            self.0.push_str(part);
            Ok(())
        }
    }
    let name = rustc_demangle::try_demangle(raw).ok()?;
    let mut written = Name(String::new());
    write!(written, "{name:#}").ok()?;
    Some(written.0)
}

/// The name in `bytes`: up to [`MAX_NAME`] of them, and up to the first that is zero.
fn name(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(MAX_NAME)];
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let raw = String::from_utf8_lossy(&bytes[..end]);
    contain(|| demangled(&raw)).unwrap_or_else(|| raw.into_owned())
}
