//! Admitted implies payable and in order when executed: random chains of random transactions, settled as late and as
//! unevenly as the rules allow, on the real admission function and the real executor, which asserts it.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::*;
use millrace_executor::{BlockContext, Executor, ReadError, StateReader, genesis_changes};
use millrace_pipeline::admission::{Branch, Invalid, Parent, Spending, StateFault, Summary, Verdict, check};
use millrace_state::{Config, Genesis, Store, VersionId, View};
use millrace_types::receipt::settlement_hash;
use millrace_types::state::{Account, account_path};
use millrace_types::{
    Address, Block, Body, ChainSpec, Commitment, ExecutionReceipt, ExecutionStatus, Hash, Header, Payload,
    SignedTransaction, Transaction, codec, merkle,
};
use proptest::prelude::*;

/// What a random transaction is made of.
#[derive(Clone, Debug)]
struct Draw {
    sender: u8,
    to: u8,
    kind: u8,
    /// Of what the sender has, in 1/16; above 16 more than that.
    share: u8,
    nonce_off: bool,
    price: u64,
}

fn draw() -> impl Strategy<Value = Draw> {
    let off = prop::bool::weighted(0.05);
    (0..6_u8, 0..8_u8, 0..4_u8, 0..20_u8, off, 1..4_u64).prop_map(
        |(sender, to, kind, share, nonce_off, price)| Draw {
            sender,
            to,
            kind,
            share,
            nonce_off,
            price,
        },
    )
}

/// A block: its transactions and how much of what it may settle it does.
fn block_draw() -> impl Strategy<Value = (Vec<Draw>, u8)> {
    (prop::collection::vec(draw(), 0..8), any::<u8>())
}

struct Reader(View);

impl StateReader for Reader {
    fn get(&self, path: &millrace_types::state::Path) -> Result<Option<Arc<[u8]>>, ReadError> {
        Ok(self.0.get(path).unwrap())
    }
}

/// A chain that is executed at once and settled late.
struct Model {
    spec: ChainSpec,
    executor: Executor,
    store: Store,
    headers: Vec<Header>,
    receipts: Vec<ExecutionReceipt>,
    summaries: Vec<Summary>,
}

impl Model {
    fn new(spec: ChainSpec) -> Self {
        let executor = Executor::new(Arc::new(spec.clone())).unwrap();
        let genesis = |id| Genesis {
            id: VersionId(id),
            height: 0,
            changes: genesis_changes(&spec).into(),
        };
        let root = Store::open(Config::default(), genesis([0; 32]))
            .unwrap()
            .persisted()
            .root;
        let header = Header::genesis(&spec, Hash(root));
        let store = Store::open(Config::default(), genesis(header.hash().0)).unwrap();
        let receipts = vec![ExecutionReceipt::of_genesis(&header).unwrap()];
        Self {
            spec,
            executor,
            store,
            headers: vec![header],
            receipts,
            summaries: vec![Summary::default()],
        }
    }

    fn account(&self, height: u64, address: &Address) -> Account {
        let view = self
            .store
            .view(VersionId(self.receipts[height as usize].block_hash.0))
            .unwrap();
        view.get(&account_path(address))
            .unwrap()
            .map_or(Account::default(), |bytes| {
                codec::decode(&bytes, bytes.len()).unwrap()
            })
    }

    /// A transaction near the edge of what the sender can pay *now*, which admission does not know.
    fn transaction(&self, draw: &Draw, sent_before: u64) -> SignedTransaction {
        let now = self.account(self.headers.len() as u64 - 1, &address(draw.sender));
        let gas_limit = if draw.kind == 2 { 90_000 } else { TRANSFER_GAS };
        let value = now.balance / 16 * u128::from(draw.share);
        // Accounts 6 and 7 do not exist at genesis: they live from credits alone.
        let to = address(if draw.to >= 6 { draw.to + 30 } else { draw.to });
        let payload = match draw.kind {
            0 | 1 => Payload::Transfer { to, value },
            2 => Payload::Deploy {
                code: vec![0x7f; 40],
                value,
                input: Vec::new(),
            },
            _ => Payload::Call {
                to,
                value,
                input: vec![1; 20],
            },
        };
        let transaction = Transaction {
            chain_id: self.spec.chain_id,
            public_key: [0; 32],
            nonce: now.nonce + sent_before + u64::from(draw.nonce_off),
            gas_limit,
            gas_price: draw.price,
            payload,
        };
        transaction.sign(&key(draw.sender))
    }

    fn block(&self, settled: u64, transactions: Vec<SignedTransaction>) -> Block {
        let parent = self.headers.last().unwrap();
        let receipts = self.receipts[parent.settled_height as usize + 1..=settled as usize].to_vec();
        let delayed = self.spec.commitment == Commitment::DelayedRoot;
        let header = Header {
            height: parent.height + 1,
            parent_hash: parent.hash(),
            timestamp_ms: parent.timestamp_ms + 1,
            proposer: address(0),
            transactions_root: merkle::transactions_root(&transactions),
            gas_limit: self.spec.limits.block_gas,
            settled_height: settled,
            settlement_hash: settlement_hash(&receipts),
            delayed_state_root: delayed.then(|| self.receipts[settled as usize].post_state_root),
            ..parent.clone()
        };
        Block {
            header,
            body: Body {
                transactions,
                receipts: if delayed { Vec::new() } else { receipts },
            },
        }
    }

    /// Admits what can be admitted of `draws` and executes it. Answers how many were admitted and how many refused.
    fn step(&mut self, draws: &[Draw], settle: u8) -> (usize, usize) {
        let parent = self.headers.last().unwrap().clone();
        let height = parent.height + 1;
        let lowest = parent
            .settled_height
            .max(height.saturating_sub(self.spec.max_receipt_lag));
        let settled = lowest + u64::from(settle) % (height - lowest);
        let mut transactions: Vec<SignedTransaction> = Vec::new();
        for draw in draws {
            let sent = transactions
                .iter()
                .filter(|t| t.sender() == address(draw.sender))
                .count() as u64;
            transactions.push(self.transaction(draw, sent));
        }
        let drawn = transactions.len();
        let summary = loop {
            let block = self.block(settled, transactions.clone());
            let parent = Parent {
                header: &parent,
                hash: parent.hash(),
            };
            match check(&block, parent, self, &self.spec, &()).unwrap() {
                Verdict::Valid(summary) => break summary,
                Verdict::Invalid(Invalid::Transaction { index, .. }) => {
                    drop(transactions.remove(index as usize))
                }
                other => panic!("{other:?}"),
            }
        };
        let admitted = transactions.len();
        let block = self.block(settled, transactions);
        self.execute(block, summary);
        (admitted, drawn - admitted)
    }

    fn execute(&mut self, block: Block, summary: Summary) {
        let (hash, parent) = (block.hash(), block.header.parent_hash);
        let view = Reader(self.store.view(VersionId(parent.0)).unwrap());
        let output = self
            .executor
            .execute_block(&BlockContext::of(&block.header), &block.body.transactions, &view)
            .expect("what is admitted is payable and in order");
        self.store
            .insert(
                VersionId(parent.0),
                VersionId(hash.0),
                block.header.height,
                output.changes.into(),
            )
            .unwrap();
        let root = self.store.commit(VersionId(hash.0)).unwrap().root;
        self.receipts.push(ExecutionReceipt {
            height: block.header.height,
            block_hash: hash,
            status: ExecutionStatus::Executed,
            post_state_root: Hash(root),
            transaction_receipts_root: merkle::receipts_root(&output.receipts),
            gas_used: output.gas_used,
            gas_charged: output.gas_charged,
        });
        self.headers.push(block.header);
        self.summaries.push(summary);
    }
}

impl Branch for Model {
    fn hash_at(&self, height: u64) -> Option<Hash> {
        self.receipts
            .get(height as usize)
            .map(|receipt| receipt.block_hash)
    }

    fn receipt_at(&self, height: u64) -> Option<ExecutionReceipt> {
        self.receipts.get(height as usize).cloned()
    }

    fn spending_at(&self, height: u64, sender: &Address) -> Spending {
        self.summaries[height as usize]
            .senders
            .get(sender)
            .copied()
            .unwrap_or_default()
    }

    fn account_at(&self, height: u64, address: &Address) -> Result<Account, StateFault> {
        Ok(self.account(height, address))
    }
}

fn cases() -> u32 {
    #[expect(clippy::disallowed_methods, reason = "asks for the long run")]
    let long = std::env::var("MILLRACE_LONG").is_ok();
    if long { 4_000 } else { 48 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn what_is_admitted_is_payable_and_in_order_when_it_is_executed(
        blocks in prop::collection::vec(block_draw(), 1..16),
        lag in 1..6_u64,
        delayed in any::<bool>(),
    ) {
        let commitment = if delayed { Commitment::DelayedRoot } else { Commitment::ExecutionReceipts };
        let mut model = Model::new(ChainSpec { max_receipt_lag: lag, commitment, ..spec() });
        for (draws, settle) in &blocks {
            model.step(draws, *settle);
        }
    }
}

#[test]
fn the_draws_are_admitted_and_refused_in_good_measure() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let (mut admitted, mut refused) = (0, 0);
    for _ in 0..10 {
        let mut model = Model::new(ChainSpec {
            max_receipt_lag: 4,
            ..spec()
        });
        for _ in 0..10 {
            let (draws, settle) = block_draw().new_tree(&mut runner).unwrap().current();
            let (yes, no) = model.step(&draws, settle);
            admitted += yes;
            refused += no;
        }
    }
    assert!(
        admitted > 100 && refused > 50,
        "{admitted} admitted, {refused} refused"
    );
}
