//! From loadable segments to a validated program, by the rules of the machine's version.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::debug::Debug as Names;
use super::error::ImageError;
use super::header::{self, Load};
use super::report::Report;
use crate::compiler::{self, CompileError, CompileOptions, Survey};
use crate::interpreter::{self, Code};
use crate::machine::{Machine, PAGE_BYTES};
use crate::profile::Guest;
use crate::runtime::native::{self, NativeCode, NativeSize};
use crate::runtime::{Attachment, CodeCache, Template};

const PF_X: u32 = 1;
const PF_W: u32 = 2;
const PF_R: u32 = 4;

/// What a segment's pages may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permissions {
    /// Constant data.
    Read,
    /// Data and bss.
    ReadWrite,
    /// Text.
    ReadExecute,
}

/// A range of whole pages of a validated program.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Segment {
    /// Address of the first page.
    pub address: u32,
    /// Bytes of memory: whole pages, never 0.
    pub memory_len: u32,
    /// What the first `data.len()` bytes hold; the rest of `memory_len` is zero.
    pub data: Box<[u8]>,
    /// What the pages may be used for.
    pub permissions: Permissions,
}

/// A segment given by hand, for programs that do not come from a file. Addresses and lengths need not be aligned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedSegment {
    /// Address of the first byte of `data`.
    pub address: u32,
    /// Bytes of memory, at least `data.len()`; zero after `data`.
    pub memory_len: u32,
    /// Initial bytes.
    pub data: Vec<u8>,
    /// What the segment's pages may be used for.
    pub permissions: Permissions,
}

/// A validated program: segments with permissions, text, entry. Immutable; shared as `Arc<Program>`.
#[derive(Debug)]
pub struct Program {
    machine: &'static Machine,
    segments: Vec<Segment>,
    entry: u32,
    /// Index in `segments`, first address and length of text.
    text: (usize, u32, u32),
    heap_start: u32,
    entry_pages: u32,
    pages: u32,
    code: Code,
    /// Addresses that symbols name as functions, ascending: where the compiler looks first.
    function_hints: Box<[u32]>,
    survey: OnceLock<Survey>,
    native: OnceLock<NativeCode>,
    /// Native code that takes every register to be alive everywhere.
    exact: OnceLock<NativeCode>,
    /// Whether a run has jumped where its code did not expect it.
    has_strayed: AtomicBool,
    template: OnceLock<Template>,
    /// What a profile shows of it, if there is one.
    guest: Option<Arc<Guest>>,
    /// Where its native code outlasts the process.
    kept: Option<Attachment>,
}

impl Program {
    /// Validates an ELF file by the rules of `machine`. Cost is linear in `elf.len()`.
    ///
    /// # Errors
    /// The first rule that the file breaks.
    pub fn load(elf: &[u8], machine: &'static Machine) -> Result<Self, ImageError> {
        let mut program = Self::read(elf, machine, &mut Report::first())?;
        let hints = Names::new(elf, machine)
            .function_addresses()
            .filter(|pc| pc.is_multiple_of(2))
            .collect();
        program.function_hints = hints;
        let (start, text) = program.text();
        program.guest = Guest::of(elf, start, text, machine);
        Ok(program)
    }

    /// Every rule of `machine` that an ELF file breaks, for people: none exactly where [`Self::load`] gives a program, and
    /// the first is otherwise the error that it gives. What cannot be read because of a broken rule is not judged.
    /// At most a few for each program header; cost is linear in `elf.len()`.
    #[must_use]
    pub fn broken_rules(elf: &[u8], machine: &'static Machine) -> Vec<ImageError> {
        let mut report = Report::all();
        let last = Self::read(elf, machine, &mut report).err();
        report.with(last)
    }

    fn read(elf: &[u8], machine: &'static Machine, report: &mut Report) -> Result<Self, ImageError> {
        let (entry, loads) = header::parse(elf, machine.limits.max_program_headers, report)?;
        Self::validate(&loads, entry, machine, report)
    }

    /// The same validation for segments that do not come from a file; program headers are their indices.
    ///
    /// # Errors
    /// The first rule that the segments break.
    pub fn from_segments(
        segments: Vec<OwnedSegment>,
        entry: u32,
        machine: &'static Machine,
    ) -> Result<Self, ImageError> {
        let loads: Vec<_> = segments
            .iter()
            .enumerate()
            .map(|(index, segment)| Load {
                index,
                flags: match segment.permissions {
                    Permissions::Read => PF_R,
                    Permissions::ReadWrite => PF_R | PF_W,
                    Permissions::ReadExecute => PF_R | PF_X,
                },
                address: u64::from(segment.address),
                memory_len: u64::from(segment.memory_len),
                data: &segment.data,
            })
            .collect();
        let mut program = Self::validate(&loads, u64::from(entry), machine, &mut Report::first())?;
        let (start, text) = program.text();
        program.guest = Guest::of(&[], start, text, machine);
        Ok(program)
    }

    /// How a profile tells it from other programs, such as a file's name. The first label stays, and symbols given for
    /// its text ([`crate::profile::add_symbols`]) have theirs. Nothing is done, or asked for, without a profile.
    pub fn set_label(&self, label: impl FnOnce() -> String) {
        if let Some(guest) = &self.guest {
            guest.set_label(&label());
        }
    }

    /// Has its native code kept in `cache`, and taken from there.
    pub fn set_code_cache(&mut self, cache: Arc<CodeCache>) {
        self.kept = Some(Attachment::new(cache));
    }

    /// Decodes its text for tier 0 ahead of its first run: from the entry's page on and then from the beginning, whole pages
    /// of 4 KiB, `most_bytes` at most. Runs decode the rest when they come to it. A page takes 50 to 300 µs, and memory that
    /// [`Self::most_memory_bytes`] counts.
    pub fn decode(&self, most_bytes: usize) {
        interpreter::decode(self, most_bytes);
    }

    /// Pages of text that are decoded so far, of 4 KiB each. For tests and figures.
    #[must_use]
    pub fn decoded_pages(&self) -> usize {
        self.code.decoded_pages()
    }

    /// Asks the background thread to give back what earlier processes compiled of it, as its first run in
    /// [`Tier::Auto`](crate::Tier::Auto) does. Waits for nothing; asking again, or without a cache, does nothing.
    pub fn ask_for_kept_code(self: &Arc<Self>) {
        native::ask_for_recall(self);
    }

    /// Where its native code is kept, if anywhere.
    pub(crate) fn kept(&self) -> Option<&Attachment> {
        self.kept.as_ref()
    }

    fn validate(
        loads: &[Load<'_>],
        entry: u64,
        machine: &'static Machine,
        report: &mut Report,
    ) -> Result<Self, ImageError> {
        let mut builder = Builder::new(machine);
        for load in loads {
            builder.add(load, report)?;
        }
        builder.finish(entry, report)
    }

    /// All segments, ascending by address, each on pages of its own.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Address of the first instruction: even, inside text.
    #[must_use]
    pub fn entry(&self) -> u32 {
        self.entry
    }

    /// First address and bytes of text: the file bytes of the one executable segment, exactly. Only addresses in this
    /// range can be executed; the rest of its pages can be read, as zeros.
    #[must_use]
    pub fn text(&self) -> (u32, &[u8]) {
        let (index, address, len) = self.text;
        let segment = &self.segments[index];
        let start = (address - segment.address) as usize;
        (address, &segment.data[start..start + len as usize])
    }

    /// Bytes of text: what deploy and first-call charges are computed from.
    #[must_use]
    pub fn text_len(&self) -> u32 {
        self.text.2
    }

    /// Most bytes of memory that the program comes to take, shared by all its instances: what its file fills, twice
    /// where instances map it, and its text decoded and compiled.
    #[must_use]
    pub fn most_memory_bytes(&self) -> usize {
        let data: usize = self.segments.iter().map(|segment| segment.data.len()).sum();
        let profiled = self.guest.as_ref().map_or(0, |guest| guest.bytes());
        data + self.text_len() as usize * (Code::MOST_BYTES_PER_TEXT_BYTE + NativeCode::BYTES_PER_TEXT_BYTE)
            + profiled
            + Template::file_bytes(self)
    }

    /// 4 KiB pages of writable image (data, bss) and stack: what entry charges for and what counts as live.
    #[must_use]
    pub fn entry_pages(&self) -> u32 {
        self.entry_pages
    }

    /// 4 KiB pages that an instance holds before its heap grows, all segments and the stack: with the heap's, what
    /// [`Machine::memory_shift`] goes by.
    #[must_use]
    pub fn pages(&self) -> u32 {
        self.pages
    }

    /// First heap address: the page after the last segment.
    #[must_use]
    pub fn heap_start(&self) -> u32 {
        self.heap_start
    }

    /// Text as the interpreter has decoded it so far, for all instances together.
    pub(crate) fn code(&self) -> &Code {
        &self.code
    }

    /// Even addresses that symbols name as functions, ascending. Hints, which decide nothing but what is compiled.
    pub(crate) fn function_hints(&self) -> &[u32] {
        &self.function_hints
    }

    /// The program's native code, as far as there is some: what new runs take.
    pub(crate) fn native(&self) -> &NativeCode {
        if self.has_strayed.load(Ordering::Relaxed) {
            return self.exact();
        }
        self.native
            .get_or_init(|| NativeCode::new(self.text.1, self.text.2, false, self.guest.clone()))
    }

    /// Whether a run has jumped to where its native code did not expect anything to go on: behind no call, into the middle
    /// of a function. Such a program's later runs take native code that is ready for everything, and is slower.
    #[must_use]
    pub fn has_strayed(&self) -> bool {
        self.has_strayed.load(Ordering::Relaxed)
    }

    /// Notes that a run strayed: from now on, new runs take exact code, which this gives.
    pub(crate) fn stray(&self) -> &NativeCode {
        self.has_strayed.store(true, Ordering::Relaxed);
        self.exact()
    }

    /// Native code that keeps every register exact.
    pub(crate) fn exact(&self) -> &NativeCode {
        self.exact
            .get_or_init(|| NativeCode::new(self.text.1, self.text.2, true, self.guest.clone()))
    }

    /// How much native code it has come to have.
    #[must_use]
    pub fn native_size(&self) -> NativeSize {
        let kinds = [&self.native, &self.exact];
        kinds
            .into_iter()
            .filter_map(OnceLock::get)
            .map(NativeCode::size)
            .fold(NativeSize::default(), NativeSize::plus)
    }

    /// What its instances start from.
    pub(crate) fn template(&self) -> &Template {
        self.template.get_or_init(|| Template::new(self))
    }

    /// Compiles the whole program, or takes its code from the cache, unless that has been done. Concurrent callers wait for the first.
    ///
    /// # Errors
    /// [`CompileError`]; the program runs in tier 0 then, with equal results.
    pub fn compile(&self, options: &CompileOptions) -> Result<(), &CompileError> {
        self.compile_as(self.native(), options)
    }

    /// Compiles the whole program as code of one kind, unless that has been done.
    pub(crate) fn compile_as<'a>(
        &self,
        code: &'a NativeCode,
        options: &CompileOptions,
    ) -> Result<(), &'a CompileError> {
        code.whole(|| {
            let compile = || compiler::compile_program(self, self.survey(), code.liveness(self), options);
            // Exact code is rare, and not worth a file.
            let batch = match self.kept.as_ref().filter(|_| !code.is_exact()) {
                Some(kept) => kept.whole(self, options, compile)?,
                None => compile()?,
            };
            code.publish(batch);
            Ok(())
        })
    }

    /// What the compiler knows of the text as a whole.
    pub(crate) fn survey(&self) -> &Survey {
        self.survey.get_or_init(|| compiler::survey(self))
    }

    /// The machine it was validated for.
    #[must_use]
    pub fn machine(&self) -> &'static Machine {
        self.machine
    }
}

/// Segments accepted so far. Each is checked against the one before, so order, overlap and sums cost one pass.
struct Builder {
    machine: &'static Machine,
    segments: Vec<Segment>,
    /// Index of the program header, end of the bytes and of the pages of the last segment accepted.
    last: Option<(usize, u64, u64)>,
    /// Index in `segments`, index of the program header, address, length.
    text: Option<(usize, usize, u32, u32)>,
    memory: u64,
    writable: u64,
    /// Whether a segment was one too many.
    is_full: bool,
}

impl Builder {
    fn new(machine: &'static Machine) -> Self {
        Self {
            machine,
            segments: Vec::new(),
            last: None,
            text: None,
            memory: 0,
            writable: 0,
            is_full: false,
        }
    }

    fn add(&mut self, load: &Load<'_>, report: &mut Report) -> Result<(), ImageError> {
        let Load {
            index,
            flags,
            address,
            memory_len,
            data,
        } = *load;
        let filesz = data.len() as u64;
        if filesz > memory_len {
            return report.lost_segment(ImageError::FileExceedsMemory {
                segment: index,
                filesz,
                memsz: memory_len,
            });
        }
        let permissions = match permissions(index, flags) {
            Ok(permissions) => permissions,
            Err(error) => return report.lost_segment(error),
        };
        if memory_len == 0 {
            return Ok(());
        }
        let limit = self.machine.limits.max_segments;
        if self.segments.len() >= limit as usize {
            // One says it for all that follow.
            return match std::mem::replace(&mut self.is_full, true) {
                true => Ok(()),
                false => report.lost_segment(ImageError::SegmentCount {
                    segment: index,
                    limit,
                }),
            };
        }
        let (start, end) = match self.place(index, address, memory_len) {
            Ok(place) => place,
            Err(error) => return report.lost_segment(error),
        };
        let limit = u64::from(self.machine.limits.max_image_bytes);
        if self.memory > limit {
            return Ok(());
        }
        self.memory += end - start;
        if self.memory > limit {
            return report.lost_segment(ImageError::TooLarge {
                needed: self.memory,
                limit,
            });
        }
        match permissions {
            Permissions::ReadExecute => self.set_text(index, address, filesz, report)?,
            Permissions::ReadWrite => self.writable += end - start,
            Permissions::Read => {}
        }
        let mut bytes = Vec::new();
        if !data.is_empty() {
            let before = (address - start) as usize;
            bytes = vec![0; before + data.len()];
            bytes[before..].copy_from_slice(data);
        }
        self.segments.push(Segment {
            address: narrow(start),
            memory_len: narrow(end - start),
            data: bytes.into_boxed_slice(),
            permissions,
        });
        Ok(())
    }

    /// The pages of a segment: inside the allowed range, after the segment before, on pages of its own.
    fn place(&mut self, segment: usize, address: u64, len: u64) -> Result<(u64, u64), ImageError> {
        let layout = &self.machine.layout;
        let (low, high) = (u64::from(layout.low_guard), u64::from(layout.image_end()));
        let start = address & !u64::from(PAGE_BYTES - 1);
        let bytes_end = address.saturating_add(len);
        let end = bytes_end
            .checked_next_multiple_of(u64::from(PAGE_BYTES))
            .unwrap_or(u64::MAX);
        if start < low || end > high {
            return Err(ImageError::Address {
                segment,
                start,
                end,
                low,
                high,
            });
        }
        if let Some((before, before_bytes_end, before_end)) = self.last {
            if address < before_bytes_end {
                return Err(ImageError::Order {
                    segment,
                    address,
                    before,
                    end: before_bytes_end,
                });
            }
            if start < before_end {
                return Err(ImageError::SharedPage {
                    segment,
                    before,
                    page: start,
                });
            }
        }
        self.last = Some((segment, bytes_end, end));
        Ok((start, end))
    }

    fn set_text(
        &mut self,
        segment: usize,
        address: u64,
        len: u64,
        report: &mut Report,
    ) -> Result<(), ImageError> {
        if let Some((_, first, ..)) = self.text {
            return report.broken(ImageError::SecondText { first, segment });
        }
        let limit = u64::from(self.machine.limits.max_text_bytes);
        if len > limit {
            report.broken(ImageError::TextTooLarge { segment, len, limit })?;
        }
        self.text = Some((self.segments.len(), segment, narrow(address), narrow(len)));
        Ok(())
    }

    fn finish(self, entry: u64, report: &mut Report) -> Result<Program, ImageError> {
        if report.has_lost() {
            // The text, or the one that the entry is in, may be among what was left out.
            report.settle()?;
        }
        let (index, _, address, len) = self.text.ok_or(ImageError::NoText)?;
        let (start, end) = (u64::from(address), u64::from(address) + u64::from(len));
        if !entry.is_multiple_of(2) || !(start..end).contains(&entry) {
            return Err(ImageError::Entry { entry, start, end });
        }
        report.settle()?;
        let (_, _, image_end) = self.last.expect("text is a segment");
        let stack_bytes = u64::from(self.machine.layout.stack_bytes);
        let pages = |bytes: u64| narrow(bytes.div_ceil(u64::from(PAGE_BYTES)));
        Ok(Program {
            machine: self.machine,
            segments: self.segments,
            entry: narrow(entry),
            text: (index, address, len),
            heap_start: narrow(image_end),
            entry_pages: pages(self.writable + stack_bytes),
            pages: pages(self.memory + stack_bytes),
            code: Code::new(len as usize),
            function_hints: Box::default(),
            survey: OnceLock::new(),
            native: OnceLock::new(),
            exact: OnceLock::new(),
            has_strayed: AtomicBool::new(false),
            template: OnceLock::new(),
            guest: None,
            kept: None,
        })
    }
}

fn permissions(segment: usize, flags: u32) -> Result<Permissions, ImageError> {
    const R: u32 = PF_R;
    const RW: u32 = PF_R | PF_W;
    const RX: u32 = PF_R | PF_X;
    let mend = match flags {
        R => return Ok(Permissions::Read),
        RW => return Ok(Permissions::ReadWrite),
        RX => return Ok(Permissions::ReadExecute),
        _ if flags & (PF_W | PF_X) == PF_W | PF_X => {
            "no segment may be writable and executable; link with lld, or compile for GNU ld with \
             `-msmall-data-limit=0` (it joins text with small constants and bss), without -N (--omagic)"
        }
        _ if flags & !(PF_R | PF_W | PF_X) != 0 => "bits above 0x7 have no meaning here; the file is damaged",
        _ => "link without --execute-only; every segment must be readable",
    };
    Err(ImageError::Permissions { segment, flags, mend })
}

fn narrow(value: u64) -> u32 {
    u32::try_from(value).expect("checked against the range of 32-bit addresses")
}
