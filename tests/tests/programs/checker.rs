//! The checker and the generator themselves.

use std::collections::BTreeMap;

use millrace_jit::isa::{Op, forms};
use millrace_jit::{End, Trap, TrapKind};
use millrace_tests::asm::form;
use millrace_tests::programs::check::{Loaded, difference, prefix_difference};
use millrace_tests::programs::choices::Choices;
use millrace_tests::programs::code::Item;
use millrace_tests::programs::generate::{Shape, generate};
use millrace_tests::programs::minimise::minimise;
use millrace_tests::programs::run::{Run, Setting};

use super::{load, setting};

/// A run with a few events and enough of everything.
fn some_run() -> Run {
    (1..100)
        .map(|seed| generate(&mut Choices::seeded(seed), Shape::OURS, String::new()))
        .map(|guest| load(&guest).reference(&setting(&guest)))
        .find(|run| run.events.len() > 4 && run.outcome.end == End::Returned && !run.output.is_empty())
        .expect("one in a hundred programs calls its host and returns")
}

#[track_caller]
fn check_is_seen(wanted: &str, change: impl FnOnce(&mut Run)) {
    let run = some_run();
    let mut other = run.clone();
    change(&mut other);
    let found = difference("another", &run, &other).expect("a changed run is another");
    assert!(found.what.contains(wanted), "{found}");
}

#[test]
fn equal_runs_are_equal() {
    let run = some_run();
    assert_eq!(difference("the same", &run, &run.clone()), None);
}

#[test]
fn every_part_of_a_run_is_compared() {
    check_is_seen("ecall 2 sees", |run| run.events[2].args[5] ^= 1 << 63);
    check_is_seen("ecall 0 sees", |run| run.events[0].number += 1);
    check_is_seen("ecall 1 sees", |run| run.events[1].gas_left -= 1);
    check_is_seen("ecall 3 sees", |run| run.events[3].memory ^= 1);
    check_is_seen("ecall 3 sees", |run| run.events[3].heap_pages += 1);
    check_is_seen("ecall 0 sees", |run| {
        run.events.remove(0);
    });
    check_is_seen("ecalls, the reference", |run| {
        run.events.pop();
    });
    check_is_seen("ends with", |run| run.outcome.end = End::Reverted);
    check_is_seen("gas used", |run| run.outcome.gas_used += 1);
    check_is_seen("instructions", |run| {
        run.outcome.instructions = run.outcome.instructions.map(|count| count + 1);
    });
    check_is_seen("exits with", |run| run.status = None);
    check_is_seen("memory at the end", |run| {
        run.memory = run.memory.map(|digest| !digest)
    });
    check_is_seen("register a0 at the end", |run| {
        let dump = run.output.len() - 0x3000 - 0x800;
        run.output[dump + 80] ^= 1;
    });
    check_is_seen("data + 0x1234", |run| {
        let dump = run.output.len() - 0x3000 - 0x800;
        run.output[dump + 0x1234] ^= 1;
    });
}

#[test]
fn kind_and_pc_of_a_trap_are_compared() {
    let trap = |kind, pc| {
        let mut run = some_run();
        run.outcome.end = End::Trapped(Trap { kind, pc });
        run
    };
    let fault = |write| TrapKind::AccessFault {
        address: 8,
        len: 8,
        write,
    };
    let run = trap(fault(true), 0x1_0000);
    assert_eq!(difference("the same", &run, &run.clone()), None);
    for other in [
        trap(fault(false), 0x1_0000),
        trap(fault(true), 0x1_0002),
        trap(TrapKind::OutOfGas, 0x1_0000),
    ] {
        let found = difference("another", &run, &other).expect("another trap is another");
        assert_eq!(found.pc, Some(0x1_0000));
    }
}

#[test]
fn a_run_with_less_gas_must_be_the_start_of_the_one_with_more() {
    let guest = (1..100)
        .map(|seed| generate(&mut Choices::seeded(seed), Shape::WHOLE, String::new()))
        .find(|guest| load(guest).reference(&setting(guest)).events.len() > 6)
        .expect("one in a hundred programs has events");
    let loaded = load(&guest);
    let full_setting = setting(&guest);
    let full = loaded.reference(&full_setting);
    let limit = full.outcome.gas_used / 2;
    let cut = loaded.reference(&Setting {
        gas_limit: limit,
        ..full_setting
    });
    let check = |cut: &Run| prefix_difference(&full, full_setting.gas_limit, cut, limit);
    assert_eq!(check(&cut), None);
    let mut wrong = cut.clone();
    wrong.outcome.end = End::Returned;
    assert!(check(&wrong).is_some(), "it cannot have returned");
    let mut wrong = full.clone();
    wrong.outcome = cut.outcome.clone();
    assert!(check(&wrong).is_some(), "events have too much gas left");
}

/// A tier that takes one operation for another is found out: it is the reference with the encodings exchanged.
#[track_caller]
fn check_is_found_out(right: &str, wrong: &str) {
    let (right, wrong) = (form(right), form(wrong));
    let find = |seed: u64| {
        let guest = generate(&mut Choices::seeded(seed), Shape::OURS, String::new());
        let mut mistaken = guest.clone();
        for item in mistaken.chunks.iter_mut().flat_map(|chunk| &mut chunk.items) {
            if let Item::Word(form, word) = item
                && form.name == right.name
            {
                *item = Item::Word(wrong, *word ^ right.pattern ^ wrong.pattern);
            }
        }
        let mut mine = Some(&guest);
        let loaded = Loaded::new(|| {
            // The reference's comes first.
            let image = mine.take().unwrap_or(&mistaken).image();
            image.expect("whole programs have their labels").program()
        });
        loaded.check(&setting(&guest)).difference
    };
    let found = (1..400).position(|seed| find(seed).is_some());
    println!("{} taken for {}: program {found:?}", right.name, wrong.name);
    assert!(
        found.is_some(),
        "nobody noticed {} for {}",
        wrong.name,
        right.name
    );
}

#[test]
fn a_wrong_operation_is_found_out() {
    let pairs = [
        ("add", "addw"),
        ("sltu", "slt"),
        ("mulhu", "mulh"),
        ("mulhsu", "mulhu"),
        ("sraiw", "srliw"),
        ("lwu", "lw"),
        ("lb", "lbu"),
        ("divw", "divuw"),
        ("remw", "remuw"),
        ("sh3add.uw", "sh3add"),
        ("rolw", "rol"),
        ("czero.eqz", "czero.nez"),
        ("amomax.w", "amomaxu.w"),
        ("amoadd.w", "amoadd.d"),
        ("sb", "sh"),
    ];
    for (right, wrong) in pairs {
        check_is_found_out(right, wrong);
    }
}

/// The minimiser, with a fault that is known: an instruction that is in the program is said to fail.
#[test]
fn the_smallest_failing_program_is_small() {
    let (guest, wanted) = (1..100)
        .map(|seed| generate(&mut Choices::seeded(seed), Shape::OURS, String::new()))
        .find_map(|guest| {
            let items = guest.chunks.iter().flat_map(|chunk| &chunk.items);
            let wanted = items
                .filter_map(|item| match item {
                    Item::Word(form, word) if form.op == Op::Clmulh => Some(*word),
                    _ => None,
                })
                .next();
            wanted.map(|wanted| (guest, wanted))
        })
        .expect("one in a hundred programs has it");
    let holds = |guest: &millrace_tests::programs::guest::Guest| {
        let image = guest.image().expect("only whole programs are tried");
        image
            .text
            .bytes
            .windows(4)
            .any(|bytes| bytes == wanted.to_le_bytes())
    };
    let smallest = minimise(&guest, 3000, holds);
    assert!(holds(&smallest));
    let bytes = |guest: &millrace_tests::programs::guest::Guest| {
        guest
            .image()
            .expect("whole programs have their labels")
            .text
            .bytes
            .len()
    };
    assert!(
        bytes(&smallest) < 40.min(bytes(&guest)),
        "{} bytes",
        bytes(&smallest)
    );
}

#[test]
fn the_same_seed_makes_the_same_program() {
    let image = || {
        let guest = generate(&mut Choices::seeded(7), Shape::OURS, String::new());
        guest.image().expect("whole programs have their labels").elf()
    };
    assert_eq!(image(), image());
}

/// Every form of the machine's table comes up: as an instruction, or as what jumps are made of.
#[test]
fn every_form_is_in_some_program() {
    let mut seen = BTreeMap::new();
    for seed in 1..400 {
        let shape = if seed % 2 == 0 { Shape::TRAPS } else { Shape::OURS };
        let guest = generate(&mut Choices::seeded(seed), shape, String::new());
        let image = guest.image().expect("whole programs have their labels");
        for name in image.forms() {
            *seen.entry(name).or_insert(0_u64) += 1;
        }
    }
    let missing: Vec<_> = forms()
        .iter()
        .map(|form| form.name)
        .filter(|name| !seen.contains_key(name))
        .collect();
    assert!(missing.is_empty(), "forms that no program has: {missing:?}");
    let least = seen.iter().min_by_key(|(_, count)| **count);
    println!("{} forms, the rarest {least:?}", seen.len());
}
