//! A declined build is followed by word of work: after the answer, whatever overtakes what, and whatever the clock does.

use std::sync::mpsc;

use millrace_pipeline::{BuildAnswer, EngineConfig, Event, NotNow, Reply};
use millrace_types::ChainSpec;

use crate::common::*;

/// A transaction that comes after a build looked at the pool and before its answer is heard: word of it has to come
/// behind the answer, for before it a plugin does not wait.
#[test]
fn a_transaction_that_overtakes_the_answer_to_a_build_is_announced_behind_it() {
    let mut chain = Chain::in_memory(spec(), EngineConfig::default());
    let (answered, answer) = mpsc::channel();
    let engine = chain.engine.clone();
    let events = chain.engine.subscribe();
    let reply = Reply::new(move |answer: BuildAnswer| {
        engine.submit_transaction(transfer(0, 0, address(1), 1)).unwrap();
        assert_eq!(events.try_recv(), Ok(Event::Work), "it is announced at once");
        answered.send(answer).unwrap();
    });
    chain.engine.build(chain.request(), reply);
    let answer = answer.recv_timeout(PATIENCE).unwrap();
    assert_eq!(answer, BuildAnswer::NotNow(NotNow::Idle));
    for _ in 0..2 {
        chain.wait_for(|event| *event == Event::Work);
    }
    assert!(matches!(chain.turn(), Turn::Block(_)));
}

/// At the lag limit a transaction makes no build succeed, so it wakes nobody.
#[test]
fn transactions_do_not_wake_a_build_that_waits_for_execution() {
    let config = EngineConfig {
        slow_execution_ms: 400,
        ..EngineConfig::default()
    };
    let spec = ChainSpec {
        max_receipt_lag: 1,
        receipt_age: 1,
        ..spec()
    };
    let mut chain = Chain::in_memory(spec, config);
    submit_rounds(&chain, 0, 1);
    assert!(matches!(chain.turn(), Turn::Block(_)));
    assert!(matches!(chain.turn(), Turn::NotNow(NotNow::LagLimit { .. })));
    submit_rounds(&chain, 1, 20);
    let first = chain.wait_for(|event| matches!(event, Event::Work | Event::Executed { .. }));
    assert!(matches!(first, Event::Executed { .. }), "{first:?}");
    chain.wait_for(|event| *event == Event::Work);
    assert!(matches!(chain.turn(), Turn::Block(_)));
}

const YEAR_2100_MS: u64 = 4_102_444_800_000;

/// A clock that was set back: pressure asks for a distance from the parent that this clock cannot tell.
#[test]
fn a_clock_that_was_set_back_does_not_stop_a_chain_under_pressure() {
    let config = EngineConfig {
        slow_execution_ms: 20,
        ..EngineConfig::default()
    };
    // Room for a rung that asks for a distance.
    let spec = ChainSpec {
        max_receipt_lag: 8,
        ..spec()
    };
    let mut chain = Chain::in_memory(spec, config);
    submit_rounds(&chain, 0, 20);
    let mut is_pressed = false;
    loop {
        let mut request = chain.request();
        request.timestamp_ms = Some(YEAR_2100_MS);
        request.max_gas = Some(chain.engine.spec().limits.transaction_gas);
        match chain.build(request) {
            BuildAnswer::Built(block) => chain.finalize(&block),
            BuildAnswer::NotNow(NotNow::Idle) => break,
            BuildAnswer::NotNow(NotNow::Delay { for_ms }) => {
                panic!("{for_ms} ms from a parent in the future")
            }
            BuildAnswer::NotNow(_) => {
                chain.wait_for(|event| *event == Event::Work);
            }
            other => panic!("{other:?}"),
        }
        is_pressed |= chain.engine.pressure().min_interval_ms > 0;
    }
    assert!(is_pressed, "the ladder never asked for a distance");
}
