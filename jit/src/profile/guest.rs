//! What a profile knows of a program: its label, its functions' names, its lines. Read from the program's file when its
//! first native code is told of, and kept from then on.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError};

use super::SYMBOLS;
use crate::image::{Debug, Function, Program};
use crate::machine::Machine;

/// Longest label; what is longer is cut.
const MAX_LABEL: usize = 64;

/// A program, as profiles show it.
#[derive(Debug)]
pub(crate) struct Guest {
    label: OnceLock<String>,
    /// The file, and addresses of its text.
    source: Option<(Arc<[u8]>, &'static Machine)>,
    text: Range<u32>,
    tables: OnceLock<Tables>,
}

/// What is read from the file.
#[derive(Debug, Default)]
struct Tables {
    /// Ascending by address.
    functions: Vec<Function>,
    files: Vec<Box<str>>,
    /// First address, the one after the last, index in `files`, line; ascending.
    lines: Vec<(u32, u32, u32, u32)>,
}

/// A file that has the names and lines of programs with the same text.
#[derive(Debug)]
pub(super) struct SymbolFile {
    label: String,
    elf: Arc<[u8]>,
    start: u32,
    text: Box<[u8]>,
    /// Whether a program had this text.
    is_used: bool,
}

impl SymbolFile {
    pub(super) fn of(elf: &[u8], label: &str, machine: &'static Machine) -> Option<Self> {
        let program = Program::load(elf, machine).ok()?;
        let (start, text) = program.text();
        Some(Self {
            label: label.to_owned(),
            elf: elf.into(),
            start,
            text: code(text).into(),
            is_used: false,
        })
    }

    /// Its label, if no program had its text.
    pub(super) fn unused(&self) -> Option<&str> {
        (!self.is_used).then_some(&self.label)
    }
}

impl Guest {
    /// What is known of the program with this file, if a profile is there to use it. Files with symbols come before.
    pub(crate) fn of(elf: &[u8], start: u32, text: &[u8], machine: &'static Machine) -> Option<Arc<Self>> {
        if !super::is_installed() {
            return None;
        }
        let label = OnceLock::new();
        let mut known = SYMBOLS.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known
            .iter_mut()
            .find(|file| file.start == start && *file.text == *code(text));
        let elf = match known {
            Some(file) => {
                file.is_used = true;
                label.get_or_init(|| clean(&file.label));
                file.elf.clone()
            }
            None => elf.into(),
        };
        Some(Arc::new(Self {
            label,
            source: Some((elf, machine)),
            text: start..start.saturating_add(text.len() as u32),
            tables: OnceLock::new(),
        }))
    }

    /// Tells programs apart by `label`; the first that is given stays.
    pub(crate) fn set_label(&self, label: &str) {
        self.label.get_or_init(|| clean(label));
    }

    /// Bytes that it keeps beside the tables.
    pub(crate) fn bytes(&self) -> usize {
        self.source.as_ref().map_or(0, |(elf, _)| elf.len())
    }

    /// The name of what is at a guest address: `guest::LABEL::FUNCTION+OFFSET`.
    pub(super) fn name(&self, pc: u32) -> String {
        let label = self.label();
        let functions = &self.tables().functions;
        let after = functions.partition_point(|function| function.address <= pc);
        let function = after.checked_sub(1).map(|index| &functions[index]);
        match function.filter(|function| pc - function.address < function.len) {
            None => format!("guest::{label}::{pc:#x}"),
            Some(Function { name, address, .. }) if *address == pc => format!("guest::{label}::{name}"),
            Some(Function { name, address, .. }) => format!("guest::{label}::{name}+{:#x}", pc - address),
        }
    }

    /// The source file and line of a guest address.
    pub(super) fn line(&self, pc: u32) -> Option<(&str, u32)> {
        let tables = self.tables();
        let after = tables.lines.partition_point(|&(first, ..)| first <= pc);
        let &(_, end, file, line) = tables.lines.get(after.checked_sub(1)?)?;
        (pc < end).then(|| (&*tables.files[file as usize], line))
    }

    fn label(&self) -> &str {
        static UNNAMED: AtomicU64 = AtomicU64::new(1);
        self.label
            .get_or_init(|| format!("program_{}", UNNAMED.fetch_add(1, Ordering::Relaxed)))
    }

    fn tables(&self) -> &Tables {
        self.tables.get_or_init(|| {
            let Some((elf, machine)) = &self.source else {
                return Tables::default();
            };
            let debug = Debug::new(elf, machine);
            let mut tables = Tables {
                functions: debug.functions().map(one_line).collect(),
                ..Tables::default()
            };
            let mut files: BTreeMap<Box<str>, u32> = BTreeMap::new();
            debug.for_each_line(self.text.start, self.text.end, |range, file, line| {
                let file = match files.get(file) {
                    Some(&known) => known,
                    None => {
                        let number = files.len() as u32;
                        files.insert(file.into(), number);
                        tables.files.push(file.into());
                        number
                    }
                };
                tables.lines.push((range.start, range.end, file, line));
            });
            tables.lines.sort_unstable();
            tables
        })
    }

    /// A program with these lines and no names.
    #[cfg(test)]
    pub(super) fn with_lines(lines: &[(Range<u32>, &str, u32)]) -> Self {
        let mut tables = Tables::default();
        for (number, (range, file, line)) in (0..).zip(lines) {
            tables.files.push((*file).into());
            tables.lines.push((range.start, range.end, number, *line));
        }
        Self {
            label: OnceLock::from("test".to_owned()),
            source: None,
            text: 0..u32::MAX,
            tables: OnceLock::from(tables),
        }
    }
}

/// Text without the file's own headers, which some linkers put before it and which stripping changes.
fn code(text: &[u8]) -> &[u8] {
    const HEADER: usize = 64;
    const PROGRAM_HEADER: usize = 56;
    match text.first_chunk::<HEADER>() {
        Some(header) if header.starts_with(b"\x7fELF") => {
            let count = usize::from(u16::from_le_bytes([header[56], header[57]]));
            text.get(HEADER + count * PROGRAM_HEADER..).unwrap_or_default()
        }
        _ => text,
    }
}

/// A function whose name is fit for formats of one line each.
fn one_line(mut function: Function) -> Function {
    if function.name.contains(char::is_control) {
        function.name = function.name.replace(char::is_control, "_");
    }
    function
}

/// A label as part of names that debuggers read: letters, digits and underscores.
fn clean(label: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    label.chars().take(MAX_LABEL).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_program_function_and_offset() {
        let guest = Guest::with_lines(&[]);
        let function = |address, len, name: &str| Function {
            name: name.into(),
            address,
            len,
        };
        let guest = Guest {
            label: OnceLock::from(clean("my token.elf")),
            tables: OnceLock::from(Tables {
                functions: vec![
                    function(0x100, 0x20, "token::transfer"),
                    one_line(function(0x200, 0x10, "a\nb")),
                ],
                ..Tables::default()
            }),
            ..guest
        };
        let cases = [
            (0xfe, "guest::my_token_elf::0xfe"),
            (0x100, "guest::my_token_elf::token::transfer"),
            (0x11e, "guest::my_token_elf::token::transfer+0x1e"),
            (0x120, "guest::my_token_elf::0x120"),
            (0x200, "guest::my_token_elf::a_b"),
        ];
        for (pc, name) in cases {
            assert_eq!(guest.name(pc), name);
        }
    }

    #[test]
    fn the_first_label_stays() {
        let guest = Guest::with_lines(&[]);
        guest.set_label("other");
        assert_eq!(guest.label(), "test");
    }
}
