//! Values: what is proven comes out, what is not does not; and no change to an answer brings out another value.
#![allow(clippy::unwrap_used)]

mod common;

use std::fmt::Debug;

use borsh::{BorshDeserialize, BorshSerialize};
use common::*;
use millrace_light_client::{CertifiedHeader, LightClient, Verified, VerifyError};
use millrace_types::codec::{decode, encode};
use millrace_types::{Address, ExecutionReceipt, Hash, Header};
use proptest::prelude::*;

/// A height that is settled and has three transactions.
const HEIGHT: u64 = 7;

fn chains() -> [Chain; 2] {
    OPTIONS.map(|commitment| Chain::new(commitment, 12))
}

fn transaction(chain: &Chain, index: usize) -> Hash {
    chain.blocks[HEIGHT as usize].transactions[index].hash()
}

#[test]
fn everything_true_is_proven() {
    for chain in chains() {
        let client = chain.synced();
        for height in 0..=client.executed_height() {
            let balance = |address: &Address| {
                let verified = client
                    .verify_account(height, address, chain.account(height, address))
                    .unwrap();
                assert_eq!(verified.provenance.height, height);
                verified.value.map(|account| account.balance)
            };
            assert_eq!(balance(&user_address()), Some(1_000_000));
            assert_eq!(balance(&Address([200; 32])), None);
            let storage = |key: &[u8]| {
                client
                    .verify_storage(height, &contract(), key, chain.storage(height, key))
                    .unwrap()
                    .value
            };
            assert_eq!(
                storage(COUNTER),
                (height > 0).then(|| height.to_le_bytes().to_vec())
            );
            assert_eq!(storage(ABSENT), None);
            let code = |address: &Address| {
                client
                    .verify_code(height, address, chain.code(height, address))
                    .unwrap()
                    .value
            };
            assert_eq!(code(&contract()), (height > 0).then(|| CODE.to_vec()));
            assert_eq!(code(&user_address()), None);
            let built = &chain.blocks[height as usize];
            for (index, signed) in (0..).zip(&built.transactions) {
                let hash = signed.hash();
                let inclusion = chain.inclusion(height, index);
                assert_eq!(client.verify_transaction(height, &hash, &inclusion), Ok(index));
                let answer = chain.transaction_receipt(height, index);
                let receipt = client
                    .verify_transaction_receipt(height, &hash, answer.clone())
                    .unwrap();
                assert_eq!(receipt.value, built.transaction_receipts[index as usize]);
                let settling = &chain.blocks[receipt.provenance.settled_by as usize];
                assert!(settling.settles.contains(&built.receipt));
                for log in 0..2 {
                    let verified = client.verify_log(height, &hash, log, answer.clone()).unwrap();
                    assert_eq!(verified.value, receipt.value.logs[log as usize]);
                }
                let beyond = client.verify_log(height, &hash, 2, answer);
                assert_eq!(beyond, Err(VerifyError::NoSuchLog { index: 2, count: 2 }));
            }
        }
    }
}

#[test]
fn answers_to_other_questions_are_refused() {
    for chain in chains() {
        let client = chain.synced();
        let (user, contract, stranger) = (user_address(), contract(), stranger());
        let account = |address, answer| client.verify_account(HEIGHT, address, answer);
        assert!(account(&user, chain.account(HEIGHT, &stranger)).is_err());
        assert!(
            account(&user, chain.account(HEIGHT - 1, &user)).is_err(),
            "the root of another height"
        );
        let mut denied = chain.account(HEIGHT, &user);
        denied.account = None;
        assert!(account(&user, denied).is_err());
        let mut invented = chain.account(HEIGHT, &Address([200; 32]));
        invented.account = chain.account(HEIGHT, &user).account;
        assert!(account(&Address([200; 32]), invented).is_err());

        let storage = |key, answer| client.verify_storage(HEIGHT, &contract, key, answer);
        assert!(storage(COUNTER, chain.storage(HEIGHT, ABSENT)).is_err());
        assert!(storage(ABSENT, chain.storage(HEIGHT, COUNTER)).is_err());
        let elsewhere = client.verify_storage(HEIGHT, &user, COUNTER, chain.storage(HEIGHT, COUNTER));
        assert!(elsewhere.is_err());

        let mut codeless = chain.code(HEIGHT, &contract);
        codeless.code = None;
        assert!(matches!(
            client.verify_code(HEIGHT, &contract, codeless),
            Err(VerifyError::Code { .. })
        ));

        let (first, second) = (transaction(&chain, 0), transaction(&chain, 1));
        assert!(
            client
                .verify_transaction(HEIGHT, &second, &chain.inclusion(HEIGHT, 0))
                .is_err()
        );
        let other = client.verify_transaction_receipt(HEIGHT, &first, chain.transaction_receipt(HEIGHT, 1));
        assert_eq!(
            other,
            Err(VerifyError::OtherTransaction {
                found: second,
                asked: first
            })
        );
        let mut moved = chain.transaction_receipt(HEIGHT, 0);
        moved.proof = chain.transaction_receipt(HEIGHT, 1).proof;
        assert!(client.verify_transaction_receipt(HEIGHT, &first, moved).is_err());
        let later = client.verify_transaction(13, &first, &chain.inclusion(HEIGHT, 0));
        assert_eq!(
            later,
            Err(VerifyError::NotKept {
                height: 13,
                oldest: 0,
                newest: 12
            })
        );
    }
}

#[test]
fn nothing_is_proven_about_heights_that_are_not_settled() {
    for chain in chains() {
        let client = chain.synced();
        let height = client.executed_height() + 1;
        let account = client.verify_account(height, &user_address(), chain.account(height, &user_address()));
        assert!(matches!(account, Err(VerifyError::Root(_))));
        let receipt = client.receipt(height).unwrap_err();
        assert!(
            receipt
                .to_string()
                .starts_with(&format!("height {height} is not settled"))
        );
    }
}

/// Asks one question with answers in bytes; `Some` with a text of the verified value if the answer is taken.
type Question = Box<dyn Fn(&[u8]) -> Option<String>>;

/// A question, and the true answer in bytes.
fn question<A, V>(answer: A, verify: impl Fn(A) -> Result<V, VerifyError> + 'static) -> (Vec<u8>, Question)
where
    A: BorshSerialize + BorshDeserialize + 'static,
    V: Debug,
{
    let ask = move |bytes: &[u8]| {
        let answer = decode::<A>(bytes, 1 << 20).ok()?;
        verify(answer).ok().map(|value| format!("{value:?}"))
    };
    (encode(&answer), Box::new(ask))
}

/// Every kind of question to a client that follows this chain.
fn questions(chain: &Chain) -> Vec<(Vec<u8>, Question)> {
    let client = || chain.synced();
    let (user, absent, contract) = (user_address(), Address([200; 32]), contract());
    let hash = transaction(chain, 1);
    let value = |result: Verified<Option<Vec<u8>>>| (result.value, result.provenance);
    let clients: [LightClient; 9] = std::array::from_fn(|_| client());
    let [c0, c1, c2, c3, c4, c5, c6, c7, c8] = clients;
    vec![
        question(chain.account(HEIGHT, &user), move |answer| {
            c0.verify_account(HEIGHT, &user, answer)
        }),
        question(chain.account(HEIGHT, &absent), move |answer| {
            c1.verify_account(HEIGHT, &absent, answer)
        }),
        question(chain.storage(HEIGHT, COUNTER), move |answer| {
            c2.verify_storage(HEIGHT, &contract, COUNTER, answer).map(value)
        }),
        question(chain.storage(HEIGHT, ABSENT), move |answer| {
            c3.verify_storage(HEIGHT, &contract, ABSENT, answer).map(value)
        }),
        question(chain.code(HEIGHT, &contract), move |answer| {
            c4.verify_code(HEIGHT, &contract, answer)
        }),
        question(chain.code(HEIGHT, &user), move |answer| {
            c5.verify_code(HEIGHT, &user, answer)
        }),
        question(chain.inclusion(HEIGHT, 1), move |answer| {
            c6.verify_transaction(HEIGHT, &hash, &answer)
        }),
        question(chain.transaction_receipt(HEIGHT, 1), move |answer| {
            c7.verify_transaction_receipt(HEIGHT, &hash, answer)
        }),
        question(chain.transaction_receipt(HEIGHT, 1), move |answer| {
            c8.verify_log(HEIGHT, &hash, 0, answer)
        }),
    ]
}

/// The answer is refused, or the value is the true one.
fn never_another(ask: &Question, answer: &[u8], truth: &str) {
    if let Some(value) = ask(answer) {
        assert_eq!(value, truth);
    }
}

#[test]
fn no_changed_byte_of_an_answer_brings_out_another_value() {
    for chain in chains() {
        let questions = questions(&chain);
        for (answer, ask) in &questions {
            let truth = ask(answer).expect("the true answer is taken");
            for at in 0..answer.len() {
                for mask in [0x01, 0x80, 0xff] {
                    let mut changed = answer.clone();
                    changed[at] ^= mask;
                    assert_eq!(ask(&changed), None, "byte {at} of {truth}");
                }
                let mut dropped = answer.clone();
                dropped.remove(at);
                never_another(ask, &dropped, &truth);
                never_another(ask, &answer[..at], &truth);
            }
            for (other, _) in &questions {
                never_another(ask, other, &truth);
            }
        }
    }
}

#[test]
fn no_changed_byte_of_a_settlement_brings_out_another_receipt() {
    for chain in chains() {
        let built = chain
            .blocks
            .iter()
            .find(|built| built.settles.len() == 2)
            .unwrap();
        let bytes = encode(&built.settles);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            let mut client = chain.client();
            client.advance(&chain.batch(1..=12)).unwrap();
            if let Ok(receipts) = ExecutionReceipt::decode_list(&changed, &chain.spec) {
                assert!(
                    client.settle(built.header.height, &receipts).is_err(),
                    "byte {at}"
                );
            }
            assert!(client.receipt(built.settles[0].height).is_err());
        }
    }
}

/// Whatever the batch was, the client's finalized headers are those of the chain.
fn only_true_headers(chain: &Chain, batch: &[CertifiedHeader]) {
    let mut client = chain.client();
    let outcome = client.advance(batch);
    let truth = |header: &&Header| chain.blocks[header.height as usize].header == **header;
    assert!(client.headers().all(|header| truth(&header)), "{outcome:?}");
}

#[test]
fn no_changed_byte_of_headers_or_certificates_is_followed() {
    for chain in chains() {
        let batch = chain.batch(1..=3);
        for place in 0..3 {
            let bytes = encode(&batch[place]);
            for at in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[at] ^= 0x04;
                let Ok(entry) = decode::<CertifiedHeader>(&changed, 4096) else {
                    continue;
                };
                let mut batch = batch.clone();
                batch[place] = entry;
                let mut client = chain.client();
                assert!(client.advance(&batch).is_err(), "header {place}, byte {at}");
                assert!(client.finalized_height() <= place as u64);
                only_true_headers(&chain, &batch);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn batches_in_any_order_with_any_holes(
        places in prop::collection::vec((1_u64..=12, any::<bool>()), 0..14),
        option in 0_usize..2,
    ) {
        let chain = &CHAINS.with(|chains| chains[option].clone());
        let batch: Vec<_> = places
            .iter()
            .map(|(height, certified)| {
                let mut entry = chain.certified(*height);
                entry.certificate = entry.certificate.filter(|_| *certified);
                entry
            })
            .collect();
        only_true_headers(chain, &batch);
    }

    #[test]
    fn answers_made_of_pieces_of_true_ones(
        question in any::<prop::sample::Index>(),
        donor in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
        paste in any::<prop::sample::Index>(),
        len in 1_usize..200,
        option in 0_usize..2,
    ) {
        QUESTIONS.with(|questions| {
            let (answer, ask) = question.get(&questions[option]);
            let (donor, _) = donor.get(&questions[option]);
            let truth = ask(answer).unwrap();
            let (from, to) = (cut.index(donor.len()), paste.index(answer.len()));
            let piece = &donor[from..(from + len).min(donor.len())];
            let end = (to + piece.len()).min(answer.len());
            let mixed = [&answer[..to], piece, &answer[end..]].concat();
            never_another(ask, &mixed, &truth);
        });
    }
}

thread_local! {
    static CHAINS: [std::rc::Rc<Chain>; 2] = chains().map(std::rc::Rc::new);
    static QUESTIONS: [Vec<(Vec<u8>, Question)>; 2] = chains().each_ref().map(questions);
}
