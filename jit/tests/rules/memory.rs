//! What is mapped at entry and later, and what hosts may touch.

use millrace_jit::{Ecall, End, Flow, Instance, Tier, TrapKind};

use crate::common::{DATA, DATA_LEN, Guest, RODATA, Ran, Returns, TEXT, v1};
use crate::{Answers, ECALL, bare, ops};

#[test]
fn registers_are_zero_at_entry_but_sp() {
    let mut instance = Instance::new(bare(TEXT, &ops(&[ECALL])));
    instance.run(Tier::Interpreter, 1000, &mut Returns);
    let mut expected = [0; 32];
    expected[2] = 0xffff_0000;
    assert_eq!(instance.registers(), &expected);
    instance.set_stack_pointer(0xfffe_fff0);
    instance.run(Tier::Interpreter, 1000, &mut Returns);
    assert_eq!(instance.registers()[2], 0xfffe_fff0);
}

#[test]
fn the_stack_is_mapped_whole_and_guarded() {
    let instance = Instance::new(bare(TEXT, &ops(&[ECALL])));
    let memory = instance.memory();
    let (top, bottom) = (0xffff_0000, 0xffff_0000 - (256 << 10));
    assert_eq!(memory.read(bottom, 256 << 10), Ok(&[0; 256 << 10][..]));
    memory.check_writable(bottom, 256 << 10).unwrap();
    for address in [bottom - 1, top] {
        let fault = TrapKind::AccessFault {
            address,
            len: 1,
            write: true,
        };
        assert_eq!(memory.check_writable(address, 1), Err(fault));
    }
}

fn fresh() -> Instance {
    Instance::new(
        Guest::new()
            .data(RODATA, b"constant")
            .data(DATA, b"variable")
            .ecall()
            .program(),
    )
}

#[test]
fn host_ranges_are_checked_in_the_page_table() {
    let mut instance = fresh();
    let memory = instance.memory_mut();
    assert_eq!(memory.read(RODATA, 8), Ok(&b"constant"[..]));
    assert_eq!(
        memory.read(DATA | 0xdead_beef << 32, 8),
        Ok(&b"variable"[..]),
        "pointers have 32 bits"
    );
    assert_eq!(memory.read(TEXT, 2).unwrap().len(), 2, "text can be read");
    assert_eq!(memory.write(DATA + 4094, b"abcd"), Ok(()));
    assert_eq!(memory.read(DATA + 4094, 4), Ok(&b"abcd"[..]));
    for (pointer, len) in [
        (0, 1),
        (DATA, DATA_LEN + 1),
        (DATA, u64::MAX),
        (0xffff_ffff, 2),
        (DATA, 1 << 32),
        (RODATA - 1, 2),
    ] {
        let fault = TrapKind::AccessFault {
            address: pointer,
            len,
            write: false,
        };
        assert_eq!(memory.read(pointer, len), Err(fault));
    }
    for (pointer, len) in [(RODATA, 1), (TEXT, 1), (DATA + DATA_LEN - 1, 2), (DATA - 1, 2)] {
        let fault = TrapKind::AccessFault {
            address: pointer,
            len,
            write: true,
        };
        assert_eq!(memory.check_writable(pointer, len), Err(fault));
        assert_eq!(memory.write(pointer, &vec![1; len as usize]), Err(fault));
    }
    assert_eq!(
        memory.read(DATA + DATA_LEN - 1, 1),
        Ok(&[0][..]),
        "nothing of a failed write is there"
    );
    for pointer in [0, u64::MAX, RODATA] {
        assert_eq!(memory.read(pointer, 0), Ok(&[][..]));
        assert_eq!(memory.write(pointer, &[]), Ok(()));
        assert_eq!(memory.check_writable(pointer, 0), Ok(()));
    }
}

#[test]
fn the_heap_grows_from_the_page_behind_the_image_to_its_maximum() {
    let mut instance = fresh();
    let memory = instance.memory_mut();
    let start = memory.heap_start();
    assert_eq!(start, 0x40_1000);
    assert_eq!((memory.heap_pages(), memory.grow_heap(0)), (0, Some(start)));
    assert!(memory.read(start, 1).is_err());
    assert_eq!(memory.grow_heap(2), Some(start));
    assert_eq!(memory.read(start, 8192), Ok(&[0; 8192][..]));
    assert!(memory.write(start + 8191, &[1, 2]).is_err());
    let maximum = v1().layout.heap_max_bytes / 4096;
    for pages in [maximum - 1, u32::MAX] {
        assert_eq!(memory.grow_heap(pages), None);
    }
    assert_eq!(memory.grow_heap(maximum - 2), Some(start + 8192));
    assert_eq!((memory.heap_pages(), memory.grow_heap(1)), (maximum, None));
    assert_eq!(memory.grow_heap(0), Some(start + u64::from(maximum) * 4096));
}

#[test]
fn guests_use_the_heap_that_they_were_granted() {
    let ran = Guest::new()
        .ecall()
        .op("sd", 0, 10, 10, 0)
        .op("ld", 11, 10, 0, 0)
        .ecall()
        .run_with(
            1 << 40,
            &mut Answers(|call: &mut Ecall<'_>| {
                if call.memory.heap_pages() > 0 {
                    return Flow::Return;
                }
                call.results[0] = call.memory.grow_heap(1).unwrap();
                Flow::Continue
            }),
        );
    assert_eq!(ran.outcome.end, End::Returned);
    assert_eq!(ran.instance.registers()[11], 0x40_1000);
}

#[test]
fn instances_of_a_program_share_nothing_that_changes() {
    let guest = Guest::new()
        .register(8, DATA)
        .op("lw", 9, 8, 0, 0)
        .op("addi", 9, 9, 0, 1)
        .op("sw", 0, 8, 9, 0)
        .ecall();
    let program = guest.program();
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut instance = Instance::new(program.clone());
                    let outcome = instance.run(Tier::Interpreter, 1 << 40, &mut Returns);
                    (outcome, instance.registers()[9])
                })
            })
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome.1 == 1 && outcome == &outcomes[0])
    );
}

#[test]
fn a_run_repeats_itself() {
    let twice = || -> Ran {
        Guest::new()
            .register(8, DATA)
            .op("sd", 0, 8, 2, 0)
            .op("ld", 9, 8, 0, 0)
            .ecall()
            .run()
    };
    let (first, second) = (twice(), twice());
    assert_eq!(first.outcome, second.outcome);
    assert_eq!(first.instance.registers(), second.instance.registers());
}
