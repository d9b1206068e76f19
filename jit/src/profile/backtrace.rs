//! Who called whom when a guest stopped: a walk of the guest's stack, from the registers that it stopped with.
//!
//! Guests may use registers and stack as they like, so that this is for people and may end early, but each step says how
//! it was found, from best to worst: by call frame information (`.debug_frame`, `.eh_frame`), which compilers write for
//! the purpose; by the frame pointer, where s0 looks like one; by ra alone, which names the caller only until the
//! function that stopped has called somebody itself.

use std::fmt::{self, Display, Formatter};
use std::panic::{AssertUnwindSafe, catch_unwind};

use gimli::{
    BaseAddresses, CfaRule, DebugFrame, EhFrame, EndianSlice, LittleEndian, Register, RegisterRule,
    UnwindContext, UnwindSection,
};

use crate::image::{self, Debug, Program};
use crate::runtime::Memory;

/// Most frames that are walked.
pub const MAX_FRAMES: usize = 64;

/// Most bytes between one frame pointer and the next.
const MAX_FRAME_BYTES: u64 = 1 << 20;

const RA: usize = 1;
const SP: usize = 2;
const S0: usize = 8;
/// x0 to x31; DWARF numbers them alike.
type Registers = [u64; 32];

/// Frames, the one that stopped first.
#[derive(Clone, Debug)]
pub struct Backtrace {
    /// At most [`MAX_FRAMES`].
    pub frames: Vec<Frame>,
}

/// A frame of the guest's stack.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Where it stopped, or where it goes on when what it called returns.
    pub pc: u64,
    /// How it was found.
    pub found: Found,
    /// Functions at this place, innermost first, as [`Debug::frames_at`] gives them.
    pub functions: Vec<image::Frame>,
}

/// How a frame was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// It is the one that stopped.
    Stopped,
    /// By call frame information.
    CallFrameInformation,
    /// By the frame pointer.
    FramePointer,
    /// By ra, which may be out of date.
    ReturnAddress,
    /// Somebody saw the call.
    Call,
}

impl Found {
    /// A word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::CallFrameInformation => "call frame information",
            Self::FramePointer => "frame pointer",
            Self::ReturnAddress => "return address",
            Self::Call => "call",
        }
    }
}

impl Backtrace {
    /// Walks from where `program` stopped with these registers and this memory. `debug` is of the program's file.
    #[must_use]
    pub fn new(
        program: &Program,
        debug: &Debug<'_>,
        memory: &Memory,
        registers: &Registers,
        pc: u64,
    ) -> Self {
        let mut walk = Walk {
            program,
            unwind: Unwind::new(debug),
            memory,
            registers: *registers,
            pc,
            is_first: true,
            is_lost: false,
        };
        let mut frames = vec![Frame {
            pc,
            found: Found::Stopped,
            functions: debug.frames_at(pc),
        }];
        while frames.len() < MAX_FRAMES {
            let Some(found) = walk.step() else { break };
            frames.push(Frame {
                pc: walk.pc,
                found,
                // What is there may be the start of another function: the call lies before.
                functions: debug.frames_at(walk.pc - 1),
            });
        }
        Self { frames }
    }
}

impl Backtrace {
    /// Of a run that an [`Observer`](crate::Observer) saw: where it stopped, and where the functions go on that wait, the innermost
    /// first.
    #[must_use]
    pub fn of_calls(debug: &Debug<'_>, pc: u64, returns_to: impl IntoIterator<Item = u64>) -> Self {
        let mut frames = vec![Frame {
            pc,
            found: Found::Stopped,
            functions: debug.frames_at(pc),
        }];
        let callers = returns_to.into_iter().map(|pc| Frame {
            pc,
            found: Found::Call,
            functions: debug.frames_at(pc.saturating_sub(1)),
        });
        frames.extend(callers.take(MAX_FRAMES - 1));
        Self { frames }
    }
}

impl Display for Backtrace {
    /// A line for each function, those that were inlined before those that they were inlined into.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "guest backtrace:")?;
        for (number, frame) in self.frames.iter().enumerate() {
            let Frame { pc, found, functions } = frame;
            write!(f, "\n  {number:>2}: {pc:#x}")?;
            for (depth, function) in functions.iter().enumerate() {
                if depth > 0 {
                    write!(f, "\n      inlined into")?;
                }
                write!(f, " {}", function.function.as_deref().unwrap_or("?"))?;
                if let Some(at) = &function.location {
                    write!(f, " at {}:{}", at.file, at.line)?;
                }
            }
            if matches!(found, Found::FramePointer | Found::ReturnAddress) {
                write!(f, " (by {})", found.name())?;
            }
        }
        Ok(())
    }
}

/// A walk, at one frame.
struct Walk<'a> {
    program: &'a Program,
    unwind: Unwind<'a>,
    memory: &'a Memory,
    registers: Registers,
    pc: u64,
    /// Whether this is the frame that stopped.
    is_first: bool,
    /// Whether the registers are no longer known.
    is_lost: bool,
}

impl Walk<'_> {
    /// Goes to the caller, if it can be found.
    fn step(&mut self) -> Option<Found> {
        if self.is_lost {
            return None;
        }
        let found = if self.is_in_text(self.pc) {
            self.by_frame_information()
                .or_else(|| self.by_frame_pointer())
                .or_else(|| {
                    self.is_lost = true;
                    self.by_return_address()
                })
        } else {
            // A call to nowhere has changed nothing but pc and ra: the caller's frame is as it was.
            self.by_return_address()
        };
        self.is_first = false;
        found
    }

    fn by_frame_information(&mut self) -> Option<Found> {
        let at = if self.is_first { self.pc } else { self.pc - 1 };
        let row = self.unwind.row(at)?;
        let (base, offset) = row.cfa;
        let cfa = self.registers[base].wrapping_add_signed(offset);
        // Stacks grow down, and only a function that calls nobody needs no room.
        let sp = self.registers[SP];
        if cfa < sp || (cfa == sp && !self.is_first) {
            return None;
        }
        // Only the function that stopped still has its return address in a register: the others have called since. One that never
        // returns need not keep it.
        let keeps_return = row
            .saved
            .iter()
            .any(|(register, _)| *register == row.return_address);
        if !self.is_first && !keeps_return {
            return None;
        }
        let mut caller = self.registers;
        for &(register, rule) in &row.saved {
            caller[register] = match rule {
                Saved::At(offset) => self.read(cfa.wrapping_add_signed(offset))?,
                Saved::Is(offset) => cfa.wrapping_add_signed(offset),
                Saved::In(other) => self.registers[other],
                Saved::Lost if register == row.return_address => return None,
                Saved::Lost => 0,
            };
        }
        caller[SP] = cfa;
        let pc = caller[row.return_address];
        if !self.is_return_address(pc) {
            return None;
        }
        (self.registers, self.pc) = (caller, pc);
        Some(Found::CallFrameInformation)
    }

    /// The convention of compilers that keep frame pointers: s0 is sp at entry, ra and then the caller's s0 lie below it;
    /// a function that calls nobody need not store ra.
    fn by_frame_pointer(&mut self) -> Option<Found> {
        let (sp, frame) = (self.registers[SP], self.registers[S0]);
        if !frame.is_multiple_of(8) || frame <= sp || frame - sp > MAX_FRAME_BYTES {
            return None;
        }
        let first = self.read(frame - 8)?;
        let (pc, before) = if self.is_return_address(first) {
            (first, self.read(frame - 16)?)
        } else if self.is_first && self.is_return_address(self.registers[RA]) {
            (self.registers[RA], first)
        } else {
            return None;
        };
        self.registers[SP] = frame;
        self.registers[S0] = before;
        self.pc = pc;
        Some(Found::FramePointer)
    }

    fn by_return_address(&mut self) -> Option<Found> {
        let ra = self.registers[RA];
        if !self.is_first || !self.is_return_address(ra) {
            return None;
        }
        self.pc = ra;
        Some(Found::ReturnAddress)
    }

    fn is_in_text(&self, pc: u64) -> bool {
        let (start, text) = self.program.text();
        pc.wrapping_sub(u64::from(start)) < text.len() as u64
    }

    /// Whether a call stands before this address.
    fn is_return_address(&self, pc: u64) -> bool {
        let (start, text) = self.program.text();
        let offset = pc.wrapping_sub(u64::from(start));
        if offset > text.len() as u64 || !offset.is_multiple_of(2) {
            return false;
        }
        let before = &text[..offset as usize];
        let links = |rd: u32| matches!(rd, 1 | 5);
        let long = before.last_chunk().map(|&word| u32::from_le_bytes(word));
        let short = before.last_chunk().map(|&half| u16::from_le_bytes(half));
        // jal and jalr that keep their return address; c.jalr, whose register is not 0.
        long.is_some_and(|word| matches!(word & 0x7f, 0x6f | 0x67) && links(word >> 7 & 31))
            || short.is_some_and(|half| half & 0xf07f == 0x9002 && half & 0x0f80 != 0)
    }

    fn read(&self, address: u64) -> Option<u64> {
        // Memory would take an address modulo 2^32.
        u32::try_from(address).ok()?;
        let bytes = self.memory.read(address, 8).ok()?;
        Some(u64::from_le_bytes(
            bytes.try_into().expect("eight bytes were asked for"),
        ))
    }
}

/// What call frame information says of one place.
struct Row {
    /// A register, and what is added to it: sp as it was before the call.
    cfa: (usize, i64),
    saved: Vec<(usize, Saved)>,
    return_address: usize,
}

/// Where a caller's register is, from the CFA.
#[derive(Clone, Copy)]
enum Saved {
    At(i64),
    Is(i64),
    In(usize),
    Lost,
}

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// Call frame information of a file. Its bytes are nobody's word: what is damaged is not found.
struct Unwind<'a> {
    debug_frame: DebugFrame<Slice<'a>>,
    eh_frame: EhFrame<Slice<'a>>,
    bases: BaseAddresses,
}

impl<'a> Unwind<'a> {
    fn new(debug: &Debug<'a>) -> Self {
        let mut debug_frame = DebugFrame::new(debug.section(".debug_frame").1, LittleEndian);
        debug_frame.set_address_size(8);
        let (address, bytes) = debug.section(".eh_frame");
        let mut eh_frame = EhFrame::new(bytes, LittleEndian);
        eh_frame.set_address_size(8);
        Self {
            debug_frame,
            eh_frame,
            bases: BaseAddresses::default()
                .set_eh_frame(address)
                .set_text(debug.section(".text").0),
        }
    }

    fn row(&self, pc: u64) -> Option<Row> {
        let find =
            || row(&self.debug_frame, &self.bases, pc).or_else(|| row(&self.eh_frame, &self.bases, pc));
        // A library that panics over damaged bytes has found nothing.
        catch_unwind(AssertUnwindSafe(find)).ok().flatten()
    }
}

fn row<'a, S: UnwindSection<Slice<'a>>>(section: &S, bases: &BaseAddresses, pc: u64) -> Option<Row> {
    let fde = section.fde_for_address(bases, pc, S::cie_from_offset).ok()?;
    let mut context = UnwindContext::new();
    let row = fde
        .unwind_info_for_address(section, bases, &mut context, pc)
        .ok()?;
    let number = |register: Register| Some(usize::from(register.0)).filter(|&number| number < 32);
    let CfaRule::RegisterAndOffset { register, offset } = *row.cfa() else {
        // Compilers write expressions for code that is not a function.
        return None;
    };
    let mut saved = Vec::new();
    for (register, rule) in row.registers() {
        let Some(register) = number(*register) else {
            continue;
        };
        let rule = match *rule {
            RegisterRule::SameValue => continue,
            RegisterRule::Offset(offset) => Saved::At(offset),
            RegisterRule::ValOffset(offset) => Saved::Is(offset),
            RegisterRule::Register(other) => Saved::In(number(other)?),
            _ => Saved::Lost,
        };
        saved.push((register, rule));
    }
    Some(Row {
        cfa: (number(register)?, offset),
        saved,
        return_address: number(fde.cie().return_address_register())?,
    })
}
