//! One case per reason.

use millrace_types::chain_spec::Limits;
use millrace_types::receipt::settlement_hash;
use millrace_types::settlement::HeaderError;
use millrace_types::{Body, ExecutionStatus, Payload, SignedTransaction, Transaction};

use super::*;
use crate::testing::{BALANCE, TRANSFER_GAS, address, key, spec, transfer, transfer_at};

/// A branch of empty blocks at heights 0 to 9, executed up to 9, on which account 0 has two transfers of 100 units in
/// flight at height 8.
struct Fixture {
    spec: ChainSpec,
    executed: Height,
    receipts: Vec<ExecutionReceipt>,
}

const PARENT: Height = 9;
const SETTLED: Height = 7;

impl Fixture {
    fn new() -> Self {
        let receipts = (0..=PARENT)
            .map(|height| ExecutionReceipt {
                height,
                block_hash: Hash([height as u8 + 1; 32]),
                status: ExecutionStatus::Executed,
                post_state_root: Hash([height as u8 + 100; 32]),
                transaction_receipts_root: merkle::receipts_root(&[]),
                gas_used: 0,
                gas_charged: 0,
            })
            .collect();
        Self {
            spec: spec(),
            executed: PARENT,
            receipts,
        }
    }

    fn delayed_root() -> Self {
        let mut fixture = Self::new();
        fixture.spec.commitment = Commitment::DelayedRoot;
        fixture
    }

    fn parent(&self) -> Header {
        Header {
            version: millrace_types::block::HEADER_VERSION,
            chain_id: self.spec.chain_id,
            height: PARENT,
            parent_hash: Hash([PARENT as u8; 32]),
            timestamp_ms: 5_000,
            proposer: Address::default(),
            transactions_root: merkle::transactions_root(&[]),
            gas_limit: 0,
            settled_height: SETTLED,
            settlement_hash: Hash::ZERO,
            delayed_state_root: self.root(SETTLED),
            consensus_data: Vec::new(),
            seal: Vec::new(),
        }
    }

    fn root(&self, settled: Height) -> Option<Hash> {
        let delayed = self.spec.commitment == Commitment::DelayedRoot;
        delayed.then(|| self.receipts[settled as usize].post_state_root)
    }

    /// A valid block that settles up to `settled`.
    fn block(&self, settled: Height, transactions: Vec<SignedTransaction>) -> Block {
        let receipts = self.receipts[SETTLED as usize + 1..=settled as usize].to_vec();
        let header = Header {
            height: PARENT + 1,
            parent_hash: Hash([PARENT as u8 + 1; 32]),
            timestamp_ms: 5_001,
            transactions_root: merkle::transactions_root(&transactions),
            gas_limit: self.spec.limits.block_gas,
            settled_height: settled,
            settlement_hash: settlement_hash(&receipts),
            delayed_state_root: self.root(settled),
            ..self.parent()
        };
        let receipts = if self.spec.commitment == Commitment::DelayedRoot {
            Vec::new()
        } else {
            receipts
        };
        Block {
            header,
            body: Body {
                transactions,
                receipts,
            },
        }
    }

    fn check(&self, block: &Block) -> Verdict {
        let parent = self.parent();
        let parent = Parent {
            header: &parent,
            hash: Hash([PARENT as u8 + 1; 32]),
        };
        check(block, parent, self, &self.spec, &()).unwrap()
    }

    fn refused(&self, block: &Block) -> Invalid {
        match self.check(block) {
            Verdict::Invalid(reason) => reason,
            other => panic!("{other:?}"),
        }
    }

    /// The reason why a block with just these transactions is refused at the last of them.
    fn transaction_refused(
        &self,
        settled: Height,
        transactions: Vec<SignedTransaction>,
    ) -> InvalidTransaction {
        let last = transactions.len() as u32 - 1;
        match self.refused(&self.block(settled, transactions)) {
            Invalid::Transaction { index, reason } if index == last => reason,
            other => panic!("{other:?}"),
        }
    }
}

/// What the two transfers in flight may cost.
const IN_FLIGHT: Amount = 2 * (TRANSFER_GAS as Amount + 100);

impl Branch for Fixture {
    fn hash_at(&self, height: Height) -> Option<Hash> {
        self.receipts
            .get(height as usize)
            .map(|receipt| receipt.block_hash)
    }

    fn receipt_at(&self, height: Height) -> Option<ExecutionReceipt> {
        self.receipts
            .get(height as usize)
            .filter(|_| height <= self.executed)
            .cloned()
    }

    fn spending_at(&self, height: Height, sender: &Address) -> Spending {
        if height == 8 && *sender == address(0) {
            Spending {
                count: 2,
                cost: IN_FLIGHT,
            }
        } else {
            Spending::default()
        }
    }

    fn account_at(&self, height: Height, account: &Address) -> Result<Account, StateFault> {
        assert!(
            height <= self.executed,
            "states that are not executed are never asked for"
        );
        let nonce = if *account == address(0) && height >= 8 {
            2
        } else {
            0
        };
        let balance = if (0..16).any(|n| *account == address(n)) {
            BALANCE
        } else {
            0
        };
        Ok(Account {
            nonce,
            balance,
            code_hash: None,
        })
    }
}

fn altered(transaction: &SignedTransaction, alter: impl FnOnce(&mut Transaction)) -> SignedTransaction {
    let mut unsigned = transaction.transaction.clone();
    alter(&mut unsigned);
    unsigned.sign(&key(1))
}

#[test]
fn a_valid_block_is_valid_under_both_options_and_sums_up_what_its_senders_may_spend() {
    for fixture in [Fixture::new(), Fixture::delayed_root()] {
        for settled in SETTLED..=PARENT {
            let transactions = vec![transfer(1, 0, address(2), 5), transfer(1, 1, address(2), 6)];
            let Verdict::Valid(summary) = fixture.check(&fixture.block(settled, transactions.clone())) else {
                panic!("settling {settled}")
            };
            let cost = 2 * Amount::from(TRANSFER_GAS) + 11;
            assert_eq!(
                summary.senders,
                BTreeMap::from([(address(1), Spending { count: 2, cost })])
            );
            assert_eq!(
                summary.transactions,
                transactions
                    .iter()
                    .map(SignedTransaction::hash)
                    .collect::<Vec<_>>()
            );
        }
    }
}

#[test]
fn a_header_that_cannot_follow_its_parent() {
    let fixture = Fixture::new();
    let mut block = fixture.block(SETTLED, Vec::new());
    block.header.timestamp_ms = 4_999;
    let expected = HeaderError::Timestamp {
        found: 4_999,
        parent: 5_000,
    };
    assert_eq!(fixture.refused(&block), Invalid::Header(expected));
}

#[test]
fn a_header_field_beyond_its_bound() {
    let fixture = Fixture::new();
    let mut block = fixture.block(SETTLED, Vec::new());
    block.header.seal = vec![0; 129];
    assert!(matches!(
        fixture.refused(&block),
        Invalid::Header(HeaderError::TooLong { part: "seal", .. })
    ));
}

#[test]
fn a_lag_beyond_k() {
    let mut fixture = Fixture::new();
    fixture.spec.max_receipt_lag = 2;
    let block = fixture.block(SETTLED, Vec::new());
    assert_eq!(
        fixture.refused(&block),
        Invalid::Header(HeaderError::Lag { lag: 3, limit: 2 })
    );
    assert!(matches!(
        fixture.check(&fixture.block(8, Vec::new())),
        Verdict::Valid(_)
    ));
}

#[test]
fn too_many_transactions() {
    let mut fixture = Fixture::new();
    fixture.spec.limits.block_transactions = 1;
    let block = fixture.block(
        SETTLED,
        vec![transfer(1, 0, address(2), 5), transfer(1, 1, address(2), 5)],
    );
    assert_eq!(
        fixture.refused(&block),
        Invalid::TooManyTransactions { count: 2, limit: 1 }
    );
}

#[test]
fn too_many_bytes() {
    let mut fixture = Fixture::new();
    let block = fixture.block(SETTLED, vec![transfer(1, 0, address(2), 5)]);
    let size = codec::encoded_len(&block) as u64;
    fixture.spec.limits.block_bytes = u32::try_from(size).unwrap();
    assert!(matches!(fixture.check(&block), Verdict::Valid(_)));
    fixture.spec.limits.block_bytes -= 1;
    assert_eq!(
        fixture.refused(&block),
        Invalid::TooLong {
            size,
            limit: size - 1
        }
    );
}

#[test]
fn a_transactions_root_of_other_transactions() {
    let fixture = Fixture::new();
    let mut block = fixture.block(SETTLED, vec![transfer(1, 0, address(2), 5)]);
    let expected = block.header.transactions_root;
    block.header.transactions_root = Hash([3; 32]);
    assert_eq!(
        fixture.refused(&block),
        Invalid::TransactionsRoot {
            found: Hash([3; 32]),
            expected
        }
    );
}

#[test]
fn gas_limits_that_add_up_to_more_than_the_headers() {
    let fixture = Fixture::new();
    let mut block = fixture.block(
        SETTLED,
        vec![transfer(1, 0, address(2), 5), transfer(1, 1, address(2), 5)],
    );
    block.header.gas_limit = 2 * TRANSFER_GAS - 1;
    let sum = u128::from(2 * TRANSFER_GAS);
    assert_eq!(
        fixture.refused(&block),
        Invalid::GasSum {
            sum,
            limit: 2 * TRANSFER_GAS - 1
        }
    );
}

#[test]
fn receipts_in_the_body_under_option_a() {
    let fixture = Fixture::delayed_root();
    let mut block = fixture.block(8, Vec::new());
    block.body.receipts = vec![fixture.receipts[8].clone()];
    assert_eq!(fixture.refused(&block), Invalid::UnexpectedReceipts { found: 1 });
}

#[test]
fn receipts_that_are_not_those_of_the_ancestors() {
    let fixture = Fixture::new();
    let mut block = fixture.block(8, Vec::new());
    block.body.receipts[0].block_hash = Hash([77; 32]);
    let expected = SettlementError::Ancestor {
        height: 8,
        found: Hash([77; 32]),
        expected: Hash([9; 32]),
    };
    assert_eq!(fixture.refused(&block), Invalid::Settlement(expected));
    block.body.receipts.clear();
    let expected = SettlementError::Count {
        found: 0,
        expected: 1,
    };
    assert_eq!(fixture.refused(&block), Invalid::Settlement(expected));
}

#[test]
fn receipts_that_are_not_what_execution_gave() {
    let fixture = Fixture::new();
    let mut block = fixture.block(PARENT, Vec::new());
    block.body.receipts[1].gas_used += 1;
    block.header.settlement_hash = settlement_hash(&block.body.receipts);
    let reason = fixture.refused(&block);
    assert!(
        matches!(&reason, Invalid::ReceiptDiffers { height: PARENT, .. }),
        "{reason}"
    );
    assert!(reason.contradicts_execution());
}

#[test]
fn committed_receipts_that_are_not_what_execution_gave() {
    let fixture = Fixture::delayed_root();
    let mut block = fixture.block(PARENT, Vec::new());
    let expected = block.header.settlement_hash;
    block.header.settlement_hash = Hash([3; 32]);
    let reason = fixture.refused(&block);
    assert_eq!(
        reason,
        Invalid::SettlementDiffers {
            from: 8,
            to: 9,
            found: Hash([3; 32]),
            expected
        }
    );
    assert!(reason.contradicts_execution());
}

#[test]
fn a_delayed_root_that_is_not_what_execution_gave() {
    let fixture = Fixture::delayed_root();
    let mut block = fixture.block(PARENT, Vec::new());
    block.header.delayed_state_root = Some(Hash([3; 32]));
    let reason = fixture.refused(&block);
    assert_eq!(
        reason,
        Invalid::RootDiffers {
            height: 9,
            found: Hash([3; 32]),
            expected: Hash([109; 32])
        }
    );
    assert!(reason.contradicts_execution());
}

#[test]
fn what_is_not_executed_here_is_pending_and_never_invalid() {
    for mut fixture in [Fixture::new(), Fixture::delayed_root()] {
        let mut block = fixture.block(PARENT, Vec::new());
        fixture.executed = 8;
        assert_eq!(
            fixture.check(&block),
            Verdict::Pending(Pending::NotExecuted { height: 9 })
        );
        fixture.executed = 7;
        assert_eq!(
            fixture.check(&block),
            Verdict::Pending(Pending::NotExecuted { height: 8 })
        );
        // The state at s(B) is needed also by a block that settles nothing new.
        fixture.executed = 6;
        block = fixture.block(SETTLED, Vec::new());
        assert_eq!(
            fixture.check(&block),
            Verdict::Pending(Pending::NotExecuted { height: 7 })
        );
    }
}

#[test]
fn what_is_wrong_whatever_execution_gives_is_invalid_before_it() {
    let mut fixture = Fixture::new();
    fixture.executed = 0;
    let mut block = fixture.block(PARENT, Vec::new());
    block.body.receipts.swap(0, 1);
    assert!(matches!(
        fixture.refused(&block),
        Invalid::Settlement(SettlementError::Height { .. })
    ));
}

#[test]
fn a_transaction_of_another_chain() {
    let fixture = Fixture::new();
    let signed = altered(&transfer(1, 0, address(2), 5), |transaction| {
        transaction.chain_id = 8
    });
    let expected = InvalidTransaction::ChainId {
        found: 8,
        expected: 7,
    };
    assert_eq!(fixture.transaction_refused(SETTLED, vec![signed]), expected);
}

#[test]
fn a_transaction_that_is_too_long() {
    let mut fixture = Fixture::new();
    let signed = transfer(1, 0, address(2), 5);
    let size = signed.byte_len() as u64;
    fixture.spec.limits.transaction_bytes = u32::try_from(size).unwrap() - 1;
    let expected = InvalidTransaction::TooLong {
        size,
        limit: size - 1,
    };
    assert_eq!(fixture.transaction_refused(SETTLED, vec![signed]), expected);
}

#[test]
fn a_gas_limit_above_the_chains() {
    let fixture = Fixture::new();
    let signed = altered(&transfer(1, 0, address(2), 5), |transaction| {
        transaction.gas_limit = 10_000_001
    });
    let expected = InvalidTransaction::GasLimit {
        found: 10_000_001,
        limit: 10_000_000,
    };
    assert_eq!(fixture.transaction_refused(SETTLED, vec![signed]), expected);
}

#[test]
fn a_gas_limit_below_the_intrinsic_gas() {
    let fixture = Fixture::new();
    let signed = transfer(1, 0, address(2), 5);
    let intrinsic = millrace_executor::intrinsic_gas(&signed, millrace_executor::schedule(1).unwrap());
    let enough = altered(&signed, |transaction| transaction.gas_limit = intrinsic);
    assert!(matches!(
        fixture.check(&fixture.block(SETTLED, vec![enough])),
        Verdict::Valid(_)
    ));
    let signed = altered(&signed, |transaction| transaction.gas_limit = intrinsic - 1);
    let expected = InvalidTransaction::IntrinsicGas {
        limit: intrinsic - 1,
        intrinsic,
    };
    assert_eq!(fixture.transaction_refused(SETTLED, vec![signed]), expected);
}

#[test]
fn a_gas_price_below_the_chains() {
    let mut fixture = Fixture::new();
    fixture.spec.limits = Limits {
        min_gas_price: 3,
        ..fixture.spec.limits
    };
    let expected = InvalidTransaction::GasPrice { found: 2, min: 3 };
    assert_eq!(
        fixture.transaction_refused(SETTLED, vec![transfer_at(1, 0, address(2), 5, 2)]),
        expected
    );
}

#[test]
fn nonces_continue_from_the_settled_one_over_what_is_in_flight() {
    let fixture = Fixture::new();
    // At s = 7 two are in flight on top of nonce 0; at s = 8 they are in the state.
    for settled in [7, 8, 9] {
        let block = fixture.block(
            settled,
            vec![transfer(0, 2, address(2), 5), transfer(0, 3, address(2), 5)],
        );
        assert!(
            matches!(fixture.check(&block), Verdict::Valid(_)),
            "settling {settled}"
        );
        let expected = InvalidTransaction::Nonce {
            found: 0,
            expected: 2,
        };
        assert_eq!(
            fixture.transaction_refused(settled, vec![transfer(0, 0, address(2), 5)]),
            expected
        );
        let repeated = vec![transfer(0, 2, address(2), 5), transfer(0, 2, address(2), 5)];
        let expected = InvalidTransaction::Nonce {
            found: 2,
            expected: 3,
        };
        assert_eq!(fixture.transaction_refused(settled, repeated), expected);
    }
}

#[test]
fn the_settled_balance_covers_everything_in_flight() {
    let fixture = Fixture::new();
    let gas = Amount::from(TRANSFER_GAS);
    let spendable = |settled: Height| {
        if settled == SETTLED {
            BALANCE - IN_FLIGHT
        } else {
            BALANCE
        }
    };
    for settled in [SETTLED, 8] {
        let all = spendable(settled) - gas;
        let exact = fixture.block(settled, vec![transfer(0, 2, address(2), all)]);
        assert!(
            matches!(fixture.check(&exact), Verdict::Valid(_)),
            "settling {settled}"
        );
        let reserved = BALANCE - spendable(settled);
        let expected = InvalidTransaction::Unpayable {
            settled: BALANCE,
            reserved,
            needed: all + 1 + gas,
        };
        assert_eq!(
            fixture.transaction_refused(settled, vec![transfer(0, 2, address(2), all + 1)]),
            expected
        );
    }
}

#[test]
fn earlier_transactions_of_the_same_block_are_in_flight_too_and_credits_are_not() {
    let fixture = Fixture::new();
    let gas = Amount::from(TRANSFER_GAS);
    let all = BALANCE - gas;
    let expected = InvalidTransaction::Unpayable {
        settled: BALANCE,
        reserved: BALANCE,
        needed: gas,
    };
    let twice = vec![transfer(1, 0, address(2), all), transfer(1, 1, address(2), 0)];
    assert_eq!(fixture.transaction_refused(SETTLED, twice), expected);
    // Account 20 gets everything that account 1 has, and may spend nothing of it before it is settled.
    let expected = InvalidTransaction::Unpayable {
        settled: 0,
        reserved: 0,
        needed: gas,
    };
    let credited = vec![transfer(1, 0, address(20), all), transfer(20, 0, address(2), 0)];
    assert_eq!(fixture.transaction_refused(SETTLED, credited), expected);
}

#[test]
fn a_cost_that_does_not_fit_128_bits() {
    let fixture = Fixture::new();
    let expected = InvalidTransaction::Unpayable {
        settled: BALANCE,
        reserved: 0,
        needed: Amount::MAX,
    };
    let signed = transfer(1, 0, address(2), Amount::MAX);
    assert_eq!(fixture.transaction_refused(SETTLED, vec![signed]), expected);
}

#[test]
fn a_signature_that_does_not_verify_is_found_wherever_it_is() {
    let fixture = Fixture::new();
    let mut transactions = vec![transfer(1, 0, address(2), 5), transfer(3, 0, address(2), 5)];
    transactions[1].signature[5] ^= 1;
    assert_eq!(
        fixture.transaction_refused(SETTLED, transactions),
        InvalidTransaction::Signature
    );
}

#[test]
fn a_known_signature_is_not_looked_at_again() {
    struct All;
    impl KnownSignatures for All {
        fn contains(&self, _: &Hash) -> bool {
            true
        }
    }
    let fixture = Fixture::new();
    let mut signed = transfer(1, 0, address(2), 5);
    signed.signature[5] ^= 1;
    let block = fixture.block(SETTLED, vec![signed]);
    let parent = fixture.parent();
    let parent = Parent {
        header: &parent,
        hash: Hash([PARENT as u8 + 1; 32]),
    };
    assert!(matches!(
        check(&block, parent, &fixture, &fixture.spec, &All),
        Ok(Verdict::Valid(_))
    ));
}

#[test]
fn a_call_reserves_its_value_like_a_transfer() {
    let fixture = Fixture::new();
    let signed = altered(&transfer(1, 0, address(2), 0), |transaction| {
        transaction.payload = Payload::Call {
            to: address(2),
            value: BALANCE,
            input: Vec::new(),
        };
    });
    let reason = fixture.transaction_refused(SETTLED, vec![signed]);
    assert!(matches!(reason, InvalidTransaction::Unpayable { .. }));
}
