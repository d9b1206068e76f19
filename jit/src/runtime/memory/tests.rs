//! A slot that was used is as new, and what hosts protect is what the table says.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::ops::Range;
use std::sync::Arc;

use proptest::prelude::*;

use super::reservation::{PAGE_SHIFT, host_page_bytes};
use super::template::Layout;
use super::*;
use crate::image::{OwnedSegment, Permissions};
use crate::machine::machine;

const PAGE: u32 = PAGE_BYTES;
const ALL: [Permissions; 3] = [
    Permissions::Read,
    Permissions::ReadExecute,
    Permissions::ReadWrite,
];

/// Segments of pages of data and of zeros after them, one behind the other, with gaps of pages.
fn program(segments: &[(Permissions, u32, u32, u32)]) -> Program {
    let mut address = 0x1_0000;
    let mut entry = 0;
    let mut owned = Vec::new();
    for &(permissions, filled, zero, gap) in segments {
        // The last page is not full.
        let data: Vec<u8> = (0..(filled * PAGE).saturating_sub(9))
            .map(|i| (i * 7 + address) as u8 | 1)
            .collect();
        if permissions == Permissions::ReadExecute {
            entry = address;
        }
        owned.push(OwnedSegment {
            address,
            memory_len: (filled + zero) * PAGE,
            data,
            permissions,
        });
        address += (filled + zero + gap) * PAGE;
    }
    Program::from_segments(owned, entry, machine(1).unwrap()).unwrap()
}

/// A contract's size: everything is copied.
fn small() -> Program {
    let [r, rx, rw] = ALL;
    program(&[(r, 1, 0, 0), (rx, 3, 0, 0), (rw, 1, 2, 0)])
}

/// Everything is mapped from a file, in parts, where there is one.
fn large() -> Program {
    let [r, rx, rw] = ALL;
    program(&[
        (r, 17, 1, 0),
        (rx, 20, 0, 3),
        (rw, 20, 30, 0),
        (rw, 5, 3, 1),
        (r, 2, 0, 0),
    ])
}

/// A slot laid out for a program, in some way.
struct Laid {
    program: Program,
    layout: Arc<Layout>,
    host_page: usize,
}

impl Laid {
    fn new(program: Program) -> Self {
        let layout = Arc::clone(program.template().layout());
        Self {
            program,
            layout,
            host_page: host_page_bytes(),
        }
    }

    fn without_file(program: Program) -> Self {
        let layout = Arc::new(Layout::new(&program, None));
        Self {
            program,
            layout,
            host_page: host_page_bytes(),
        }
    }

    fn on_larger_pages(program: Program) -> Self {
        let host_page = 64 << 10;
        Self {
            host_page,
            ..Self::without_file(program)
        }
    }

    fn slot(&self) -> Slot {
        let mut slot = Slot::on(self.host_page).unwrap();
        slot.lay(&self.program, &self.layout).unwrap();
        slot
    }

    fn lay(&self, slot: &mut Slot) {
        slot.blank().unwrap();
        slot.lay(&self.program, &self.layout).unwrap();
    }
}

fn ways() -> Vec<Laid> {
    vec![
        Laid::new(small()),
        Laid::new(large()),
        Laid::without_file(large()),
        Laid::on_larger_pages(small()),
        Laid::on_larger_pages(large()),
    ]
}

/// Runs of pages with a bit of the table.
fn pages_with(slot: &Slot, bit: u8) -> Vec<Range<u64>> {
    let table = slot.reservation.table();
    let mut runs: Vec<Range<u64>> = Vec::new();
    for (page, _) in table.iter().enumerate().filter(|(_, bits)| **bits & bit != 0) {
        let start = (page as u64) << PAGE_SHIFT;
        match runs.last_mut() {
            Some(last) if last.end == start => last.end += u64::from(PAGE),
            _ => runs.push(start..start + u64::from(PAGE)),
        }
    }
    runs
}

/// The host's protections of guest pages: readable ones, writable ones, and the number of maps that this takes.
fn protections(slot: &Slot) -> (Vec<Range<u64>>, Vec<Range<u64>>, usize) {
    let base = slot.reservation.base() as u64;
    let mut found = (Vec::new(), Vec::new(), 0);
    for line in std::fs::read_to_string("/proc/self/maps").unwrap().lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        let (start, end) = range.split_once('-').unwrap();
        let [start, end] = [start, end].map(|text| u64::from_str_radix(text, 16).unwrap());
        let (start, end) = (start.max(base), end.min(base + SPACE as u64));
        if start >= end {
            continue;
        }
        found.2 += 1;
        for (flag, list) in [("r", &mut found.0), ("w", &mut found.1)] {
            if !rest[..4].contains(flag) {
                continue;
            }
            let (start, end) = (start - base, end - base);
            match list.last_mut() {
                Some(Range { end: last, .. }) if *last == start => *last = end,
                _ => list.push(start..end),
            }
        }
    }
    found
}

fn check_protections(slot: &Slot) {
    if slot.reservation.host_protected() {
        let (readable, writable, _) = protections(slot);
        assert_eq!(readable, pages_with(slot, READ));
        assert_eq!(writable, pages_with(slot, WRITE));
    }
}

/// Fails unless nobody can tell `slot` from a new one.
fn check_untouched(slot: &mut Slot, laid: &Laid) {
    let mut new = laid.slot();
    assert_eq!(slot.heap_pages(), 0);
    assert!(slot.reservation.table() == new.reservation.table());
    check_protections(slot);
    let context = |slot: &Slot| {
        // SAFETY: the context area is readable and nobody writes it meanwhile.
        unsafe { std::slice::from_raw_parts(slot.reservation.context(), CONTEXT_BYTES) }.to_vec()
    };
    assert!(context(slot) == [0; CONTEXT_BYTES]);
    // Where the heap was, nothing is left either.
    slot.grow_heap(300).unwrap();
    new.grow_heap(300).unwrap();
    for run in pages_with(&new, READ) {
        let len = run.end - run.start;
        let bytes = slot.reservation.readable(run.start, len).unwrap();
        assert!(
            bytes == new.reservation.readable(run.start, len).unwrap(),
            "{run:x?}"
        );
    }
    slot.reset(&laid.program).unwrap();
}

fn dirty_everything(slot: &mut Slot) {
    // SAFETY: the context area is writable and nobody uses it meanwhile.
    unsafe { slot.reservation.context().write_bytes(0xaa, CONTEXT_BYTES) };
    for run in pages_with(slot, WRITE) {
        let bytes = slot.reservation.writable(run.start, run.end - run.start);
        bytes.unwrap().fill(0xaa);
    }
}

#[test]
fn whatever_was_written_is_gone_after_a_reset() {
    for laid in ways() {
        let mut slot = laid.slot();
        for heap in [0, 1, 300, 0, 8, 9] {
            check_untouched(&mut slot, &laid);
            slot.grow_heap(heap).unwrap();
            check_protections(&slot);
            dirty_everything(&mut slot);
            slot.reset(&laid.program).unwrap();
        }
        check_untouched(&mut slot, &laid);
    }
}

#[test]
fn a_new_slot_holds_what_the_program_says() {
    for laid in ways() {
        let slot = laid.slot();
        for segment in laid.program.segments() {
            let bytes = slot
                .reservation
                .readable(u64::from(segment.address), u64::from(segment.memory_len))
                .unwrap();
            let (data, zero) = bytes.split_at(segment.data.len());
            assert!(data == &*segment.data && zero.iter().all(|&byte| byte == 0));
            let is_writable = slot.reservation.is_writable(u64::from(segment.address), 1);
            assert_eq!(is_writable, segment.permissions == Permissions::ReadWrite);
        }
        check_protections(&slot);
    }
}

#[test]
fn a_slot_serves_one_program_after_the_other() {
    let programs = [
        Laid::new(small()),
        Laid::new(large()),
        Laid::without_file(large()),
    ];
    let mut slot = Slot::new().unwrap();
    for turn in 0..12 {
        let laid = &programs[turn * 5 % 7 % 3];
        laid.lay(&mut slot);
        check_untouched(&mut slot, laid);
        slot.grow_heap(turn as u32 * 5).unwrap();
        dirty_everything(&mut slot);
        if turn % 2 == 0 {
            slot.reset(&laid.program).unwrap();
        } else {
            slot.scrub_and_blank().unwrap();
            assert!(slot.reservation.table()[..0x1000].iter().all(|&bits| bits == 0));
        }
    }
}

#[test]
fn maps_of_a_slot_do_not_add_up() {
    let programs = [Laid::new(small()), Laid::new(large())];
    let mut slot = Slot::new().unwrap();
    let mut most = [0; 2];
    for turn in 0..200 {
        let laid = &programs[turn / 3 % 2];
        laid.lay(&mut slot);
        slot.grow_heap(turn as u32 % 50).unwrap();
        dirty_everything(&mut slot);
        slot.reset(&laid.program).unwrap();
        let maps = protections(&slot).2;
        let most = &mut most[turn / 3 % 2];
        if turn < 12 {
            *most = maps.max(*most);
        }
        assert!(maps <= *most, "{maps} maps in turn {turn}");
    }
    assert!(most[0] <= 8 && most[1] <= 14, "{most:?}");
}

/// Bytes of guest memory that this process holds pages for.
fn resident(slot: &Slot) -> u64 {
    let base = slot.reservation.base() as u64;
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let (mut inside, mut kib) = (false, 0);
    for line in smaps.lines() {
        let word = line.split_whitespace().next().unwrap_or_default();
        if let Some((start, _)) = word.split_once('-') {
            let start = u64::from_str_radix(start, 16).unwrap();
            inside = (base..base + SPACE as u64).contains(&start);
        } else if inside && word == "Rss:" {
            kib += line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap();
        }
    }
    kib << 10
}

#[test]
fn what_a_slot_keeps_from_the_host_is_little() {
    for laid in [
        Laid::new(small()),
        Laid::new(large()),
        Laid::without_file(large()),
    ] {
        let mut slot = laid.slot();
        let at_first = resident(&slot);
        slot.grow_heap(1000).unwrap();
        dirty_everything(&mut slot);
        slot.reset(&laid.program).unwrap();
        let kept = resident(&slot);
        assert!(kept <= at_first + (96 << 10), "{at_first} {kept}");
        slot.blank().unwrap();
        let kept = resident(&slot);
        assert!(kept <= 32 << 10, "{kept}: the stack's top and nothing else");
    }
}

#[test]
fn files_are_for_programs_that_are_large() {
    assert!(small().template().layout().file.is_none());
    let large = large();
    if Memory::host_protected() {
        assert!(large.template().layout().file.is_some());
    }
}

#[test]
fn the_context_lies_between_table_and_guard() {
    let laid = Laid::new(small());
    let slot = laid.slot();
    let (base, context) = (slot.reservation.base(), slot.reservation.context());
    assert_eq!(base as usize - context as usize, CONTEXT_OFFSET);
    let table = slot.reservation.table().as_ptr();
    assert_eq!(context as usize - table as usize, slot.reservation.table().len());
    assert!(reservation_holds(base as usize, context as usize));
    assert!(reservation_holds(base as usize, base as usize + SPACE + 0x1ffff));
    assert!(!reservation_holds(base as usize, context as usize - 1));
    assert!(!reservation_holds(base as usize, base as usize + SPACE + 0x20000));
}

#[test]
fn host_writes_and_heap_growth_are_recorded_once_switched_on() {
    let program = small();
    let mut memory = Memory::try_new(&program).unwrap();
    let stack = u64::from(program.machine().layout.stack_bottom());
    memory.write(stack, b"before").unwrap();
    memory.start_recording();
    memory.write((stack + 1) | (7 << 32), b"seen").unwrap();
    memory.write(stack, b"").unwrap();
    memory.check_writable(stack, 9).unwrap();
    memory.writable(0, 1).unwrap_err();
    memory.grow_heap(2).unwrap();
    memory.grow_heap(3).unwrap();
    assert_eq!(memory.grow_heap(u32::MAX), None);
    let heap = memory.heap_start();
    memory.writable(heap, 5 * 4096).unwrap();
    let mut recorded = Recorded {
        heap_pages: 9,
        written: vec![(1, 2)],
    };
    memory.take_recorded(&mut recorded);
    let expected = vec![(stack as u32 + 1, 4), (heap as u32, 5 * 4096)];
    assert_eq!((recorded.heap_pages, &recorded.written), (5, &expected));
    memory.write(heap, b"later").unwrap();
    memory.take_recorded(&mut recorded);
    assert_eq!(recorded.written, [(heap as u32, 5)]);
    memory.take_recorded(&mut recorded);
    assert_eq!(recorded, Recorded::default());
    memory.give_back(&program);
}

/// What an instance may do.
#[derive(Clone, Debug)]
enum Step {
    /// Writes into the writable page with this number, counted over all of them.
    Write {
        page: usize,
        offset: u32,
        len: u32,
    },
    /// Writes into the context.
    Context(usize),
    Grow(u32),
    /// Ends; the next one is of the same program.
    Return,
    /// Ends; the slot goes to another program.
    Other,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any::<usize>(), 0..PAGE, 1..PAGE).prop_map(|(page, offset, len)| Step::Write { page, offset, len }),
        1 => (0..CONTEXT_BYTES).prop_map(Step::Context),
        2 => prop_oneof![0..4u32, 0..40u32].prop_map(Step::Grow),
        2 => Just(Step::Return),
        1 => Just(Step::Other),
    ]
}

fn write(slot: &mut Slot, page: usize, offset: u32, len: u32) {
    let pages: Vec<u64> = pages_with(slot, WRITE)
        .into_iter()
        .flat_map(|run| run.step_by(PAGE as usize))
        .collect();
    let start = pages[page % pages.len()] + u64::from(offset);
    let len = u64::from(len.min(PAGE - offset));
    slot.reservation.writable(start, len).unwrap().fill(0x55);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_use_leaves_a_trace(steps in prop::collection::vec(step(), 1..60), larger in any::<bool>()) {
        let programs = if larger {
            [Laid::on_larger_pages(small()), Laid::on_larger_pages(large())]
        } else {
            [Laid::new(small()), Laid::new(large())]
        };
        let mut current = 0;
        let mut slot = programs[current].slot();
        for step in steps {
            match step {
                Step::Write { page, offset, len } => write(&mut slot, page, offset, len),
                Step::Context(at) => {
                    // SAFETY: the context area is writable and nobody uses it meanwhile.
                    unsafe { slot.reservation.context().add(at).write(0xaa) };
                }
                Step::Grow(pages) => slot.grow_heap(pages).unwrap(),
                Step::Return => {
                    slot.reset(&programs[current].program).unwrap();
                    check_untouched(&mut slot, &programs[current]);
                }
                Step::Other => {
                    slot.scrub_and_blank().unwrap();
                    current = 1 - current;
                    programs[current].lay(&mut slot);
                    check_untouched(&mut slot, &programs[current]);
                }
            }
        }
    }
}
