//! What a tracer is told: every host call that did something, frames that never began, and where a run stopped.
//!
//! That a trace comes to the same as an execution, and accounts for it, is checked of everything that this suite executes
//! (`common/traced.rs`).

use std::cell::RefCell;

use millrace_executor::host::status;
use millrace_executor::{HostEvent, Jump, JumpKind, Stopped, TracedEnd, TracedFrame, Tracer};
use millrace_types::{Address, Gas, Outcome, Payload};

use crate::common::world::contract;
use crate::common::{Script, World, elf_with_constants};

/// Writes everything down as text.
#[derive(Default)]
struct Told {
    lines: RefCell<Vec<String>>,
    calls: RefCell<(u32, u32)>,
}

impl Told {
    fn tell(&self, line: String) {
        self.lines.borrow_mut().push(line);
    }
}

impl Tracer for Told {
    fn enters(&self, frame: &TracedFrame<'_>) {
        let what = if frame.is_initialiser { "create" } else { "call" };
        self.tell(format!("{what} at {} with {}", frame.depth, frame.value));
    }

    fn starts(&self, entry: u64, _: Gas) {
        assert!(entry > 0);
    }

    fn stopped(&self, at: &Stopped<'_>) {
        assert!(at.pc > 0);
    }

    fn leaves(&self, end: &TracedEnd, output: &[u8], _: Gas) {
        self.tell(match end {
            TracedEnd::Returned => format!("returned {} bytes", output.len()),
            TracedEnd::Reverted => "reverted".to_owned(),
            TracedEnd::Trapped(trap) => format!("trapped: {}", trap.kind),
        });
    }

    fn host_call(&self, event: &HostEvent<'_>, gas: Gas) {
        assert!(gas > 0, "no host call is free");
        self.tell(match event {
            HostEvent::Log { topics, data } => format!("log of {} topics, {data:?}", topics.len()),
            HostEvent::Transfer { to, value, moved } => {
                format!("transfer of {value} to {}: {moved}", to.0[0])
            }
            HostEvent::Refused { to, status } => {
                format!("refused {:?}: {status}", to.map(|to| to.0[0]))
            }
            other => format!("{other:?}"),
        });
    }

    fn jumped(&self, jump: Jump) {
        let mut calls = self.calls.borrow_mut();
        match jump.kind {
            JumpKind::Call { returns_to } => {
                assert!((jump.from + 2..=jump.from + 4).contains(&returns_to));
                calls.0 += 1;
            }
            JumpKind::Return => calls.1 += 1,
            JumpKind::Within => {}
        }
    }
}

fn told(script: Vec<u8>, gas: Gas) -> (Outcome, Vec<String>) {
    told_in(&World::new(), script, gas)
}

fn told_in(world: &World, script: Vec<u8>, gas: Gas) -> (Outcome, Vec<String>) {
    let payload = Payload::Call {
        to: contract(0),
        value: 3,
        input: script,
    };
    let (from, told) = (Address([9; 32]), Told::default());
    let done = world
        .executor
        .trace_payload(&world.block, &from, &payload, gas, &world.state, &told)
        .unwrap();
    let untraced = world
        .executor
        .try_payload(&world.block, &from, &payload, gas, &world.state)
        .unwrap();
    assert_eq!(done, untraced, "a trace changes nothing");
    (done.outcome, told.lines.into_inner())
}

#[test]
fn every_host_call_that_does_something_is_told() {
    let nobody = Address([0x33; 32]);
    let inner = Script::new().storage_set(b"k", b"inner").reverting(5);
    let script = Script::new()
        .storage_set(b"k", b"one")
        .storage_get(b"k", 0, 8)
        .storage_set(b"k", b"")
        .storage_remove(b"k")
        .storage_get(b"k", 0, 8)
        .transient_set(b"t", b"x")
        .transient_get(b"t", 0, 8)
        .transient_get(b"u", 0, 8)
        .log(&[[1; 32], [2; 32]], b"!")
        .transfer(&nobody, 4)
        .transfer(&nobody, 1 << 100)
        .call(&contract(1), 2, 300_000, &inner)
        .call(&contract(1), 0, 1, &[])
        .call(&nobody, 0, 300_000, &[])
        .call(&contract(1), 1 << 100, 300_000, &[])
        .create(0, 500_000, b"no program", &[], 0)
        .finish();
    let (outcome, lines) = told(script, 50_000_000);
    assert_eq!(outcome, Outcome::Success);
    let some = |bytes: &[u8]| Some(bytes.to_vec());
    let slot = |key: &[u8], before: Option<Vec<u8>>, after: Option<Vec<u8>>| {
        let (before, after) = (before.as_deref(), after.as_deref());
        format!("{:?}", HostEvent::StorageWritten { key, before, after })
    };
    let read = |key: &[u8], value: Option<&[u8]>| format!("{:?}", HostEvent::StorageRead { key, value });
    let transient =
        |key: &[u8], value: Option<&[u8]>| format!("{:?}", HostEvent::TransientRead { key, value });
    let refused = |to: Option<u8>, status: u64| format!("refused {to:?}: {status}");
    let expected = [
        "call at 1 with 3".to_owned(),
        slot(b"k", None, some(b"one")),
        read(b"k", Some(b"one")),
        slot(b"k", some(b"one"), some(b"")),
        slot(b"k", some(b""), None),
        read(b"k", None),
        format!(
            "{:?}",
            HostEvent::TransientWritten {
                key: b"t",
                after: Some(b"x")
            }
        ),
        transient(b"t", Some(b"x")),
        transient(b"u", None),
        "log of 2 topics, [33]".to_owned(),
        "transfer of 4 to 51: true".to_owned(),
        format!("transfer of {} to 51: false", 1_u128 << 100),
        "call at 2 with 2".to_owned(),
        slot(b"k", None, some(b"inner")),
        "reverted".to_owned(),
        "call at 2 with 0".to_owned(),
        "trapped: out of gas".to_owned(),
        refused(Some(0x33), status::NO_CODE),
        refused(Some(0xc1), status::INSUFFICIENT_BALANCE),
        refused(None, status::INVALID_PROGRAM),
        "returned 0 bytes".to_owned(),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_frame_that_never_began_is_told_too() {
    let (outcome, lines) = told(Script::new().finish(), 10);
    assert_eq!((outcome, lines.len()), (Outcome::Trapped, 0), "{lines:?}");
    let mut world = World::new();
    let other = world.install(&elf_with_constants(7));
    let script = Script::new().call(&other, 0, 10, &[]).finish();
    let (outcome, lines) = told_in(&world, script, 5_000_000);
    let refused = format!("refused {:?}: {}", Some(other.0[0]), status::TRAPPED);
    assert_eq!(
        (outcome, &lines[1..]),
        (Outcome::Success, &[refused, "returned 0 bytes".to_owned()][..])
    );
    let (outcome, lines) = told(Script::new().trapping(), 5_000_000);
    assert_eq!(outcome, Outcome::Trapped);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[1].starts_with("trapped: "), "{lines:?}");
}

#[test]
fn counters_are_told() {
    let (_, lines) = told(Script::new().counter_add(b"n", 7).finish(), 5_000_000);
    let added = format!("{:?}", HostEvent::CounterAdded { key: b"n", amount: 7 });
    assert_eq!(lines[1], added);
}
