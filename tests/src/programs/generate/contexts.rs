//! Stacks that are switched, and jumps out of several frames at once.

use super::super::code::Label;
use super::super::guest::{CONTEXTS, SIDE_STACK, SIDE_STACKS};
use super::{ALL, Generator, RA, SP, bit};

const CONTEXT_LEN: u64 = 128;
/// Coroutines and jump buffers of a program; each has two contexts and a stack.
const MOST: u64 = (SIDE_STACKS - CONTEXTS - 0x1000) / SIDE_STACK;
/// Stack units of code on a coroutine's stack.
const SIDE_UNITS: u32 = 5;

/// The routines of a program that switch contexts. They save sp, a link and some other registers.
#[derive(Clone, Debug)]
pub(super) struct Switch {
    /// Saves at `from`, loads from `to`, returns to where that was saved.
    swap: Label,
    /// Saves at `from`, returns 0 in `result`.
    save: Label,
    /// Loads from `from`, returns 1 in `result` to where that was saved.
    load: Label,
    link: u8,
    from: u8,
    to: u8,
    result: u8,
    others: Vec<u8>,
}

impl Switch {
    fn saved(&self) -> u32 {
        self.others.iter().fold(0, |mask, register| mask | bit(*register))
    }

    /// What calling one of the routines writes.
    const fn written(&self) -> u32 {
        bit(self.link) | bit(self.from) | bit(self.to) | bit(self.result)
    }
}

impl Generator<'_> {
    /// A coroutine or a `setjmp`, where there is a frame and enough room.
    pub(super) fn contexts(&mut self) {
        let possible = self.scope.locals.is_some()
            && self.scope.frames_limit > 40
            && self.contexts_used < MOST
            && self.room() > 300;
        let switch = possible.then(|| self.switch_routines());
        match switch {
            Some(switch) if switch.written() & self.scope.kept == 0 => {
                self.contexts_used += 1;
                if self.choices.chance(50) {
                    self.coroutine(&switch);
                } else {
                    self.unwinding(&switch);
                }
            }
            _ => self.straight(3),
        }
    }

    fn switch_routines(&mut self) -> Switch {
        if let Some(switch) = &self.switch {
            return switch.clone();
        }
        let mut usable = ALL & !bit(self.home) & !bit(SP);
        let mut take = |this: &mut Self| {
            let register = this.choices.register(usable).expect("few are taken");
            usable &= !bit(register);
            register
        };
        let first = take(self);
        let link = if self.choices.chance(60) && self.home != RA {
            RA
        } else {
            first
        };
        let mut registers = [0; 3];
        for register in &mut registers {
            *register = loop {
                let taken = take(self);
                if taken != link {
                    break taken;
                }
            };
        }
        let [from, to, result] = registers;
        let others: Vec<u8> = (0..self.choices.below(14))
            .map(|_| take(self))
            .filter(|taken| *taken != link)
            .collect();
        let switch = Switch {
            swap: self.label(),
            save: self.label(),
            load: self.label(),
            link,
            from,
            to,
            result,
            others,
        };
        let scope = self.scope(0, 1000);
        self.aside("swap", scope.clone(), |this| {
            this.here(switch.swap);
            this.move_context(&switch, "sd", from);
            this.move_context(&switch, "ld", to);
            this.jump_register(link);
        });
        self.aside("setjmp", scope.clone(), |this| {
            this.here(switch.save);
            this.move_context(&switch, "sd", from);
            this.op("addi", result, 0, 0, 0);
            this.jump_register(link);
        });
        self.aside("longjmp", scope, |this| {
            this.here(switch.load);
            this.move_context(&switch, "ld", from);
            this.op("addi", result, 0, 0, 1);
            this.jump_register(link);
        });
        self.switch = Some(switch.clone());
        switch
    }

    /// Stores the registers of a context, or loads them.
    fn move_context(&mut self, switch: &Switch, name: &str, base: u8) {
        let registers = [SP, switch.link].into_iter().chain(switch.others.iter().copied());
        for (index, register) in registers.enumerate() {
            let off = 8 * index as i32;
            if name == "ld" {
                self.op(name, register, base, 0, off);
            } else {
                self.op(name, 0, base, register, off);
            }
        }
    }

    fn context(&self, of: u64) -> u64 {
        self.layout.data + CONTEXTS + CONTEXT_LEN * (2 * (self.contexts_used - 1) + of)
    }

    /// Moves to the context at `to`; goes on behind this when something moves back to `from`.
    fn swap(&mut self, switch: &Switch, from: u64, to: u64) {
        self.set(switch.from, from);
        self.set(switch.to, to);
        self.count(0, 2 * switch.others.len() as u64 + 6);
        if self.choices.chance(30) {
            self.far(switch.link, switch.link, switch.swap);
        } else {
            self.jump(switch.link, switch.swap);
        }
    }

    /// A second stack, with code on it that runs until it gives back, as many times as it is asked.
    fn coroutine(&mut self, switch: &Switch) {
        let (main, side) = (self.context(0), self.context(1));
        let stack = self.layout.data + SIDE_STACKS - SIDE_STACK * (self.contexts_used - 1);
        let turns = self.choices.magnitude((self.room() / 200).clamp(1, 100));
        let site = self.scope.kept;
        let kept = site & !switch.saved();
        if switch.written() & kept != 0 {
            return;
        }
        let coroutine = self.label();
        let mut scope = self.scope(kept, self.room() / turns);
        scope.frames_limit = SIDE_UNITS;
        scope.in_deep = self.scope.in_deep;
        let nested = self.choices.chance(50);
        let helper = self.label();
        let helper_link = self.choices.register(ALL & !kept & !bit(SP) & !bit(self.home));
        let nested = helper_link.filter(|_| nested);
        let mut written = 0;
        let mut cost = 0;
        if let Some(link) = nested {
            // Gives back from inside a frame of its own.
            let done = self.aside("yield", scope.clone(), |this| {
                this.here(helper);
                this.op("addi", SP, SP, 0, -32);
                this.op("sd", 0, SP, link, 24);
                this.statements(2);
                this.swap(switch, side, main);
                this.statements(1);
                this.op("ld", link, SP, 0, 24);
                this.op("addi", SP, SP, 0, 32);
                this.jump_register(link);
            });
            (written, cost) = (done.written, done.cost);
        }
        let done = self.aside("coroutine", scope, |this| {
            this.here(coroutine);
            this.statements(2);
            match nested {
                Some(link) => this.jump(link, helper),
                None => this.swap(switch, side, main),
            }
            this.jump(0, coroutine);
        });
        written |= done.written;
        cost += done.cost;
        self.scope.deep |= done.deep;
        let Some((t, u)) = self.free_two(0) else { return };
        let Some(fuel) = self.fuel(turns, true) else {
            return;
        };
        self.set(t, side);
        self.set(u, stack);
        self.op("sd", 0, t, u, 0);
        self.address(u, coroutine, 0);
        self.op("sd", 0, t, u, 8);
        let again = self.new_here();
        self.turning(turns, |this| {
            if this.choices.chance(50) {
                this.statements(1);
            }
            this.swap(switch, main, side);
            this.count(0, cost);
            if this.choices.chance(50) {
                this.statements(1);
            }
            this.burn(fuel, again, true);
        });
        self.scope.written |= (written & !bit(SP)) | switch.written() | switch.saved() & !site;
    }

    /// A place that is come back to from several frames further down, again and again.
    fn unwinding(&mut self, switch: &Switch) {
        let buffer = self.context(0);
        let turns = self.choices.magnitude((self.room() / 200).clamp(1, 50));
        // What is restored may be written on the way down only if nobody comes back up by returning.
        let always = self.choices.chance(60);
        let kept = if always {
            self.scope.kept & !switch.saved()
        } else {
            self.scope.kept
        };
        if switch.written() & kept != 0 {
            return;
        }
        let frames = self.choices.between(1, 5);
        let mut scope = self.scope(kept, self.room() / turns / frames);
        scope.frames_limit = self.scope.frames_limit - 20;
        scope.in_deep = self.scope.in_deep;
        let usable = ALL & !kept & !bit(SP) & !bit(self.home);
        let mut next: Option<(Label, u8)> = None;
        let (mut written, mut cost) = (0, 0);
        for _ in 0..frames {
            let Some(link) = self.choices.register(usable) else {
                return;
            };
            let label = self.label();
            let done = self.aside("thrower", scope.clone(), |this| {
                this.here(label);
                this.op("addi", SP, SP, 0, -16);
                this.op("sd", 0, SP, link, 0);
                this.statements(2);
                match next {
                    Some((callee, link)) => this.jump(link, callee),
                    None => this.throw(switch, buffer, always),
                }
                if this.choices.chance(50) {
                    this.statements(1);
                }
                this.op("ld", link, SP, 0, 0);
                this.op("addi", SP, SP, 0, 16);
                this.jump_register(link);
            });
            written |= done.written;
            cost += done.cost;
            self.scope.frames = self.scope.frames.max(done.frames + 3);
            self.scope.deep |= done.deep;
            next = Some((label, link));
        }
        let Some((chain, link)) = next else { return };
        let Some(fuel) = self.fuel(turns, true) else {
            return;
        };
        let (again, out) = (self.label(), self.label());
        self.set(switch.from, buffer);
        self.jump(switch.link, switch.save);
        self.count(switch.result, 20);
        self.here(again);
        self.turning(turns + 1, |this| {
            this.burn(fuel, out, false);
            this.statements(1);
            this.jump(link, chain);
            this.count(0, cost + 20);
            this.jump(0, again);
        });
        self.here(out);
        self.scope.written |= written & !bit(SP) | switch.written();
    }

    /// Leaves to the buffer, always or on some data.
    fn throw(&mut self, switch: &Switch, buffer: u64, always: bool) {
        let stay = self.label();
        if !always {
            self.branch_any(stay);
        }
        self.set(switch.from, buffer);
        if self.choices.chance(50) {
            self.jump(0, switch.load);
        } else {
            self.jump(switch.link, switch.load);
        }
        self.here(stay);
    }
}
