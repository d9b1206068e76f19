//! Backtraces over files, registers and stacks that nobody vouches for: they end, and every frame is in text.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;

use millrace_jit::image::Debug;
use millrace_jit::machine::machine;
use millrace_jit::profile::backtrace::{Backtrace, Found, MAX_FRAMES};
use millrace_jit::{Instance, Program};
use proptest::prelude::*;

const GCC: &[u8] = include_bytes!("data/hello-gcc.elf");
const LLD: &[u8] = include_bytes!("data/hello-lld.elf");

/// First file byte of what a name in the section header table stands for, and its length.
fn section(elf: &[u8], name: &str) -> Option<(usize, usize)> {
    use object::read::elf::{FileHeader as _, SectionHeader as _};
    let header = object::elf::FileHeader64::<object::LittleEndian>::parse(elf).unwrap();
    let sections = header.sections(object::LittleEndian, elf).unwrap();
    let (_, section) = sections.section_by_name(object::LittleEndian, name.as_bytes())?;
    let (offset, len) = section.file_range(object::LittleEndian)?;
    Some((offset as usize, len as usize))
}

fn program(elf: &[u8]) -> Arc<Program> {
    Arc::new(Program::load(elf, machine(1).unwrap()).unwrap())
}

fn check(elf: &[u8], debug: &[u8], registers: &[u64; 32], pc: u64, stack: &[u8]) -> Backtrace {
    let program = program(elf);
    let mut instance = Instance::new(program.clone());
    let top = u64::from(machine(1).unwrap().layout.stack_top);
    instance
        .memory_mut()
        .write(top - stack.len() as u64, stack)
        .unwrap();
    let debug = Debug::new(debug, machine(1).unwrap());
    let backtrace = Backtrace::new(&program, &debug, instance.memory(), registers, pc);
    let frames = &backtrace.frames;
    assert!((1..=MAX_FRAMES).contains(&frames.len()));
    assert_eq!((frames[0].pc, frames[0].found), (pc, Found::Stopped));
    let (start, text) = program.text();
    let after = u64::from(start) + text.len() as u64;
    for frame in &frames[1..] {
        assert!(u64::from(start) < frame.pc && frame.pc <= after, "{backtrace}");
    }
    backtrace
}

#[test]
fn a_stack_that_turns_back_on_itself_ends() {
    let program = program(GCC);
    let (start, text) = program.text();
    let top = u64::from(machine(1).unwrap().layout.stack_top);
    let call = text
        .windows(4)
        .step_by(2)
        .position(|word| word[0] & 0x7f == 0x6f && word[0] & 0x80 != 0);
    let call = call.expect("somebody calls somebody") as u64 * 2;
    let ra = u64::from(start) + call + 4;
    // Every frame says that the one before it is itself, or below.
    for back in [0, 8, 16] {
        let mut registers = [0; 32];
        registers[2] = top - 64;
        registers[8] = top - 32;
        let mut stack = [0; 64];
        stack[24..32].copy_from_slice(&ra.to_le_bytes());
        stack[16..24].copy_from_slice(&(top - 32 - back).to_le_bytes());
        let backtrace = check(GCC, &[], &registers, ra, &stack);
        assert_eq!(backtrace.frames.len(), 2, "{backtrace}");
    }
}

proptest! {
    #[test]
    fn nothing_that_a_guest_leaves_behind_breaks_a_backtrace(
        is_gcc in any::<bool>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        words in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 64),
        registers in prop::collection::vec((0..3, any::<prop::sample::Index>()), 32),
        at in any::<prop::sample::Index>(),
    ) {
        let elf = if is_gcc { GCC } else { LLD };
        let program = program(elf);
        let (start, text) = program.text();
        let in_text = |index: &prop::sample::Index| u64::from(start) + index.index(text.len() / 2) as u64 * 2;
        let top = u64::from(machine(1).unwrap().layout.stack_top);
        let in_stack = |index: &prop::sample::Index| top - index.index(600) as u64;

        let mut damaged = elf.to_vec();
        for name in [".debug_frame", ".eh_frame"] {
            if let Some((offset, len)) = section(elf, name).filter(|(_, len)| *len > 0) {
                for (index, byte) in &damage {
                    damaged[offset + index.index(len)] = *byte;
                }
            }
        }
        let stack: Vec<u8> = words
            .iter()
            .flat_map(|(is_text, index)| if *is_text { in_text(index) } else { in_stack(index) }.to_le_bytes())
            .collect();
        let mut values = [0; 32];
        for (value, (kind, index)) in values.iter_mut().zip(&registers) {
            *value = match kind {
                0 => in_text(index),
                1 => in_stack(index),
                _ => index.index(usize::MAX) as u64,
            };
        }
        values[2] = in_stack(&registers[2].1);
        check(elf, &damaged, &values, in_text(&at), &stack);
    }
}

/// An ELF file with nothing but call frame information: in all of the text the CFA lies 16 bytes above sp, and nobody has stored ra.
fn never_returns(start: u64, len: u64) -> Vec<u8> {
    use gimli::write::{
        Address, CallFrameInstruction, CommonInformationEntry, DebugFrame, EndianVec, FrameDescriptionEntry,
        FrameTable,
    };
    let encoding = gimli::Encoding {
        format: gimli::Format::Dwarf32,
        version: 1,
        address_size: 8,
    };
    let (ra, sp) = (gimli::RiscV::RA, gimli::RiscV::SP);
    let mut table = FrameTable::default();
    let mut common = CommonInformationEntry::new(encoding, 1, -8, ra);
    common.add_instruction(CallFrameInstruction::Cfa(sp, 16));
    let common = table.add_cie(common);
    let length = u32::try_from(len).unwrap();
    table.add_fde(
        common,
        FrameDescriptionEntry::new(Address::Constant(start), length),
    );
    let mut section = DebugFrame::from(EndianVec::new(gimli::LittleEndian));
    table.write_debug_frame(&mut section).unwrap();
    elf_with(".debug_frame", section.slice())
}

/// An ELF file with one section.
fn elf_with(name: &str, bytes: &[u8]) -> Vec<u8> {
    let names = format!("\0{name}\0.shstrtab\0");
    let (header, section) = (64, 64);
    let (data, strings) = (header, header + bytes.len());
    let table = strings + names.len();
    let mut elf = Vec::new();
    elf.extend([0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    elf.extend([2, 0, 243, 0, 1, 0, 0, 0]);
    elf.extend([0; 16]);
    elf.extend((table as u64).to_le_bytes());
    elf.extend([0; 4]);
    for half in [header as u16, 56, 0, section, 3, 2] {
        elf.extend(half.to_le_bytes());
    }
    elf.extend(bytes);
    elf.extend(names.as_bytes());
    let mut entry = |name: usize, kind: u32, offset: usize, len: usize| {
        elf.extend((name as u32).to_le_bytes());
        elf.extend(kind.to_le_bytes());
        for word in [0, 0, offset as u64, len as u64] {
            elf.extend(word.to_le_bytes());
        }
        elf.extend([0; 8]);
        elf.extend([1_u64, 0].map(u64::to_le_bytes).concat());
    };
    entry(0, 0, 0, 0);
    entry(1, 1, data, bytes.len());
    entry(name.len() + 2, 3, strings, names.len());
    elf
}

#[test]
fn a_caller_that_never_returns_ends_a_backtrace() {
    // Such a function need not keep its return address: `panic_fmt` does not, and a walk once found it 62 times.
    let program = program(GCC);
    let (start, text) = program.text();
    let call = text
        .windows(4)
        .step_by(2)
        .position(|word| word[0] & 0x7f == 0x6f && word[0] & 0x80 != 0);
    let ra = u64::from(start) + call.expect("somebody calls somebody") as u64 * 2 + 4;
    let mut registers = [0; 32];
    registers[1] = ra;
    registers[2] = u64::from(machine(1).unwrap().layout.stack_top) - 1024;
    let debug = never_returns(u64::from(start), text.len() as u64);
    let backtrace = check(GCC, &debug, &registers, u64::from(start), &[0; 64]);
    let found: Vec<_> = backtrace.frames.iter().map(|frame| frame.found).collect();
    assert_eq!(
        found,
        [Found::Stopped, Found::CallFrameInformation],
        "{backtrace}"
    );
}
