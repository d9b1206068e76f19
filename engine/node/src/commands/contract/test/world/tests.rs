use std::io::Write as _;
use std::os::unix::net::UnixStream;

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::super::protocol::{FrameError, MOST_FRAME_BYTES, receive, send};
use super::super::server;
use super::*;
use crate::commands::contract::check::development_spec;

const TOKEN: &[u8] = include_bytes!("../../../../../../../contracts/artifacts/token.elf");
const COUNTER: &[u8] = include_bytes!("../../../../../../../contracts/artifacts/counter.elf");
const ALICE: Address = Address([0xa1; 32]);
const BOB: Address = Address([0xb2; 32]);

fn bench() -> Arc<Bench> {
    Arc::new(Bench::new(
        TOKEN.to_vec(),
        TOKEN.to_vec(),
        None,
        development_spec(),
    ))
}

/// Runs `test` with enough stack for frames.
fn on_stack(test: impl FnOnce() + Send) {
    millrace_executor::on_large_stack(&development_spec(), test).expect("a thread");
}

fn greeted(bench: Arc<Bench>) -> World {
    let mut world = World::new(bench).expect("the development chain");
    assert_eq!(world.answer(Request::Hello { version: VERSION }), Answer::Done);
    world
}

fn deploy(world: &mut World, code: u32, value: Amount, input: Vec<u8>) -> (u8, Address) {
    let request = Request::Deploy {
        sender: ALICE,
        code,
        value,
        input,
    };
    match world.answer(request) {
        Answer::Ended { status, created, .. } => (status, created),
        other => panic!("{other:?}"),
    }
}

fn call(world: &mut World, sender: Address, contract: Address, input: Vec<u8>) -> (u8, Vec<u8>) {
    let request = Request::Call {
        sender,
        contract,
        value: 0,
        input,
    };
    match world.answer(request) {
        Answer::Ended { status, output, .. } => (status, output),
        other => panic!("{other:?}"),
    }
}

fn supply(units: u128) -> Vec<u8> {
    [&units.to_le_bytes()[..], b"\x04\0\0\0Mill"].concat()
}

fn transfer(to: Address, units: u128) -> Vec<u8> {
    [&[0x01][..], &to.0, &units.to_le_bytes()].concat()
}

#[test]
fn transactions_of_anyone_run_on_the_executor_and_keep_what_they_do() {
    on_stack(|| {
        let bench = bench();
        let mut world = greeted(Arc::clone(&bench));
        let (status, token) = deploy(&mut world, 0, 0, supply(1000));
        assert_eq!(status, 0);
        assert_eq!(
            call(&mut world, ALICE, token, transfer(BOB, 300)),
            (0, Vec::new())
        );
        let (status, output) = call(&mut world, BOB, token, transfer(ALICE, 301));
        assert_eq!(
            (status, output.as_slice()),
            (status::REVERTED, &b"InsufficientBalance"[..])
        );
        let key = [&b"balance/"[..], &BOB.0].concat();
        let stored = world.answer(Request::Storage { contract: token, key });
        assert_eq!(stored, Answer::Value(Some(300_u128.to_le_bytes().to_vec())));
        // Two balances, the supply and the name; accounts and code are none.
        assert_eq!(world.answer(Request::StorageEntries), Answer::Number(4));
        let Answer::Logs(logs) = world.answer(Request::TakeLogs) else {
            panic!("logs were asked for")
        };
        assert_eq!((logs.len(), logs[0].contract), (1, token));
        assert_eq!(world.answer(Request::TakeLogs), Answer::Logs(Vec::new()));
        let gas = bench.gas_as_json();
        let transfers = gas
            .iter()
            .find(|of| of["function"] == "0x01")
            .expect("it was called");
        assert_eq!(
            (&transfers["successes"], &transfers["others"]),
            (&json(1), &json(1))
        );
        assert!(transfers["least"].as_u64() > Some(10_000), "{transfers}");
        assert_eq!(bench.counts(), (0, 0));
    });
}

fn json(number: u64) -> serde_json::Value {
    number.into()
}

#[test]
fn a_transaction_has_the_chain_s_gas_and_not_a_unit_more() {
    on_stack(|| {
        let with = |gas: Option<u64>| {
            let mut spec = development_spec();
            spec.limits.transaction_gas = gas.unwrap_or(spec.limits.transaction_gas);
            let bench = Arc::new(Bench::new(TOKEN.to_vec(), TOKEN.to_vec(), None, spec));
            let status = deploy(&mut greeted(Arc::clone(&bench)), 0, 0, supply(1)).0;
            (status, bench.gas_as_json()[0]["most"].as_u64().expect("a number"))
        };
        let (status, least) = with(None);
        assert_eq!(status, 0);
        assert_eq!(with(Some(least)), (0, least));
        assert_eq!(with(Some(least - 1)).0, status::TRAPPED);
    });
}

#[test]
fn programs_by_name_are_those_of_the_project() {
    let mut world = greeted(bench());
    let name = "token".to_owned();
    let answer = world.answer(Request::Program { name });
    assert_eq!(
        answer,
        Answer::Failed("there is no project whose programs could be built".into())
    );
}

#[test]
fn value_other_codes_and_refusals_are_those_of_the_chain() {
    on_stack(|| {
        let mut world = greeted(bench());
        assert_eq!(
            deploy(&mut world, 0, 5, supply(1)).0,
            status::INSUFFICIENT_BALANCE
        );
        let fund = Request::Fund {
            account: ALICE,
            units: 7,
        };
        assert_eq!(world.answer(fund), Answer::Done);
        assert_eq!(
            deploy(&mut world, 0, 5, supply(1)).0,
            status::REVERTED,
            "it takes no value"
        );
        assert_eq!(
            world.answer(Request::Balance { account: ALICE }),
            Answer::Number(7)
        );
        assert_eq!(call(&mut world, ALICE, BOB, vec![1]).0, status::NO_CODE);
        let register = |code: &[u8]| Request::Register { code: code.to_vec() };
        assert_eq!(world.answer(register(COUNTER)), Answer::Number(1));
        assert_eq!(world.answer(register(b"no program")), Answer::Number(2));
        let (status, counter) = deploy(&mut world, 1, 0, Vec::new());
        assert_eq!(
            (status, call(&mut world, BOB, counter, vec![1])),
            (0, (0, 1_u64.to_le_bytes().to_vec()))
        );
        assert_eq!(deploy(&mut world, 2, 0, Vec::new()).0, status::INVALID_PROGRAM);
        let unknown = Request::Deploy {
            sender: ALICE,
            code: 3,
            value: 0,
            input: Vec::new(),
        };
        assert!(matches!(world.answer(unknown), Answer::Failed(_)));
        let units = |units| Request::Fund { account: BOB, units };
        let rest = (1 << 127) - 7;
        assert!(matches!(world.answer(units(rest)), Answer::Failed(_)));
        assert!(matches!(world.answer(units(u128::MAX)), Answer::Failed(_)));
        assert_eq!(world.answer(units(rest - 1)), Answer::Done);
        let depth = |depth| Request::SetCallDepth { depth };
        assert_eq!(world.answer(depth(9)), Answer::Done);
        assert!(matches!(world.answer(depth(0)), Answer::Failed(_)));
        assert!(matches!(world.answer(depth(u64::MAX)), Answer::Failed(_)));
    });
}

#[test]
fn any_difference_between_the_tiers_is_found() {
    on_stack(|| {
        let bench = bench();
        let world = greeted(Arc::clone(&bench));
        let payload = Payload::Deploy {
            code: TOKEN.to_vec(),
            value: 0,
            input: supply(1),
        };
        let run = world
            .executors
            .interpreter
            .execute_unsigned(&world.block, &ALICE, &payload, bench.gas(), &world.state)
            .expect("a deploy");
        let differs = |change: &dyn Fn(&mut UnsignedOutput)| {
            let mut other = run.clone();
            change(&mut other);
            difference(&Ok(run.clone()), &Ok(other))
        };
        assert_eq!(differs(&|_| {}), None);
        for (name, change) in [
            (
                "outcome",
                &(|run: &mut UnsignedOutput| run.outcome = Outcome::Trapped) as &dyn Fn(&mut UnsignedOutput),
            ),
            ("gas", &|run: &mut UnsignedOutput| run.gas_used += 1),
            ("output", &|run: &mut UnsignedOutput| run.output.push(0)),
            ("created", &|run: &mut UnsignedOutput| run.created = None),
            ("changes", &|run: &mut UnsignedOutput| {
                run.changes.pop_first();
            }),
            ("the accounts", &|run: &mut UnsignedOutput| {
                run.accounts.pop_first();
            }),
        ] {
            let found = differs(change).expect(name);
            assert!(found.starts_with(name), "{name}: {found}");
        }
        let failed = ExecutionError::TooMuchValue { value: 1 };
        assert!(difference(&Ok(run), &Err(failed)).is_some());
    });
}

#[test]
fn the_version_comes_first() {
    let mut world = World::new(bench()).expect("the development chain");
    assert!(matches!(world.answer(Request::TakeLogs), Answer::Failed(_)));
    let newer = Request::Hello { version: VERSION + 1 };
    assert!(matches!(world.answer(newer), Answer::Failed(_)));
}

#[test]
fn frames_that_hold_no_request_are_refused_and_take_no_memory() {
    let receive = |bytes: &[u8]| receive(&mut &bytes[..]);
    assert!(matches!(receive(&[]), Ok(None)));
    let long = u32::try_from(MOST_FRAME_BYTES + 1).expect("small").to_le_bytes();
    assert!(matches!(receive(&long), Err(FrameError::TooLong(_))));
    // A frame that says much and brings little, and a value in it that does.
    assert!(matches!(
        receive(&[0, 0, 0x10, 0, 3]),
        Err(FrameError::Malformed(_))
    ));
    assert!(matches!(
        receive(&[5, 0, 0, 0, 3, 255, 255, 255, 255]),
        Err(FrameError::Malformed(_))
    ));
    assert!(matches!(
        receive(&[1, 0, 0, 0, 99]),
        Err(FrameError::Malformed(_))
    ));
    let mut random = ChaCha8Rng::seed_from_u64(7);
    for _ in 0..20_000 {
        let len = random.random_range(0..80_u32);
        let mut frame = len.to_le_bytes().to_vec();
        frame.extend((0..len).map(|at| {
            if at == 0 {
                random.random_range(0..13)
            } else {
                random.random()
            }
        }));
        if let Ok(Some(request)) = receive(&frame) {
            assert_eq!(borsh::to_vec(&request).expect("encodes"), frame[4..], "canonical");
        }
    }
}

#[test]
fn a_connection_that_speaks_nonsense_is_told_so_and_closed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (socket, bench) = (folder.path().join("host"), bench());
    server::listen(&socket, Arc::clone(&bench)).expect("a socket");
    let mut stream = UnixStream::connect(&socket).expect("it listens");
    stream.write_all(&[1, 0, 0, 0, 99]).expect("it reads");
    let mut said = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut said).expect("it answers and closes");
    let mut expected = Vec::new();
    let refused = receive(&mut &[1, 0, 0, 0, 99][..])
        .expect_err("nonsense")
        .to_string();
    send(&mut expected, &Answer::Failed(refused)).expect("memory");
    assert_eq!(said, expected);
    assert_eq!(bench.counts().0, 1);
}
