//! Functions: leaves, frames, saved links, shared epilogues, millicode, recursions.

use millrace_jit::isa::Op;

use super::super::code::{Chunk, Label};
use super::{ALL, Function, Generator, Need, RA, SP, Scope, T0, bit};

/// The stack allowance of a whole program, in units of 256 bytes.
pub(super) const STACK_UNITS: u32 = 130;
/// What a recursion on the ordinary stack may take of it.
const RECURSION_UNITS: u32 = 50;
const UNIT: u64 = 256;
/// The most deep memory a program has.
const MOST_DEEP: u64 = 24 << 20;
/// From this depth on a recursion has the smallest frames and no way out but its end.
const DEEP: u64 = 100_000;

/// A stack frame, and an epilogue that takes it down.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    size: i32,
    /// Registers and their displacements, the link's among them.
    saved: Vec<(u8, i32)>,
    link: u8,
    /// Code that sets it up, called through t0.
    prologue: Option<Label>,
    /// Restores and returns, or calls something that returns.
    epilogue: Label,
    /// What is written, executed and stacked from there on.
    clobbers: u32,
    cost: u64,
    frames: u32,
    deep: bool,
}

impl Frame {
    fn saved_mask(&self) -> u32 {
        self.saved
            .iter()
            .fold(0, |mask, (register, _)| mask | bit(*register))
    }
}

impl Generator<'_> {
    /// A scope at the start of a function.
    pub(super) fn scope(&self, kept: u32, budget: u64) -> Scope {
        Scope {
            kept: kept | bit(self.home) | bit(SP),
            written: 0,
            cost: 0,
            turns: 1,
            budget,
            depth: 0,
            locals: None,
            exit: None,
            frames: 0,
            frames_limit: STACK_UNITS,
            deep: false,
            in_deep: false,
        }
    }

    /// Makes a chunk of its own in a scope of its own.
    pub(super) fn aside(&mut self, name: &str, scope: Scope, make: impl FnOnce(&mut Self)) -> Scope {
        let name = format!("{name}{}", self.chunks.len());
        let outer_chunk = std::mem::replace(
            &mut self.chunk,
            Chunk {
                name,
                ..Chunk::default()
            },
        );
        let outer_scope = std::mem::replace(&mut self.scope, scope);
        make(self);
        self.chunks.push(std::mem::replace(&mut self.chunk, outer_chunk));
        std::mem::replace(&mut self.scope, outer_scope)
    }

    /// Adds a function of any kind.
    pub(super) fn function(&mut self) {
        match self.choices.below(100) {
            0..25 => self.leaf(0),
            25..32 => {
                let skips = *self.choices.pick(&[4, 8, 12]);
                self.leaf(skips);
            }
            32..42 => self.saved_aside(),
            42..75 => self.framed(),
            _ => self.recursion(),
        }
    }

    /// Registers that a function may write: few, half, or all.
    fn allowed(&mut self) -> u32 {
        let some: u32 = (0..32).fold(0, |mask, _| mask << 1 | self.choices.below(2) as u32);
        let others: u32 = (0..32).fold(0, |mask, _| mask << 1 | self.choices.below(2) as u32);
        let allowed = match self.choices.below(4) {
            0 => some & others,
            1 => some,
            2 => some | others,
            _ => ALL,
        };
        allowed & ALL & !bit(self.home) & !bit(SP)
    }

    fn link(&mut self) -> u8 {
        match self.choices.below(10) {
            0..6 => RA,
            6 | 7 if self.home != T0 => T0,
            _ => {
                let usable = ALL & !bit(self.home) & !bit(SP);
                self.choices.register(usable).unwrap_or(RA)
            }
        }
    }

    fn function_budget(&mut self) -> u64 {
        let parts = self.choices.magnitude(200);
        self.shape.budget / (parts + 3)
    }

    fn return_by(&mut self, link: u8) {
        match self.choices.below(12) {
            0 => {
                let off = 4 * self.choices.below(400) as i32;
                self.op("addi", link, link, 0, -off);
                self.op("jalr", 0, link, 0, off);
            }
            1 => match self.free(bit(link)) {
                Some(t) => {
                    self.copy(t, link);
                    self.jump_register(t);
                }
                None => self.jump_register(link),
            },
            // The lowest bit of a target is dropped.
            2 if !self.shape.for_qemu => {
                self.op("ori", link, link, 0, 1);
                self.jump_register(link);
            }
            _ => self.jump_register(link),
        }
    }

    /// Statements with places between them where others may enter.
    fn entered(&mut self, entries: &mut Vec<Label>) {
        for _ in 0..self.choices.between(1, self.shape.statements) {
            self.statement();
            if self.choices.chance(20) {
                let label = self.new_here();
                entries.push(label);
            }
        }
    }

    /// Calls nothing that is linked like it; its link stays in its register.
    fn leaf(&mut self, skips: u8) {
        let (link, allowed) = (self.link(), self.allowed());
        let budget = self.function_budget();
        let (label, exit) = (self.label(), self.label());
        let mut entries = Vec::new();
        let mut scope = self.scope(!allowed | bit(link), budget);
        scope.exit = Some(exit);
        let done = self.aside("leaf", scope, |this| {
            this.here(label);
            let spare = this.choices.chance(15).then(|| this.free(0)).flatten();
            if let Some(spare) = spare {
                // sp is an ordinary register for a while.
                this.copy(spare, SP);
                let (kept, limit) = (this.scope.kept, this.scope.frames_limit);
                this.scope.kept = kept & !bit(SP) | bit(spare);
                this.scope.frames_limit = 0;
                this.entered(&mut Vec::new());
                this.here(exit);
                (this.scope.kept, this.scope.frames_limit) = (kept, limit);
                this.copy(SP, spare);
                this.scope.written &= !bit(SP);
            } else {
                this.entered(&mut entries);
                this.here(exit);
            }
            this.scope.exit = None;
            if skips > 0 {
                if let Some(t) = this.free(0) {
                    let any = this.any();
                    let mask = if skips == 12 { 12 } else { i32::from(skips) };
                    this.op("andi", t, any, 0, mask);
                    this.op("add", link, link, t, 0);
                }
                this.jump_register(link);
            } else if !(this.choices.chance(20) && this.tail_call(link)) {
                this.return_by(link);
            }
        });
        let function = Function {
            label,
            link,
            clobbers: done.written & !bit(link),
            cost: done.cost,
            needs: Vec::new(),
            skips,
            frames: done.frames,
            deep: done.deep,
        };
        for entry in entries {
            self.functions.push(Function {
                label: entry,
                ..function.clone()
            });
        }
        self.functions.push(function);
    }

    /// Saves its link in another register or in memory of its own.
    fn saved_aside(&mut self) {
        let (link, allowed) = (self.link(), self.allowed());
        let budget = self.function_budget();
        let label = self.label();
        let exit = self.label();
        let mut scope = self.scope(!(allowed | bit(link)), budget);
        scope.exit = Some(exit);
        let done = self.aside("saved", scope, |this| {
            this.here(label);
            let cell = this.choices.chance(50).then(|| this.cell()).flatten();
            let spare = this.free(bit(link));
            match (cell, spare) {
                (Some(cell), _) => {
                    this.op("sd", 0, this.home, link, cell);
                    this.entered(&mut Vec::new());
                    this.here(exit);
                    this.op("ld", link, this.home, 0, cell);
                    this.return_by(link);
                }
                (None, Some(spare)) => {
                    this.copy(spare, link);
                    this.keeping(bit(spare), |this| this.entered(&mut Vec::new()));
                    this.here(exit);
                    // Not the link that return predictors know.
                    this.return_by(spare);
                }
                (None, None) => {
                    this.here(exit);
                    this.jump_register(link);
                }
            }
        });
        self.functions.push(Function {
            label,
            link,
            clobbers: done.written,
            cost: done.cost,
            needs: Vec::new(),
            skips: 0,
            frames: done.frames,
            deep: done.deep,
        });
    }

    fn new_frame(&mut self, link: u8, saved: u32) -> Frame {
        let saved = saved & !bit(link) & !bit(SP) & !bit(self.home);
        let mut registers = vec![link];
        registers.extend((1..32).filter(|register| saved & bit(*register) != 0));
        let count = registers.len() as i32;
        let spare = self.choices.below(8) as i32;
        let size = (8 * (count + spare) + 15) & !15;
        let saved = registers
            .into_iter()
            .enumerate()
            .map(|(index, register)| (register, size - 8 * (index as i32 + 1)))
            .collect();
        Frame {
            size,
            saved,
            link,
            prologue: None,
            epilogue: self.label(),
            clobbers: 0,
            cost: 0,
            frames: 0,
            deep: false,
        }
    }

    fn set_up(&mut self, frame: &Frame) {
        self.op("addi", SP, SP, 0, -frame.size);
        for &(register, off) in &frame.saved {
            self.op("sd", 0, SP, register, off);
        }
    }

    fn take_down(&mut self, frame: &Frame) {
        for &(register, off) in &frame.saved {
            self.op("ld", register, SP, 0, off);
        }
        self.op("addi", SP, SP, 0, frame.size);
    }

    /// The pair of routines that save and restore for others.
    fn millicode(&mut self) -> Option<Frame> {
        if self.home == T0 {
            return None;
        }
        if let Some(frame) = &self.millicode {
            return Some(frame.clone());
        }
        let saved = self.allowed() & !bit(T0);
        let mut frame = self.new_frame(RA, saved & 0x00fc_0300);
        let save = self.label();
        frame.prologue = Some(save);
        let scope = self.scope(0, 1000);
        self.aside("save", scope.clone(), |this| {
            this.here(save);
            this.set_up(&frame);
            this.jump_register(T0);
        });
        self.aside("restore", scope, |this| {
            this.here(frame.epilogue);
            this.take_down(&frame);
            this.jump_register(RA);
        });
        frame.cost = 2 * frame.saved.len() as u64 + 4;
        frame.clobbers = bit(T0);
        self.millicode = Some(frame.clone());
        Some(frame)
    }

    /// Saves its link and some registers on the stack.
    fn framed(&mut self) {
        let allowed = self.allowed();
        let budget = self.function_budget();
        let reused = match self.choices.below(10) {
            0 | 1 => self.millicode(),
            2..4 if !self.shared.is_empty() => Some(self.choices.pick(&self.shared).clone()),
            _ => None,
        };
        let link = self.link();
        let saved = self.allowed() & self.allowed();
        let own = reused.is_none();
        let frame = reused.unwrap_or_else(|| self.new_frame(link, saved));
        let link = frame.link;
        let millicode = frame.prologue.map_or(0, |_| bit(T0));
        let restored = frame.saved_mask();
        let (label, early) = (self.label(), self.label());
        let epilogue = frame.epilogue;
        let mut scope = self.scope(!(allowed | restored | millicode), budget);
        scope.exit = Some(epilogue);
        let low = frame.size - 8 * frame.saved.len() as i32;
        scope.locals = (low >= 8).then_some((0, low));
        let mut tail = (0, 0, 0, false);
        let done = self.aside("framed", scope, |this| {
            // The end may come first: then it is jumped to backwards.
            let backwards = own && this.choices.chance(20);
            if backwards {
                this.here(early);
                tail = this.ending(&frame);
            }
            this.here(label);
            match frame.prologue {
                Some(prologue) => this.jump(T0, prologue),
                None => this.set_up(&frame),
            }
            this.entered(&mut Vec::new());
            if backwards || !own {
                this.jump(0, epilogue);
            } else {
                tail = this.ending(&frame);
            }
        });
        let written = done.written & !restored | tail.0 | frame.clobbers | millicode;
        let units = (frame.size as u32).div_ceil(UNIT as u32);
        self.functions.push(Function {
            label,
            link,
            clobbers: written & !bit(SP),
            cost: done.cost + tail.1 + frame.cost,
            needs: Vec::new(),
            skips: 0,
            frames: units + done.frames.max(frame.frames),
            deep: done.deep | frame.deep,
        });
        if own {
            self.shared.push(Frame {
                clobbers: tail.0,
                cost: tail.1,
                frames: tail.2,
                deep: tail.3,
                ..frame
            });
        }
    }

    /// Restores, and returns or goes on to a function that does. Registers written from there on that are not
    /// restored, instructions, stack, deep.
    fn ending(&mut self, frame: &Frame) -> (u32, u64, u32, bool) {
        let before = self.scope.clone();
        (self.scope.written, self.scope.cost, self.scope.frames) = (0, 0, 0);
        (self.scope.exit, self.scope.locals, self.scope.deep) = (None, None, false);
        self.here(frame.epilogue);
        self.take_down(frame);
        self.scope.written = 0;
        // From here on the caller's registers are back.
        self.scope.kept = before.kept | frame.saved_mask() & !bit(frame.link);
        self.keeping(bit(frame.link), |this| {
            if !(this.choices.chance(25) && this.tail_call(frame.link)) {
                this.return_by(frame.link);
            }
        });
        let after = std::mem::replace(&mut self.scope, before);
        self.scope.frames = self.scope.frames.max(after.frames);
        self.scope.deep |= after.deep;
        (
            after.written & !bit(frame.link),
            after.cost,
            after.frames,
            after.deep,
        )
    }

    fn recursion(&mut self) {
        let mutual = self.choices.chance(35);
        let style = *self
            .choices
            .pick(&[Style::Stack, Style::DeepStack, Style::DeepArray]);
        let each_budget = self.choices.magnitude((self.shape.budget / 40).max(20));
        self.recursion_of(mutual, style, each_budget);
    }

    /// Calls itself, or itself by way of another, as long as there is fuel in its count.
    pub(super) fn recursion_of(&mut self, mutual: bool, style: Style, each_budget: u64) {
        let usable = ALL & !bit(self.home) & !bit(SP);
        let (link, other_link) = (self.link(), self.link());
        let links = bit(link) | bit(other_link);
        let Some(count) = self.choices.register(usable & !links) else {
            return;
        };
        let Some(pointer) = self.choices.register(usable & !links & !bit(count)) else {
            return;
        };
        let allowed = self.allowed();
        let parts = if mutual { 2 } else { 1 };
        let labels: Vec<Label> = (0..parts).map(|_| self.label()).collect();
        let (mut written, mut cost, mut calls, mut largest) = (0, 0, 1, 0);
        let (mut frames, mut deep) = (0, style != Style::Stack);
        for part in 0..parts {
            let (own_link, next_link) = match (mutual, part) {
                (false, _) => (link, link),
                (true, 0) => (link, other_link),
                (true, _) => (other_link, link),
            };
            let shape = Recursion {
                label: labels[part],
                next: labels[(part + 1) % parts],
                link: own_link,
                next_link,
                count,
                pointer,
                style,
            };
            let kept = !(allowed | links) | bit(count);
            let array = if style == Style::DeepArray {
                bit(pointer)
            } else {
                0
            };
            let mut scope = self.scope(kept | array, each_budget);
            scope.in_deep = style != Style::Stack;
            let mut size = 16;
            let done = self.aside("recursive", scope, |this| {
                (size, calls) = this.level(&shape);
            });
            written |= done.written;
            cost += done.cost;
            frames = frames.max(done.frames);
            deep |= done.deep;
            largest = largest.max(size as u64);
        }
        let each = cost * calls + 4;
        let most = (self.shape.budget / 2 / each).clamp(1, self.shape.depth);
        let (most, need) = match style {
            Style::Stack => (most.min(u64::from(RECURSION_UNITS) * UNIT / largest), None),
            Style::DeepStack => (most.min((MOST_DEEP - 0x1_0000) / largest), Some(SP)),
            Style::DeepArray => (most.min((MOST_DEEP - 0x1000) / 16), Some(pointer)),
        };
        match style {
            Style::Stack => frames += (most * largest / UNIT) as u32 + 2,
            Style::DeepStack => {
                let bytes = most * largest + 0x1_1000;
                self.deep_len = self.deep_len.max(bytes.next_multiple_of(0x1000));
            }
            Style::DeepArray => {
                let bytes = 16 * most + 0x1000;
                self.deep_len = self.deep_len.max(bytes.next_multiple_of(0x1000));
            }
        }
        let mut needs = vec![Need::Count {
            register: count,
            most: most.max(1),
            each,
        }];
        needs.extend(need.map(|register| Need::Deep { register }));
        let array = if style == Style::DeepArray {
            bit(pointer)
        } else {
            0
        };
        let clobbers = (written | links | bit(count) | array) & !bit(SP);
        for (part, &label) in labels.iter().enumerate() {
            let link = if part == 0 { link } else { other_link };
            self.functions.push(Function {
                label,
                link,
                clobbers: clobbers & !(if mutual { 0 } else { bit(link) }),
                cost: cost + 4,
                needs: needs.clone(),
                skips: 0,
                frames,
                deep,
            });
        }
    }

    /// One level of a recursion. Bytes of its frame, and how many calls it makes.
    fn level(&mut self, shape: &Recursion) -> (i32, u64) {
        let Recursion { count, link, .. } = *shape;
        let (base, exit) = (self.label(), self.label());
        self.here(shape.label);
        let op = *self.choices.pick(&[Op::Beq, Op::Beq, Op::Bge]);
        let (a, b) = if op == Op::Bge { (0, count) } else { (count, 0) };
        self.branch(op, a, b, base);
        self.op("addi", count, count, 0, -1);
        let frame = match shape.style {
            Style::DeepArray => None,
            Style::Stack | Style::DeepStack => {
                let saved = if self.shape.depth >= DEEP {
                    0
                } else {
                    self.allowed() & self.allowed()
                };
                let mut frame = self.new_frame(link, saved & !self.scope.kept & !bit(shape.next_link));
                if self.shape.depth >= DEEP {
                    (frame.size, frame.saved) = (16, vec![(link, 8)]);
                }
                Some(frame)
            }
        };
        match &frame {
            Some(frame) => {
                self.set_up(frame);
                let low = frame.size - 8 * frame.saved.len() as i32;
                self.scope.locals = (low >= 8).then_some((0, low));
            }
            None => {
                self.op("addi", shape.pointer, shape.pointer, 0, 16);
                self.op("sd", 0, shape.pointer, link, 0);
            }
        }
        self.scope.exit = (self.shape.depth < DEEP).then_some(exit);
        let calls = self.choices.between(1, 10).saturating_sub(7).max(1);
        for _ in 0..calls {
            let piece = self.open();
            if self.choices.chance(60) {
                self.statements(2);
            }
            self.close(piece);
            match self.choices.below(6) {
                0 => self.far(shape.next_link, shape.next_link, shape.next),
                1 => {
                    self.address(shape.next_link, shape.next, 0);
                    self.op("jalr", shape.next_link, shape.next_link, 0, 0);
                }
                _ => self.jump(shape.next_link, shape.next),
            }
        }
        if self.choices.chance(60) {
            self.statements(2);
        }
        self.here(exit);
        self.scope.exit = None;
        match &frame {
            Some(frame) => self.take_down(frame),
            None => {
                self.op("ld", link, shape.pointer, 0, 0);
                self.op("addi", shape.pointer, shape.pointer, 0, -16);
            }
        }
        self.scope.locals = None;
        if self.choices.chance(50) {
            self.here(base);
            self.jump_register(link);
        } else {
            self.jump_register(link);
            self.here(base);
            self.keeping(bit(link), |this| this.straight(4));
            self.jump_register(link);
        }
        (frame.map_or(16, |frame| frame.size), calls)
    }
}

/// Where a recursion keeps its links.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Style {
    /// On the stack as it is.
    Stack,
    /// On a stack in the deep memory.
    DeepStack,
    /// In an array in the deep memory.
    DeepArray,
}

#[derive(Clone, Copy, Debug)]
struct Recursion {
    label: Label,
    next: Label,
    link: u8,
    next_link: u8,
    count: u8,
    pointer: u8,
    style: Style,
}
