//! Gas by function: who called whom inside a frame, by the jumps that it took.
//!
//! Guests may jump as they like, so this is for people, but it loses no gas: whatever a frame uses belongs to the function
//! that the stack of calls says is running. Calls and returns are told apart by the link registers. A jump out of a
//! function's range that is neither is a call in place of a return, and the function that was left is not seen again.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use millrace_executor::{Jump, JumpKind};
use millrace_types::Gas;

/// Functions of one program by their addresses.
#[derive(Clone, Debug, Default)]
pub struct Ranges {
    /// First address, the one behind the last, and name; ascending, none over another.
    functions: Vec<(u64, u64, String)>,
}

impl Ranges {
    /// Of functions by address, length and name, ascending by address.
    pub fn new(functions: impl IntoIterator<Item = (u64, u64, String)>) -> Self {
        let mut ranges: Vec<(u64, u64, String)> = Vec::new();
        for (start, len, name) in functions {
            if let Some((before, end, _)) = ranges.last_mut() {
                if *before == start {
                    continue;
                }
                *end = (*end).min(start);
            }
            ranges.push((start, start.saturating_add(len), name));
        }
        Self { functions: ranges }
    }

    /// First address of the function around `pc`, and the one behind its last. Where none is known, one that begins there and
    /// has no end.
    fn around(&self, pc: u64) -> (u64, u64) {
        let after = self.functions.partition_point(|(start, ..)| *start <= pc);
        let next = self.functions.get(after).map_or(u64::MAX, |(start, ..)| *start);
        match after.checked_sub(1).map(|index| &self.functions[index]) {
            Some((start, end, _)) if pc < *end => (*start, *end),
            _ => (pc, next),
        }
    }

    /// The name of the function that begins at `start`; its address where it has none.
    pub fn name(&self, start: u64) -> String {
        match self.functions.binary_search_by_key(&start, |(start, ..)| *start) {
            Ok(index) => self.functions[index].2.clone(),
            Err(_) => format!("{start:#x}"),
        }
    }
}

/// What one function used in a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Used {
    /// How often it was called.
    pub calls: u64,
    /// By itself, its host calls included, without the frames that these ran.
    pub own: Gas,
    /// With the functions that it called.
    pub total: Gas,
    /// Activations that are under way.
    active: u32,
}

impl Used {
    /// What another frame's run of it used besides.
    pub fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.own += other.own;
        self.total += other.total;
    }
}

/// A function that is running, or waits for one that it called.
#[derive(Clone, Copy, Debug)]
struct Activation {
    /// First address, and the one behind the last.
    range: (u64, u64),
    returns_to: u64,
    /// What the frame had used when it began.
    since: Gas,
}

/// Deepest stack that is kept; what is called above it counts for the deepest function that is.
const MAX_DEPTH: usize = 1024;

/// The functions of one frame while it runs.
#[derive(Debug)]
pub struct Functions {
    ranges: Arc<Ranges>,
    stack: Vec<Activation>,
    /// How many of the stack wait at an address. A guest that returns to where nobody waits should not cost a walk of the stack.
    waiting: BTreeMap<u64, u32>,
    /// By first address.
    used: BTreeMap<u64, Used>,
    /// Gas left when somebody last looked.
    left: Gas,
    /// What the frame has used, frames that it called apart.
    spent: Gas,
}

impl Functions {
    /// At the first instruction, with so much gas left.
    pub fn start(ranges: Arc<Ranges>, entry: u64, left: Gas) -> Self {
        let mut functions = Self {
            ranges,
            stack: Vec::new(),
            waiting: BTreeMap::new(),
            used: BTreeMap::new(),
            left,
            spent: 0,
        };
        functions.push(entry, u64::MAX);
        functions
    }

    /// The frame jumps.
    pub fn jumped(&mut self, jump: Jump) {
        let running = self.stack.last().expect("a frame runs in a function").range;
        match jump.kind {
            JumpKind::Call { returns_to } => {
                self.charge(jump.gas_left);
                if self.stack.len() < MAX_DEPTH {
                    self.push(jump.to, returns_to);
                }
            }
            JumpKind::Return => {
                let waits = |one: &Activation| one.returns_to == jump.to;
                let is_awaited = self.waiting.contains_key(&jump.to);
                let found = is_awaited.then(|| self.stack.iter().rposition(waits)).flatten();
                // Where nobody waits at that address, it was a jump like others.
                match found {
                    Some(caller) if caller > 0 => {
                        self.charge(jump.gas_left);
                        while self.stack.len() > caller {
                            self.pop();
                        }
                    }
                    _ => self.within(running, jump),
                }
            }
            JumpKind::Within => self.within(running, jump),
        }
    }

    /// A jump that is no call and no return.
    fn within(&mut self, (start, end): (u64, u64), jump: Jump) {
        if (start..end).contains(&jump.to) {
            return;
        }
        self.charge(jump.gas_left);
        let returns_to = self.stack.last().map_or(u64::MAX, |one| one.returns_to);
        self.pop();
        self.push(jump.to, returns_to);
    }

    /// A frame that the running function called used so much.
    pub fn called(&mut self, gas: Gas) {
        self.left = self.left.saturating_sub(gas);
    }

    /// Where the functions go on that wait, the innermost first.
    pub fn returns_to(&self) -> Vec<u64> {
        let waiting = self.stack.iter().skip(1).rev();
        waiting.map(|activation| activation.returns_to).collect()
    }

    /// The frame ends, with so much gas left. What each function used, by first address.
    pub fn finish(mut self, left: Gas) -> Vec<(u64, Used)> {
        self.charge(left);
        while !self.stack.is_empty() {
            self.pop();
        }
        self.used.into_iter().collect()
    }

    /// Everything used since the last time was the running function's.
    fn charge(&mut self, left: Gas) {
        let gas = self.left.saturating_sub(left);
        self.left = left;
        self.spent += gas;
        let running = self.stack.last().expect("a frame runs in a function");
        self.used.entry(running.range.0).or_default().own += gas;
    }

    fn push(&mut self, pc: u64, returns_to: u64) {
        let range = self.ranges.around(pc);
        let used = self.used.entry(range.0).or_default();
        used.calls += 1;
        used.active += 1;
        *self.waiting.entry(returns_to).or_default() += 1;
        self.stack.push(Activation {
            range,
            returns_to,
            since: self.spent,
        });
    }

    fn pop(&mut self) {
        let Some(ended) = self.stack.pop() else { return };
        if let Entry::Occupied(mut waiting) = self.waiting.entry(ended.returns_to) {
            *waiting.get_mut() -= 1;
            if *waiting.get() == 0 {
                waiting.remove();
            }
        }
        let used = self.used.entry(ended.range.0).or_default();
        used.active -= 1;
        // Of activations within each other the outermost counts.
        if used.active == 0 {
            used.total += self.spent - ended.since;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges() -> Arc<Ranges> {
        Arc::new(Ranges::new([
            (0x100, 0x40, "main".to_owned()),
            (0x140, 0x20, "helper".to_owned()),
            (0x140, 0x10, "its other name".to_owned()),
            (0x160, 0x100, "tail".to_owned()),
            (0x180, 0x10, "end".to_owned()),
        ]))
    }

    fn jump(to: u64, kind: JumpKind, gas_left: Gas) -> Jump {
        Jump {
            from: 0,
            to,
            kind,
            gas_left,
        }
    }

    fn call(to: u64, returns_to: u64, gas_left: Gas) -> Jump {
        jump(to, JumpKind::Call { returns_to }, gas_left)
    }

    fn used(functions: Functions, left: Gas) -> Vec<(String, u64, Gas, Gas)> {
        let ranges = Arc::clone(&functions.ranges);
        let used = functions.finish(left).into_iter();
        used.map(|(start, used)| (ranges.name(start), used.calls, used.own, used.total))
            .collect()
    }

    fn row(name: &str, calls: u64, own: Gas, total: Gas) -> (String, u64, Gas, Gas) {
        (name.to_owned(), calls, own, total)
    }

    #[test]
    fn gas_belongs_to_who_runs_and_to_who_called() {
        let mut functions = Functions::start(ranges(), 0x100, 1000);
        functions.jumped(jump(0x120, JumpKind::Within, 990));
        functions.jumped(call(0x140, 0x124, 980));
        // A loop, and then back.
        functions.jumped(jump(0x144, JumpKind::Within, 970));
        functions.jumped(jump(0x124, JumpKind::Return, 950));
        functions.jumped(call(0x140, 0x128, 949));
        assert_eq!(functions.returns_to(), [0x128]);
        functions.jumped(jump(0x128, JumpKind::Return, 940));
        assert_eq!(
            used(functions, 900),
            [row("main", 1, 20 + 1 + 40, 100), row("helper", 2, 39, 39)]
        );
    }

    #[test]
    fn frames_that_were_called_are_not_counted() {
        let mut functions = Functions::start(ranges(), 0x100, 1000);
        functions.jumped(call(0x140, 0x124, 990));
        functions.called(500);
        functions.jumped(jump(0x124, JumpKind::Return, 480));
        assert_eq!(
            used(functions, 480),
            [row("main", 1, 10, 20), row("helper", 1, 10, 10)]
        );
    }

    #[test]
    fn recursion_counts_once_and_a_jump_out_of_a_function_takes_its_place() {
        let mut functions = Functions::start(ranges(), 0x100, 1000);
        functions.jumped(call(0x140, 0x108, 990));
        functions.jumped(call(0x140, 0x150, 980));
        functions.jumped(jump(0x160, JumpKind::Within, 970));
        // Through two frames at once: who waited at 0x108 goes on.
        functions.jumped(jump(0x108, JumpKind::Return, 960));
        assert_eq!(
            used(functions, 960),
            [
                row("main", 1, 10, 40),
                row("helper", 2, 20, 30),
                row("tail", 1, 10, 10)
            ]
        );
    }

    #[test]
    fn without_names_calls_make_functions_and_no_gas_is_lost() {
        let mut functions = Functions::start(Arc::default(), 0x100, 1000);
        functions.jumped(jump(0x50, JumpKind::Within, 999));
        functions.jumped(jump(0x300, JumpKind::Within, 998));
        functions.jumped(call(0x200, 0x308, 900));
        // A return to where nobody waits.
        functions.jumped(jump(0x204, JumpKind::Return, 800));
        for depth in 0..3000 {
            functions.jumped(call(0x200, 0x400 + depth, 700));
        }
        let total: Gas = functions.finish(0).iter().map(|(_, used)| used.own).sum();
        assert_eq!(total, 1000);
    }

    #[test]
    fn returns_to_where_nobody_waits_cost_no_walk_of_the_stack() {
        let mut functions = Functions::start(ranges(), 0x100, 5_000_000);
        for depth in 0..MAX_DEPTH as u64 {
            functions.jumped(call(0x140, 0x1000 + 4 * depth, 5_000_000 - depth));
        }
        // A walk for each would be two thousand million steps.
        for left in (0..2_000_000).rev() {
            functions.jumped(jump(0x142, JumpKind::Return, left));
        }
        assert_eq!(functions.returns_to().len(), MAX_DEPTH - 1);
        let total: Gas = functions.finish(0).iter().map(|(_, used)| used.own).sum();
        assert_eq!(total, 5_000_000);
    }

    #[test]
    fn whatever_a_frame_jumps_no_gas_is_lost_and_totals_hold_what_they_call() {
        let mut state = 1_u64;
        let mut random = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        for _ in 0..200 {
            let mut left = 100_000;
            let mut functions = Functions::start(ranges(), 0x100 + 2 * random(0xa0), left);
            let mut called = 0;
            for _ in 0..random(300) {
                left -= random(50);
                let to = 0xf0 + 2 * random(0xb8);
                let kind = match random(3) {
                    0 => JumpKind::Call {
                        returns_to: 0x100 + 2 * random(20),
                    },
                    1 => JumpKind::Return,
                    _ => JumpKind::Within,
                };
                functions.jumped(jump(to, kind, left));
                if random(9) == 0 {
                    let gas = random(100);
                    (left, called) = (left - gas, called + gas);
                    functions.called(gas);
                }
            }
            let used = functions.finish(left);
            let own: Gas = used.iter().map(|(_, used)| used.own).sum();
            assert_eq!(own, 100_000 - left - called);
            for (start, used) in used {
                assert!(
                    used.own <= used.total && used.total <= own,
                    "{start:#x}: {used:?}"
                );
                assert_eq!(used.active, 0);
            }
        }
    }

    #[test]
    fn ranges_that_overlap_are_cut_and_gaps_are_nobodys() {
        let ranges = ranges();
        assert_eq!(ranges.around(0x17e), (0x160, 0x180));
        assert_eq!(ranges.around(0x18e), (0x180, 0x190));
        assert_eq!(ranges.around(0x190), (0x190, u64::MAX));
        assert_eq!(ranges.around(0x20), (0x20, 0x100));
        assert_eq!(
            (ranges.name(0x140), ranges.name(0x20)),
            ("helper".into(), "0x20".into())
        );
    }
}
