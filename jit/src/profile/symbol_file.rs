//! An ELF file that says what native code is: a symbol for each function, and DWARF with their lines. It has no code;
//! debuggers read that from memory.

use gimli::write::{Address, AttributeValue, DwarfUnit, EndianVec, LineProgram, LineString, Sections};
use gimli::{
    DW_AT_high_pc, DW_AT_language, DW_AT_low_pc, DW_AT_name, DW_TAG_subprogram, Encoding, Format,
    LineEncoding,
};
use object::elf::{
    self, ELFOSABI_NONE, ET_EXEC, SHF_ALLOC, SHF_EXECINSTR, SHN_UNDEF, SHT_NOBITS, SHT_PROGBITS, STB_GLOBAL,
    STT_FUNC, STV_DEFAULT,
};
use object::write::elf::{FileHeader, SectionHeader, Sym, Writer};

use super::native::{Line, Native};

/// Whom the files say that they come from.
const PRODUCER_FILE: &str = "millrace guest";
const TEXT_SECTION: u32 = 1;

const MACHINE: elf::Machine = if cfg!(target_arch = "x86_64") {
    elf::EM_X86_64
} else {
    elf::EM_AARCH64
};

/// How functions that keep a frame pointer begin.
const PROLOGUE: &[u8] = if cfg!(target_arch = "x86_64") {
    // push rbp; mov rbp, rsp
    &[0x55, 0x48, 0x89, 0xe5]
} else {
    // stp x29, x30, [sp, #-16]!; mov x29, sp
    &[0xfd, 0x7b, 0xbf, 0xa9, 0xfd, 0x03, 0x00, 0x91]
};

/// Writes the file for functions that ascend by address. Nothing, if a library refuses.
pub(super) fn write(natives: &[Native<'_>]) -> Option<Vec<u8>> {
    let (first, last) = (natives.first()?, natives.last()?);
    let end = last.start + last.code.len() as u64;
    let debug = dwarf(natives, first.start, end)?;
    let mut bytes = Vec::new();
    let mut writer = Writer::new_single_phase(object::Endianness::Little, true, &mut bytes);
    let header = FileHeader {
        os_abi: ELFOSABI_NONE,
        abi_version: 0,
        e_type: ET_EXEC,
        e_machine: MACHINE,
        e_entry: 0,
        e_flags: elf::FileFlags(0),
    };
    writer.write_file_header(&header).ok()?;

    let mut sections = vec![SectionHeader {
        sh_name: 0,
        sh_type: SHT_NOBITS,
        sh_flags: SHF_ALLOC | SHF_EXECINSTR,
        sh_addr: first.start,
        sh_offset: 0,
        sh_size: end - first.start,
        sh_link: 0,
        sh_info: 0,
        sh_addralign: 16,
        sh_entsize: 0,
    }];
    let mut names = vec![writer.add_section_name(b".text")];
    for (name, data) in &debug {
        names.push(writer.add_section_name(name.as_bytes()));
        let offset = writer.offset();
        writer.write(data);
        sections.push(SectionHeader {
            sh_name: 0,
            sh_type: SHT_PROGBITS,
            sh_flags: elf::SectionFlags(0),
            sh_addr: 0,
            sh_offset: offset,
            sh_size: data.len() as u64,
            sh_link: 0,
            sh_info: 0,
            sh_addralign: 1,
            sh_entsize: 0,
        });
    }

    writer.write_null_symbol();
    for native in natives {
        let name = writer.add_string(native.name.as_bytes());
        let symbol = Sym {
            section: Some(TEXT_SECTION),
            st_name: writer.string_offset(Some(name)),
            st_info: elf::SymbolInfo::new(STB_GLOBAL, STT_FUNC),
            st_other: STV_DEFAULT.into(),
            st_shndx: SHN_UNDEF,
            st_value: native.start,
            st_size: native.code.len() as u64,
        };
        writer.write_symbol(&symbol);
    }
    writer.write_strtab().ok()?;
    writer.write_shstrtab().ok()?;

    writer.write_null_section_header();
    for (mut section, name) in sections.into_iter().zip(names) {
        section.sh_name = writer.section_name_offset(Some(name));
        writer.write_section_header(&section);
    }
    // Before the symbols' header, which has its number.
    writer.write_strtab_section_header();
    // The first symbol that is not local: the one after the null symbol.
    writer.write_symtab_section_header(1);
    writer.write_shstrtab_section_header();

    let mut head = Vec::new();
    writer.write_file_header_to(&mut head).ok()?;
    bytes[..head.len()].copy_from_slice(&head);
    Some(bytes)
}

/// The sections of DWARF, by name; those that are empty are left out.
fn dwarf(natives: &[Native<'_>], start: u64, end: u64) -> Option<Vec<(&'static str, Vec<u8>)>> {
    let encoding = Encoding {
        format: Format::Dwarf32,
        version: 4,
        address_size: 8,
    };
    let text = |text: &str| AttributeValue::String(text.as_bytes().to_vec());
    let mut dwarf = DwarfUnit::new(encoding);
    dwarf.unit.line_program = lines(natives, encoding);
    let root = dwarf.unit.root();
    let unit = dwarf.unit.get_mut(root);
    unit.set(DW_AT_name, text(PRODUCER_FILE));
    // Names are taken as they stand.
    unit.set(DW_AT_language, AttributeValue::Language(gimli::DW_LANG_C99));
    unit.set(DW_AT_low_pc, AttributeValue::Address(Address::Constant(start)));
    unit.set(DW_AT_high_pc, AttributeValue::Udata(end - start));
    for native in natives {
        let function = dwarf.unit.add(root, DW_TAG_subprogram);
        let function = dwarf.unit.get_mut(function);
        function.set(DW_AT_name, text(&native.name));
        function.set(
            DW_AT_low_pc,
            AttributeValue::Address(Address::Constant(native.start)),
        );
        function.set(DW_AT_high_pc, AttributeValue::Udata(native.code.len() as u64));
    }
    let mut sections = Sections::new(EndianVec::new(gimli::LittleEndian));
    dwarf.write(&mut sections).ok()?;
    let mut found = Vec::new();
    let kept = sections.for_each(|id, data| {
        if !data.slice().is_empty() {
            found.push((id.name(), data.slice().to_vec()));
        }
        Ok::<_, gimli::write::Error>(())
    });
    kept.ok().map(|()| found)
}

fn lines(natives: &[Native<'_>], encoding: Encoding) -> LineProgram {
    let string = |text: &str| LineString::String(text.as_bytes().to_vec());
    let mut program = LineProgram::new(
        encoding,
        LineEncoding::default(),
        string("."),
        None,
        string(PRODUCER_FILE),
        None,
    );
    let directory = program.default_directory();
    for native in natives.iter().filter(|native| !native.lines.is_empty()) {
        program.begin_sequence(Some(Address::Constant(native.start)));
        for line in &rows(native) {
            // The format's strings are neither empty nor hold zeros.
            let file = line.file.split('\0').next().filter(|file| !file.is_empty());
            let file = program.add_file(string(file.unwrap_or("?")), directory, None);
            let row = program.row();
            row.address_offset = u64::from(line.offset);
            row.file = file;
            row.line = u64::from(line.line);
            program.generate_row();
        }
        program.end_sequence(native.code.len() as u64);
    }
    program
}

/// The lines, and one more after the prologue: debuggers stop at a function where its second row begins, which would be
/// far inside otherwise.
fn rows<'a>(native: &Native<'a>) -> Vec<Line<'a>> {
    let mut rows = native.lines.clone();
    let after = PROLOGUE.len() as u32;
    if native.code.starts_with(PROLOGUE) {
        let next = rows.partition_point(|row| row.offset <= after);
        if let Some(&row) = next
            .checked_sub(1)
            .map(|at| &rows[at])
            .filter(|row| row.offset < after)
        {
            rows.insert(next, Line { offset: after, ..row });
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::super::native::tests::sample;
    use super::*;
    use crate::image::Debug;
    use crate::machine::machine;

    #[test]
    fn symbols_and_lines_read_back() {
        let file = write(&sample()).unwrap();
        let debug = Debug::new(&file, machine(1).unwrap());
        let names: Vec<_> = debug
            .functions()
            .map(|function| (function.address, function.len, function.name))
            .collect();
        assert_eq!(
            names,
            [
                (0x7000_1000, 4, "guest::token::transfer".to_owned()),
                (0x7000_1010, 1, "guest::token::transfer+0x1c".to_owned()),
            ]
        );
        let line = |pc| debug.line_at(pc).map(|at| (at.file, at.line));
        let at = |file: &str, line| Some((file.to_owned(), line));
        assert_eq!(line(0x7000_1001), at("/src/token.rs", 12));
        assert_eq!(line(0x7000_1003), at("/src/math.rs", 1200));
        assert_eq!(line(0x7000_1010), None);
    }

    #[test]
    fn a_row_begins_where_the_prologue_ends() {
        let code = [PROLOGUE, &[0; 8]].concat();
        let after = PROLOGUE.len() as u32;
        let line = |offset, line| Line {
            offset,
            file: "a.c",
            line,
        };
        let offsets = |code: &[u8], lines: &[Line<'_>]| {
            let native = Native {
                name: String::new(),
                start: 0,
                code,
                lines: lines.to_vec(),
            };
            rows(&native)
                .iter()
                .map(|row| (row.offset, row.line))
                .collect::<Vec<_>>()
        };
        let far = [line(0, 1), line(after + 4, 2)];
        assert_eq!(offsets(&code, &far), [(0, 1), (after, 1), (after + 4, 2)]);
        assert_eq!(offsets(&code[1..], &far), [(0, 1), (after + 4, 2)]);
        let near = [line(0, 1), line(after, 2)];
        assert_eq!(offsets(&code, &near), [(0, 1), (after, 2)]);
        let late = [line(after + 4, 2)];
        assert_eq!(offsets(&code, &late), [(after + 4, 2)]);
    }

    #[test]
    fn nothing_is_written_for_nothing() {
        assert!(write(&[]).is_none());
    }
}
