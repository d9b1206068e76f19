//! `millrace contract check`: every reason for which a chain would refuse a file, and what deploying it costs.
//!
//! The judgement is the executor's ([`Executor::examine_code`]); this file adds where in the file each reason lies, and
//! what in an accepted program would trap.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millrace_executor::{CodeFault, CodeReport, EntryGas, Executor};
use millrace_jit::image::Debug;
use millrace_jit::isa::is_compressed;
use millrace_jit::machine::{NEWEST, machine};
use millrace_jit::{ImageError, Machine, Program};
use millrace_types::chain_spec::ConsensusSpec;
use millrace_types::{ChainSpec, Height};
use serde_json::{Value, json};

use super::sections::Sections;
use crate::commands::inspect::permissions;
use crate::commands::{print_json, print_text, program};
use crate::failure::Failure;
use crate::node::settings::read_chain_spec;

/// Says every reason for which a chain would refuse a program, and what deploying and running it costs at least.
#[derive(clap::Args, Debug)]
pub struct CheckArgs {
    /// The program: an ELF file.
    elf: PathBuf,
    /// Rules of which chain; without it, those of `millrace dev`.
    #[command(flatten)]
    rules: RulesArgs,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

/// The rules that a program is judged by.
#[derive(clap::Args, Debug, Clone, Default)]
pub struct RulesArgs {
    /// Version of the machine; by default the newest that the chain names.
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u16).range(1..=i64::from(NEWEST)))]
    pub machine_version: Option<u16>,
    /// The chain's spec; by default that of `millrace dev`.
    #[arg(long, value_name = "FILE")]
    pub chain_spec: Option<PathBuf>,
}

/// Undecodable instructions that are shown; the rest are counted.
const MOST_WARNINGS: usize = 20;
/// Encodings that stand for "never reached": all zeros, and a write to a register that nobody may write.
const UNIMPLEMENTED: [u32; 2] = [0, 0xc000_1073];

/// The chain of `millrace dev`, as far as contracts see it.
pub fn development_spec() -> ChainSpec {
    let consensus = ConsensusSpec {
        id: "solo/1".into(),
        parameters: Vec::new(),
    };
    ChainSpec::development(1, 0, Vec::new(), consensus)
}

impl RulesArgs {
    /// The executor, and the height whose rules count: where the newest versions are in force.
    pub fn executor(&self) -> Result<(Executor, Height), Failure> {
        let mut spec = match &self.chain_spec {
            Some(path) => read_chain_spec(path).map_err(|error| Failure::new(error.to_string()))?,
            None => development_spec(),
        };
        let height = spec.versions.last().map_or(0, |versions| versions.height);
        if let (Some(version), Some(last)) = (self.machine_version, spec.versions.last_mut()) {
            last.machine = version;
        }
        let executor = Executor::new(Arc::new(spec)).map_err(|error| Failure::new(error.to_string()))?;
        Ok((executor, height))
    }
}

impl CheckArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the file cannot be read, or a chain would refuse it.
    pub fn run(self) -> Result<(), Failure> {
        let elf = program::read(&self.elf).map_err(|error| Failure::new(error.to_string()))?;
        let check = Check::of(&elf, None, &self.rules)?;
        if self.json {
            print_json(&check.as_json(&self.elf));
        } else {
            print_text(&check.as_text(&self.elf))?;
        }
        check.verdict(&self.elf)
    }
}

/// A file, judged.
pub struct Check {
    machine: &'static Machine,
    bytes: usize,
    report: CodeReport,
    faults: Vec<Place>,
    /// The first of the places that trap, and how many there are.
    warnings: Vec<Warning>,
    traps: usize,
}

/// A reason for which the file is refused.
struct Place {
    message: String,
    /// Index of the program header, and the sections that it loads.
    segment: Option<usize>,
    sections: Vec<String>,
}

/// An instruction that the machine does not have.
struct Warning {
    pc: u32,
    word: u32,
    function: Option<String>,
    line: Option<String>,
    /// The first version of the machine that has it, and what it is there.
    since: Option<(u16, String)>,
}

impl Check {
    /// Judges `elf`. `symbols` is a file with the same text and with names, if there is one apart.
    ///
    /// # Errors
    /// When the rules themselves cannot be had.
    pub fn of(elf: &[u8], symbols: Option<&[u8]>, rules: &RulesArgs) -> Result<Self, Failure> {
        let (executor, height) = rules.executor()?;
        let version = executor.spec().versions_at(height).machine;
        let machine = machine(version).expect("the executor has checked the versions");
        let report = executor.examine_code(height, elf);
        let sections = Sections::of(elf);
        let faults = report.faults.iter().map(|fault| Place::of(fault, &sections));
        let names = symbols.unwrap_or(elf);
        let (warnings, traps) = report
            .program
            .as_deref()
            .map(|program| warnings(program, &Debug::new(names, machine)))
            .unwrap_or_default();
        Ok(Self {
            machine,
            bytes: elf.len(),
            faults: faults.collect(),
            warnings,
            traps,
            report,
        })
    }

    /// Whether the chain takes the file.
    ///
    /// # Errors
    /// When it does not.
    pub fn verdict(&self, path: &Path) -> Result<(), Failure> {
        match self.faults.len() {
            0 => Ok(()),
            1 => Err(Failure::new(format!(
                "{}: a chain refuses it for the reason above",
                path.display()
            ))),
            n => Err(Failure::new(format!(
                "{}: a chain refuses it for the {n} reasons above",
                path.display()
            ))),
        }
    }

    /// For people: many lines.
    pub fn as_text(&self, path: &Path) -> String {
        let (version, path) = (self.machine.version, path.display());
        let mut text = match self.faults.is_empty() {
            true => format!(
                "{path}: {} bytes, a program of machine version {version}\n",
                self.bytes
            ),
            false => format!(
                "{path}: {} bytes, refused by machine version {version}\n",
                self.bytes
            ),
        };
        for (number, fault) in (1..).zip(&self.faults) {
            let sections = match fault.sections.is_empty() {
                true => String::new(),
                false => format!(" [holds {}]", fault.sections.join(", ")),
            };
            text += &format!("  {number}. {}{sections}\n", fault.message);
        }
        if let Some(program) = &self.report.program {
            text += &segments_as_text(program);
        }
        if let (Some(deploy), Some(call)) = (self.report.deploy, self.report.call) {
            text += "\ngas             transaction   before the first instruction      at least\n";
            text += &gas_line("deploy", deploy);
            text += &gas_line("call", call);
        }
        if self.traps > 0 {
            text += &format!(
                "\n{} places in text trap when they are reached: they hold no instruction of machine version {version}\n",
                self.traps
            );
        }
        for warning in &self.warnings {
            text += &format!("  {}\n", warning.as_text());
        }
        if self.traps > self.warnings.len() {
            text += &format!("  and {} more\n", self.traps - self.warnings.len());
        }
        text
    }

    /// For programs.
    pub fn as_json(&self, path: &Path) -> Value {
        let gas = |gas: Option<EntryGas>| {
            gas.map(|gas| json!({ "transaction": gas.intrinsic, "entry": gas.frame, "total": gas.total() }))
        };
        let faults = self.faults.iter().map(
            |fault| json!({ "message": fault.message, "segment": fault.segment, "sections": fault.sections }),
        );
        let warnings = self.warnings.iter().map(|warning| {
            json!({
                "pc": warning.pc,
                "word": warning.word,
                "function": warning.function,
                "line": warning.line,
                "instruction": warning.since.as_ref().map(|(_, text)| text),
                "machine_version": warning.since.as_ref().map(|(version, _)| version),
            })
        });
        let program = self.report.program.as_deref();
        json!({
            "file": path.display().to_string(),
            "machine": self.machine.version,
            "accepted": self.faults.is_empty(),
            "faults": faults.collect::<Vec<_>>(),
            "bytes": self.bytes,
            "text_bytes": program.map(Program::text_len),
            "pages": program.map(Program::pages),
            "gas": { "deploy": gas(self.report.deploy), "call": gas(self.report.call) },
            "traps": self.traps,
            "trapping": warnings.collect::<Vec<_>>(),
        })
    }
}

fn gas_line(name: &str, gas: EntryGas) -> String {
    format!(
        "  {name:<8} {:>16} {:>30} {:>13}\n",
        gas.intrinsic,
        gas.frame,
        gas.total()
    )
}

fn segments_as_text(program: &Program) -> String {
    let mut text = format!(
        "  text {} bytes, {} pages of memory before its heap grows\n",
        program.text_len(),
        program.pages()
    );
    for segment in program.segments() {
        text += &format!(
            "  {:08x} to {:08x}  {:<2}  {} bytes in the file\n",
            segment.address,
            segment.address + segment.memory_len,
            permissions(segment.permissions),
            segment.data.len()
        );
    }
    text
}

impl Place {
    fn of(fault: &CodeFault, sections: &Sections<'_>) -> Self {
        let segment = match fault {
            CodeFault::Image(error) => segment_of(error),
            _ => None,
        };
        Self {
            message: fault.to_string(),
            segment,
            sections: segment
                .map(|index| sections.in_segment(index))
                .unwrap_or_default(),
        }
    }
}

/// The program header that an error is about.
fn segment_of(error: &ImageError) -> Option<usize> {
    match error {
        ImageError::SegmentCount { segment, .. }
        | ImageError::Kind { segment, .. }
        | ImageError::OutsideFile { segment, .. }
        | ImageError::FileRangesOverlap { segment, .. }
        | ImageError::FileExceedsMemory { segment, .. }
        | ImageError::Alignment { segment, .. }
        | ImageError::Permissions { segment, .. }
        | ImageError::Address { segment, .. }
        | ImageError::Order { segment, .. }
        | ImageError::SharedPage { segment, .. }
        | ImageError::TextTooLarge { segment, .. }
        | ImageError::SecondText { segment, .. } => Some(*segment),
        ImageError::TooShort { .. }
        | ImageError::NotElf { .. }
        | ImageError::Header { .. }
        | ImageError::Flags { .. }
        | ImageError::HeaderCount { .. }
        | ImageError::HeadersOutside { .. }
        | ImageError::TooLarge { .. }
        | ImageError::NoText
        | ImageError::Entry { .. } => None,
    }
}

/// The first places in text that are no instructions and not meant to be none, and how many there are. It is read
/// instruction after instruction, and anew from each function: data between functions cannot shift what follows.
fn warnings(program: &Program, debug: &Debug<'_>) -> (Vec<Warning>, usize) {
    let heads: BTreeSet<u32> = debug.functions().map(|function| function.address & !1).collect();
    let (start, text) = program.text();
    let (mut found, mut count) = (Vec::new(), 0);
    let mut pc = start.next_multiple_of(2);
    while let Some((word, length)) = text.get((pc - start) as usize..).and_then(encoding) {
        let at = pc;
        pc = heads
            .range(at + 1..at + length)
            .next()
            .copied()
            .unwrap_or(at + length);
        if UNIMPLEMENTED.contains(&word) || program.machine().decode(word).is_some() {
            continue;
        }
        count += 1;
        if found.len() < MOST_WARNINGS {
            found.push(Warning::at(at, word, program.machine(), debug));
        }
    }
    (found, count)
}

/// The encoding that bytes begin with, and its length, which are 2 or 4 bytes; cut where the bytes end.
fn encoding(bytes: &[u8]) -> Option<(u32, u32)> {
    let low = u16::from_le_bytes(*bytes.first_chunk()?);
    match bytes.first_chunk().copied().map(u32::from_le_bytes) {
        Some(word) if !is_compressed(low) => Some((word, 4)),
        _ => Some((u32::from(low), 2)),
    }
}

impl Warning {
    fn at(pc: u32, word: u32, of: &Machine, debug: &Debug<'_>) -> Self {
        let there = |version: u16| {
            let instruction = machine(version)?.decode(word)?;
            Some((version, instruction.at(u64::from(pc)).to_string()))
        };
        let frame = debug.frames_at(u64::from(pc)).into_iter().next();
        let (function, line) = frame.map_or((None, None), |frame| {
            let line = frame
                .location
                .map(|location| format!("{}:{}", location.file, location.line));
            (frame.function, line)
        });
        Self {
            pc,
            word,
            function,
            line,
            since: (of.version + 1..=NEWEST).find_map(there),
        }
    }

    fn as_text(&self) -> String {
        let function = self
            .function
            .as_ref()
            .map(|name| format!(" in {name}"))
            .unwrap_or_default();
        let line = self
            .line
            .as_ref()
            .map(|line| format!(" at {line}"))
            .unwrap_or_default();
        let mend = match &self.since {
            Some((version, text)) => {
                format!("{text}, which machine version {version} has; build without it, or for such a chain")
            }
            None => {
                "build for rv64imac with Zba, Zbb, Zbc, Zbs and Zicond at most, and keep data out of text"
                    .to_owned()
            }
        };
        format!("{:#x}{function}{line}: {:#010x}: {mend}", self.pc, self.word)
    }
}

#[cfg(test)]
mod tests;
