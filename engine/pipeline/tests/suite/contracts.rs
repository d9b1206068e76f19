//! A contract through the pipeline: deployed, called, read back, proved against the receipt that a later block carries.

use millrace_executor::ReadOnlyCall;
use millrace_pipeline::{BlockId, EngineConfig, Tag, TransactionStatus};
use millrace_types::state::storage_path;
use millrace_types::{Address, Outcome, Payload, SignedTransaction};

use crate::common::*;

static COUNTER: &[u8] = include_bytes!("../../../../contracts/artifacts/counter.elf");

fn signed(nonce: u64, payload: Payload) -> SignedTransaction {
    sign(0, nonce, 5_000_000, 1, payload)
}

fn executed(chain: &Chain, transaction: &SignedTransaction) -> millrace_types::TransactionReceipt {
    match chain.engine.transaction_status(&transaction.hash()).unwrap() {
        TransactionStatus::Executed {
            receipt,
            settled_by: Some(_),
            ..
        } => *receipt,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_counter_counts_and_its_slot_is_proved_by_a_settled_root() {
    let mut chain = Chain::in_memory(spec(), EngineConfig::default());
    let deploy = signed(
        0,
        Payload::Deploy {
            code: COUNTER.to_vec(),
            value: 0,
            input: Vec::new(),
        },
    );
    let contract = Address::of_deploy(&address(0), 0);
    let calls: Vec<SignedTransaction> = (1..6)
        .map(|nonce| {
            signed(
                nonce,
                Payload::Call {
                    to: contract,
                    value: 0,
                    input: vec![0x01],
                },
            )
        })
        .collect();
    for transaction in calls.iter().rev().chain([&deploy]) {
        chain.engine.submit_transaction(transaction.clone()).unwrap();
    }
    chain.run_until_idle();
    chain.wait_until_executed(chain.head.height);

    assert_eq!(executed(&chain, &deploy).created, Some(contract));
    for (count, call) in (1_u64..).zip(&calls) {
        let receipt = executed(&chain, call);
        assert_eq!(
            (receipt.outcome, receipt.output),
            (Outcome::Success, count.to_le_bytes().to_vec())
        );
        assert_eq!(receipt.logs.len(), 1);
    }

    let settled = chain.engine.state_at(BlockId::Tag(Tag::Settled)).unwrap();
    let path = storage_path(&contract, b"count");
    let value = settled.view.get(&path).unwrap().unwrap();
    assert_eq!(*value, 5_u64.to_le_bytes());
    let receipt = chain.engine.receipt(&settled.block.hash).unwrap().unwrap();
    let proof = settled.view.prove(&path).unwrap();
    millrace_state::verify_value(&receipt.post_state_root.0, &path, Some(&value), &proof).unwrap();

    let get = ReadOnlyCall {
        from: address(3),
        to: contract,
        value: 0,
        input: vec![0x10],
        gas_limit: 1_000_000,
    };
    let answer = chain.engine.call(&settled, get).unwrap();
    assert_eq!(
        (answer.outcome, answer.output),
        (Outcome::Success, 5_u64.to_le_bytes().to_vec())
    );
}
