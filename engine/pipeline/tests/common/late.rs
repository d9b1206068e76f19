//! A chain that is executed at once, block by block, on the real executor, and settled late: what admission judges its
//! blocks by.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use millrace_executor::{BlockContext, Executor, ReadError, StateReader, genesis_changes};
use millrace_pipeline::admission::{Branch, Parent, Spending, StateFault, Summary, Verdict, check};
use millrace_state::{Config, Genesis, Store, VersionId, View};
use millrace_types::receipt::settlement_hash;
use millrace_types::state::{Account, Path, account_path};
use millrace_types::{
    Address, Block, Body, ChainSpec, Commitment, ExecutionReceipt, ExecutionStatus, Hash, Header, Height,
    SignedTransaction, codec, merkle,
};

use crate::common::address;

struct Reader(View);

impl StateReader for Reader {
    fn get(&self, path: &Path) -> Result<Option<Arc<[u8]>>, ReadError> {
        Ok(self.0.get(path).unwrap())
    }
}

/// The chain. Everything is known of its every block.
pub struct LateChain {
    pub spec: ChainSpec,
    executor: Executor,
    store: Store,
    headers: Vec<Header>,
    receipts: Vec<ExecutionReceipt>,
    summaries: Vec<Summary>,
}

impl LateChain {
    /// At genesis.
    pub fn new(spec: ChainSpec) -> Self {
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

    /// The newest block's header.
    pub fn tip(&self) -> &Header {
        self.headers.last().unwrap()
    }

    /// An account after the block at `height`.
    pub fn account(&self, height: Height, address: &Address) -> Account {
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

    /// The heights that the next block may settle up to.
    pub fn may_settle(&self) -> std::ops::RangeInclusive<Height> {
        let (tip, height) = (self.tip(), self.tip().height + 1);
        let lowest = tip
            .settled_height
            .max(height.saturating_sub(self.spec.max_receipt_lag));
        lowest..=height - 1
    }

    /// The next block, whose proposer is account 0.
    pub fn block(&self, settled: Height, transactions: Vec<SignedTransaction>) -> Block {
        let parent = self.tip();
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

    /// The verdict on the next block.
    pub fn judge(&self, block: &Block) -> Verdict {
        let header = self.tip();
        let hash = header.hash();
        check(block, Parent { header, hash }, self, &self.spec, &()).unwrap()
    }

    /// Executes the next block.
    pub fn execute(&mut self, block: Block, summary: Summary) {
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

    /// Takes the newest block away again.
    pub fn take_back(&mut self) {
        assert!(self.headers.len() > 1, "genesis stays");
        let header = self.headers.pop().unwrap();
        self.receipts.pop();
        self.summaries.pop();
        self.store.discard(VersionId(header.hash().0)).unwrap();
    }
}

impl Branch for LateChain {
    fn hash_at(&self, height: Height) -> Option<Hash> {
        self.receipts
            .get(height as usize)
            .map(|receipt| receipt.block_hash)
    }

    fn receipt_at(&self, height: Height) -> Option<ExecutionReceipt> {
        self.receipts.get(height as usize).cloned()
    }

    fn spending_at(&self, height: Height, sender: &Address) -> Spending {
        self.summaries[height as usize]
            .senders
            .get(sender)
            .copied()
            .unwrap_or_default()
    }

    fn account_at(&self, height: Height, address: &Address) -> Result<Account, StateFault> {
        Ok(self.account(height, address))
    }
}

/// Whether the long run is asked for.
pub fn is_long_run() -> bool {
    #[expect(clippy::disallowed_methods, reason = "asks for the long run")]
    let asked = std::env::var("MILLRACE_LONG").is_ok();
    asked
}
