//! Calls: direct, far, through registers and tables, with the link replaced, into recursions; host calls.

use millrace_jit::isa::Op;

use super::super::guest::{HOME, SCRATCH, SCRATCH_END};
use super::{A0, A7, Function, Generator, Need, SP, bit};
use crate::asm::value;

/// Linux system call numbers, which the machine's own test hosts use as well.
const WRITE: u64 = 64;
/// No system call: Linux says so in a0.
const NO_CALL: u64 = 1000;

impl Generator<'_> {
    /// Whether `function` can be called here.
    fn callable(&self, function: &Function) -> bool {
        let written = function.clobbers | bit(function.link);
        let needs = function.needs.iter().all(|need| match need {
            Need::Count { register, each, .. } => {
                self.scope.kept & bit(*register) == 0 && *each + function.cost < self.room()
            }
            Need::Deep { register: SP } => self.cells < 200,
            Need::Deep { register } => self.scope.kept & bit(*register) == 0,
        });
        written & self.scope.kept == 0
            && function.cost < self.room()
            && needs
            && function.frames < self.scope.frames_limit
            && !(function.deep && self.scope.in_deep)
    }

    /// Calls something, if there is anything that may be called here.
    pub(super) fn call(&mut self) {
        let candidates: Vec<usize> = (0..self.functions.len())
            .filter(|&index| self.callable(&self.functions[index]))
            .collect();
        if candidates.is_empty() {
            self.straight(3);
            return;
        }
        // Late ones are more likely: they call others.
        let index = candidates.len() as u64 - self.choices.magnitude(candidates.len() as u64);
        let chosen = candidates[index as usize];
        let function = self.functions[chosen].clone();
        let restore = self.provide(&function);
        if function.needs.is_empty() && self.choices.chance(25) {
            self.call_by_table(&candidates, &function);
        } else {
            self.call_one(&function);
        }
        self.land(&function);
        if let Some((cell, register)) = restore {
            self.op("ld", register, self.home, 0, cell);
        }
    }

    fn note(&mut self, function: &Function) {
        self.scope.written |= function.clobbers | bit(function.link);
        self.scope.frames = self.scope.frames.max(function.frames);
        self.scope.deep |= function.deep;
        let cost = self.scope.turns.saturating_mul(function.cost + 2);
        self.scope.cost = self.scope.cost.saturating_add(cost);
    }

    /// What may be skipped when the function returns behind its call.
    fn land(&mut self, function: &Function) {
        for _ in 0..function.skips / 4 {
            self.computation(4);
        }
    }

    /// Sets what the function needs. A stack pointer that was replaced is in the cell, to be loaded again.
    fn provide(&mut self, function: &Function) -> Option<(i32, u8)> {
        let mut restore = None;
        for need in &function.needs {
            match *need {
                Need::Count { register, most, each } => {
                    let most = most.min(self.room() / (each + 1)).max(1);
                    let depth = if self.shape.deepest || self.choices.chance(30) {
                        most
                    } else {
                        self.choices.magnitude(most)
                    };
                    self.set(register, depth);
                    let cost = self.scope.turns.saturating_mul(depth * each);
                    self.scope.cost = self.scope.cost.saturating_add(cost);
                }
                Need::Deep { register: SP } => {
                    let cell = self.cell().expect("functions that replace sp are few");
                    self.op("sd", 0, self.home, SP, cell);
                    let top = self.layout.deep + self.deep_len - 0x8000;
                    self.set(SP, top);
                    restore = Some((cell, SP));
                }
                Need::Deep { register } => self.set(register, self.layout.deep + 0x100),
            }
        }
        restore
    }

    fn call_one(&mut self, function: &Function) {
        let Function { label, link, .. } = *function;
        self.note(function);
        let held = function.needs.iter().fold(bit(link), |held, need| match need {
            Need::Count { register, .. } | Need::Deep { register } => held | bit(*register),
        });
        match self.choices.below(10) {
            0..4 => self.jump(link, label),
            4 | 5 => self.far(link, link, label),
            6 => match self.free(held) {
                Some(via) => self.far(link, via, label),
                None => self.far(link, link, label),
            },
            7 => {
                let via = self.free(held).unwrap_or(link);
                self.address(via, label, 0);
                self.op("jalr", link, via, 0, 0);
            }
            8 => {
                let via = self.free(held).unwrap_or(link);
                let off = self.choices.below(4000) as i32 - 2000;
                self.address(via, label, -off);
                self.op("jalr", link, via, 0, off);
            }
            // The link is made by hand and is not the address behind the jump.
            _ if function.skips == 0 => {
                let back = self.label();
                self.address(link, back, 0);
                self.jump(0, label);
                for _ in 0..self.choices.below(3) {
                    self.computation(0);
                }
                self.here(back);
            }
            _ => self.jump(link, label),
        }
    }

    /// Through a table of functions with the same link, chosen by data.
    fn call_by_table(&mut self, candidates: &[usize], function: &Function) {
        let Function { link, skips, .. } = *function;
        let alike: Vec<Function> = candidates
            .iter()
            .map(|&index| &self.functions[index])
            .filter(|other| other.link == link && other.skips == skips && other.needs.is_empty())
            .cloned()
            .collect();
        let Some((t, u)) = self.free_two(bit(link)) else {
            self.call_one(function);
            return;
        };
        let entries: Vec<_> = (0..1 << self.choices.between(0, 4))
            .map(|_| self.choices.pick(&alike).label)
            .collect();
        for other in &alike {
            self.scope.written |= other.clobbers;
            self.scope.deep |= other.deep;
        }
        let dearest = alike.iter().max_by_key(|other| other.cost).cloned();
        self.note(&dearest.expect("the function itself is among them"));
        self.scope.frames = alike
            .iter()
            .map(|other| other.frames)
            .fold(self.scope.frames, u32::max);
        self.jump_by_table(&entries, t, u, link);
    }

    /// Jumps to a function that then returns for this one. False if there is none with that link.
    pub(super) fn tail_call(&mut self, link: u8) -> bool {
        let candidates: Vec<Function> = self
            .functions
            .iter()
            .filter(|other| other.link == link && other.skips == 0 && other.needs.is_empty())
            .filter(|other| self.scope.kept & other.clobbers == 0 && other.cost < self.room())
            .filter(|other| other.frames < self.scope.frames_limit && !(other.deep && self.scope.in_deep))
            .cloned()
            .collect();
        if candidates.is_empty() {
            return false;
        }
        let function = self.choices.pick(&candidates).clone();
        self.note(&function);
        match self.choices.below(4) {
            0 => match self.free(bit(link)) {
                Some(via) => self.far(0, via, function.label),
                None => self.jump(0, function.label),
            },
            1 => match self.free_two(bit(link)) {
                Some((t, u)) => {
                    let entries = [function.label, function.label];
                    self.jump_by_table(&entries, t, u, 0);
                }
                None => self.jump(0, function.label),
            },
            _ => self.jump(0, function.label),
        }
        true
    }

    /// An `ecall` in the middle: a write of some scratch memory, or a number that is no system call, or one of the
    /// scripted host's.
    pub(super) fn host_call(&mut self) {
        const FOUR: u32 = 1 << 10 | 1 << 11 | 1 << 12 | 1 << 17;
        let price = self.shape.budget / 100;
        if self.scope.kept & FOUR != 0 || self.room() < price {
            return;
        }
        self.count(0, price);
        if self.shape.for_qemu && self.choices.chance(70) {
            let start = SCRATCH + self.choices.below(SCRATCH_END - SCRATCH - 64);
            let len = self.choices.below(64);
            self.set(A0, 1);
            let address = self.layout.data + start;
            self.set(A0 + 1, address);
            self.set(A0 + 2, len);
            self.set(A7, WRITE);
        } else {
            let numbers = if self.shape.for_qemu {
                1
            } else {
                super::super::host::CALLS
            };
            for argument in 0..3 {
                if self.choices.chance(40) {
                    let value = match self.choices.below(3) {
                        0 => value(self.choices),
                        1 => self.choices.below(64),
                        _ => self.layout.data + HOME + self.choices.below(0x2000),
                    };
                    self.set(A0 + argument, value);
                }
            }
            let number = NO_CALL + self.choices.below(numbers);
            self.set(A7, number);
        }
        self.op4("ecall", 0, 0, 0, 0);
        self.scope.written |= bit(A0) | bit(A0 + 1);
        if self.choices.chance(20) {
            let end = self.label();
            self.branch(Op::Blt, A0, 0, end);
            self.turning(1, |this| this.straight(2));
            self.here(end);
        }
    }
}
