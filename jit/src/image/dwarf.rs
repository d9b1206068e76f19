//! DWARF that nobody vouches for, kept to what its parser can do in little time and memory.
//!
//! A parser of DWARF does what the file says, and a small file can say a lot: a list of ranges, a line program, a table of
//! abbreviations or a string that a thousand entries refer to is read, and most are kept, a thousand times; entries within each
//! other are followed by recursion. So everything is counted first, as often as it is referred to, and a file that passes a
//! bound has no lines. What compilers write is far below: it refers to most things once.

use std::collections::BTreeMap;

use addr2line::Context;
use gimli::{Dwarf, EndianSlice, LittleEndian, Reader as _, Section as _, Unit, UnitHeader, UnitRef};

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// Units times what each of them may scan, in bytes.
const MAX_WORK: u64 = 1 << 32;
/// Units; those that overlap are all looked at for an address.
const MAX_UNITS: u64 = 1 << 12;
/// Attributes of entries.
const MAX_ATTRIBUTES: u64 = 1 << 25;
/// Entries of lists of ranges.
const MAX_RANGES: u64 = 1 << 20;
/// Bytes of tables of abbreviations.
const MAX_ABBREVIATION_BYTES: u64 = 1 << 22;
/// Bytes of line programs.
const MAX_LINE_BYTES: u64 = 1 << 23;
/// Files and folders of line programs.
const MAX_FILES: u64 = 1 << 18;
/// Bytes of the paths of these files.
const MAX_PATH_BYTES: u64 = 1 << 25;
/// Inlined functions within each other: the parser recurses.
const MAX_NESTED: usize = 128;

/// The parser of a file's lines, if the sections that `bytes` gives by name hold some and stay within bounds.
pub(super) fn context<'a>(bytes: impl Fn(&str) -> &'a [u8]) -> Option<Context<Slice<'a>>> {
    let load = |id: gimli::SectionId| Ok::<_, gimli::Error>(EndianSlice::new(bytes(id.name()), LittleEndian));
    let dwarf = Dwarf::load(load).ok()?;
    let scanned = dwarf.debug_abbrev.reader().len()
        + dwarf.debug_line.reader().len()
        + bytes(gimli::SectionId::DebugRanges.name()).len()
        + bytes(gimli::SectionId::DebugRngLists.name()).len();
    let (mut work, mut counts) = (0, Counts::default());
    let mut units = dwarf.units();
    while let Some(header) = units.next().ok()? {
        count(&mut work, scanned as u64, MAX_WORK)?;
        counts.unit(&dwarf, header)?;
    }
    (work > 0).then(|| Context::from_dwarf(dwarf).ok()).flatten()
}

/// Adds to a count; none if it passes `most`.
fn count(what: &mut u64, more: u64, most: u64) -> Option<()> {
    *what = what.saturating_add(more);
    (*what <= most).then_some(())
}

/// What has been counted.
#[derive(Default)]
struct Counts {
    units: u64,
    attributes: u64,
    ranges: u64,
    abbreviation_bytes: u64,
    line_bytes: u64,
    files: u64,
    path_bytes: u64,
    /// Bytes of tables of abbreviations, by where they begin.
    tables: BTreeMap<usize, u64>,
}

impl Counts {
    fn unit(&mut self, dwarf: &Dwarf<Slice<'_>>, header: UnitHeader<Slice<'_>>) -> Option<()> {
        count(&mut self.units, 1, MAX_UNITS)?;
        let at = header.debug_abbrev_offset().0;
        let table = self.tables.entry(at).or_insert_with(|| {
            let section = dwarf.debug_abbrev.reader().slice();
            table_len(section.get(at..).unwrap_or_default())
        });
        count(&mut self.abbreviation_bytes, *table, MAX_ABBREVIATION_BYTES)?;
        // The parser goes on without a unit that cannot be read.
        let Ok(unit) = dwarf.unit(header) else {
            return Some(());
        };
        self.lines(dwarf, &unit)?;
        self.entries(UnitRef::new(dwarf, &unit))
    }

    fn lines(&mut self, dwarf: &Dwarf<Slice<'_>>, unit: &Unit<Slice<'_>>) -> Option<()> {
        let Some(program) = &unit.line_program else {
            return Some(());
        };
        let header = program.header();
        let bytes = header.header_length() + header.raw_program_buf().len();
        count(&mut self.line_bytes, bytes as u64, MAX_LINE_BYTES)?;
        let files = header.file_names();
        let entries = files.len() + header.include_directories().len();
        count(&mut self.files, entries as u64, MAX_FILES)?;
        let len = |path| dwarf.attr_string(unit, path).map_or(0, |path| path.len()) as u64;
        let compiled_in = unit.comp_dir.map_or(0, |folder| folder.len()) as u64;
        for file in files {
            // Up to version 4 the first folder is the one that the unit was compiled in.
            let folder = file
                .directory(header)
                .filter(|_| header.version() > 4 || file.directory_index() > 0);
            let folder = folder.map_or(0, len);
            let path = len(file.path_name()) + folder + compiled_in;
            count(&mut self.path_bytes, path, MAX_PATH_BYTES)?;
        }
        Some(())
    }

    fn entries(&mut self, unit: UnitRef<'_, Slice<'_>>) -> Option<()> {
        let mut entries = unit.entries_raw(None).ok()?;
        // Depths of the inlined functions around the entry.
        let mut around = Vec::new();
        while !entries.is_empty() {
            let depth = entries.next_depth();
            let Some(abbreviation) = entries.read_abbreviation().ok()? else {
                continue;
            };
            while around.last().is_some_and(|around| *around >= depth) {
                around.pop();
            }
            if abbreviation.tag() == gimli::DW_TAG_inlined_subroutine {
                around.push(depth);
                if around.len() > MAX_NESTED {
                    return None;
                }
            }
            for spec in abbreviation.attributes() {
                count(&mut self.attributes, 1, MAX_ATTRIBUTES)?;
                let attribute = entries.read_attribute(*spec).ok()?;
                if attribute.name() == gimli::DW_AT_ranges {
                    self.ranges(unit, attribute.value())?;
                }
            }
            // An entry without attributes takes time, too.
            count(&mut self.attributes, 1, MAX_ATTRIBUTES)?;
        }
        Some(())
    }

    fn ranges<'a>(
        &mut self,
        unit: UnitRef<'_, Slice<'a>>,
        list: gimli::AttributeValue<Slice<'a>>,
    ) -> Option<()> {
        let list = unit.attr_ranges_offset(list).ok().flatten();
        let Some(mut ranges) = list.and_then(|list| unit.raw_ranges(list).ok()) else {
            return Some(());
        };
        while let Ok(Some(_)) = ranges.next() {
            count(&mut self.ranges, 1, MAX_RANGES)?;
        }
        Some(())
    }
}

/// Bytes of the table of abbreviations at the beginning of `bytes`, at least.
fn table_len(bytes: &[u8]) -> u64 {
    let mut rest = Slice::new(bytes, LittleEndian);
    // What cannot be read ends the table, here as in the parser.
    let _ = pass_table(&mut rest);
    (bytes.len() - rest.len()) as u64
}

fn pass_table(rest: &mut Slice<'_>) -> gimli::Result<()> {
    while rest.read_uleb128()? != 0 {
        // Tag, and whether there are children.
        rest.read_uleb128()?;
        rest.read_u8()?;
        loop {
            let (name, form) = (rest.read_uleb128()?, rest.read_uleb128()?);
            if form == u64::from(gimli::DW_FORM_implicit_const.0) {
                rest.read_sleb128()?;
            }
            if (name, form) == (0, 0) {
                break;
            }
        }
    }
    Ok(())
}
