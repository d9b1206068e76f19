//! `millrace inspect`: what a program is made of, or why it is refused.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use millrace_jit::image::{Debug, Function, Permissions};
use millrace_jit::isa::is_compressed;
use millrace_jit::{Machine, Program};
use serde_json::{Value, json};

use super::program::{self, MachineArgs};

/// Show a program's segments, functions and disassembly, or why it is refused.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The program: ELF64, RISC-V, statically linked.
    program: PathBuf,
    /// Disassemble only functions whose name contains this.
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
    #[command(flatten)]
    machine: MachineArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// One line of disassembly.
struct Line {
    pc: u32,
    len: u8,
    word: u32,
    text: String,
}

/// A run of text that begins at a function, or at the start of text before the first one.
struct Block {
    name: Option<String>,
    address: u32,
    lines: Vec<Line>,
}

/// Inspects the program. Status 2 when it is refused.
pub fn run(args: &Args) -> ExitCode {
    let inspected = program::read(&args.program).and_then(|elf| {
        let program = program::load(&args.program, &elf, args.machine.machine())?;
        Ok((elf, program))
    });
    let mut out = BufWriter::new(io::stdout().lock());
    let (written, status) = match inspected {
        Ok((elf, program)) => (show(args, &elf, &program, &mut out), 0),
        Err(error) if args.json => (writeln!(out, "{}", json!({ "refused": error.to_string() })), 2),
        Err(error) => (writeln!(io::stderr(), "millrace: {error}"), 2),
    };
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let _ = writeln!(io::stderr(), "millrace: cannot write to stdout: {error}");
            ExitCode::from(1)
        }
        _ => ExitCode::from(status),
    }
}

fn show(args: &Args, elf: &[u8], program: &Program, out: &mut impl Write) -> io::Result<()> {
    let functions: Vec<_> = Debug::new(elf, program.machine()).functions().collect();
    let mut blocks = disassemble(program, &functions);
    if let Some(wanted) = &args.function {
        blocks.retain(|block| block.name.as_ref().is_some_and(|name| name.contains(wanted)));
    }
    if args.json {
        return writeln!(out, "{}", as_json(program, &functions, &blocks));
    }
    show_segments(args, elf, program, out)?;
    writeln!(out, "\n{} functions", functions.len())?;
    for function in &functions {
        writeln!(
            out,
            "  {:08x} {:>8}  {}",
            function.address, function.len, function.name
        )?;
    }
    for block in &blocks {
        writeln!(
            out,
            "\n{:08x} <{}>:",
            block.address,
            block.name.as_deref().unwrap_or("text")
        )?;
        for line in &block.lines {
            let digits = 2 * usize::from(line.len);
            writeln!(
                out,
                "  {:8x}: {:<8}  {}",
                line.pc,
                format!("{:0digits$x}", line.word),
                line.text
            )?;
        }
    }
    Ok(())
}

fn show_segments(args: &Args, elf: &[u8], program: &Program, out: &mut impl Write) -> io::Result<()> {
    let machine = program.machine();
    writeln!(
        out,
        "{}: {} bytes, valid for machine version {}",
        args.program.display(),
        elf.len(),
        machine.version
    )?;
    writeln!(
        out,
        "entry {:#x}, text {} bytes, heap from {:#x}, {} pages charged at entry",
        program.entry(),
        program.text_len(),
        program.heap_start(),
        program.entry_pages()
    )?;
    writeln!(
        out,
        "{} pages held at entry: instructions cost {} times their weights\n\nsegments",
        program.pages(),
        memory_rate(program)
    )?;
    for segment in program.segments() {
        let end = segment.address + segment.memory_len;
        let (flags, len) = (permissions(segment.permissions), segment.data.len());
        writeln!(
            out,
            "  {:08x} to {end:08x}  {flags:<2}  {len} bytes of data",
            segment.address
        )?;
    }
    Ok(())
}

/// What weights are multiplied by before the heap grows.
fn memory_rate(program: &Program) -> u64 {
    1 << program.machine().memory_shift(program.pages())
}

fn as_json(program: &Program, functions: &[Function], blocks: &[Block]) -> Value {
    let segments = program.segments().iter().map(|segment| {
        json!({
            "address": segment.address,
            "memory_len": segment.memory_len,
            "data_len": segment.data.len(),
            "permissions": permissions(segment.permissions),
        })
    });
    let functions = functions
        .iter()
        .map(|function| json!({ "name": function.name, "address": function.address, "len": function.len }));
    let instructions = blocks
        .iter()
        .flat_map(|block| &block.lines)
        .map(|line| json!({ "pc": line.pc, "len": line.len, "word": line.word, "text": line.text }));
    json!({
        "machine": program.machine().version,
        "entry": program.entry(),
        "text": { "address": program.text().0, "len": program.text_len() },
        "heap_start": program.heap_start(),
        "entry_pages": program.entry_pages(),
        "pages": program.pages(),
        "memory_rate": memory_rate(program),
        "segments": segments.collect::<Vec<_>>(),
        "functions": functions.collect::<Vec<_>>(),
        "instructions": instructions.collect::<Vec<_>>(),
    })
}

pub(super) fn permissions(permissions: Permissions) -> &'static str {
    match permissions {
        Permissions::Read => "R",
        Permissions::ReadWrite => "RW",
        Permissions::ReadExecute => "RX",
    }
}

/// Sweeps text from its start and anew from each function: data between functions cannot shift what follows.
fn disassemble(program: &Program, functions: &[Function]) -> Vec<Block> {
    let (start, text) = program.text();
    let inside = |function: &&Function| (start..start + program.text_len()).contains(&function.address);
    let mut heads: Vec<_> = functions
        .iter()
        .filter(inside)
        .map(|f| (f.address & !1, Some(f.name.clone())))
        .collect();
    if heads.first().is_none_or(|(address, _)| *address > start) {
        heads.insert(0, (start.next_multiple_of(2), None));
    }
    let ends = heads
        .iter()
        .skip(1)
        .map(|(address, _)| *address)
        .chain([start + program.text_len()]);
    let ends: Vec<_> = ends.collect();
    let blocks = heads.into_iter().zip(ends).map(|((address, name), end)| {
        let bytes = text
            .get((address - start) as usize..(end - start) as usize)
            .unwrap_or_default();
        Block {
            name,
            address,
            lines: sweep(program.machine(), address, bytes),
        }
    });
    blocks.collect()
}

fn sweep(machine: &Machine, mut pc: u32, mut bytes: &[u8]) -> Vec<Line> {
    let mut lines = Vec::new();
    while let Some(low) = bytes.first_chunk().copied().map(u16::from_le_bytes) {
        let word = match bytes.first_chunk().copied().map(u32::from_le_bytes) {
            Some(word) if !is_compressed(low) => Some(word),
            _ if is_compressed(low) => Some(u32::from(low)),
            _ => None,
        };
        let decoded = word.and_then(|word| machine.decode(word));
        let line = match (decoded, word) {
            (Some(instruction), Some(word)) => Line {
                pc,
                len: instruction.length(),
                word,
                text: instruction.at(u64::from(pc)).to_string(),
            },
            _ => Line {
                pc,
                len: 2,
                word: u32::from(low),
                text: format!(".half {low:#06x}"),
            },
        };
        pc += u32::from(line.len);
        bytes = &bytes[usize::from(line.len)..];
        lines.push(line);
    }
    lines
}
