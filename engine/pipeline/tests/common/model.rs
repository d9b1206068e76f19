//! A naive node: every block is executed on a whole copy of its parent's state, and nothing is ever final. It makes
//! blocks too, on any parent, settling as much or as little as asked for.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_executor::{BlockContext, Executor, ReadError, StateReader, genesis_changes};
use millrace_pipeline::BlockRef;
use millrace_state::{Config, Genesis, Store, VersionId};
use millrace_types::state::{Account, Path, account_path};
use millrace_types::{
    Address, Amount, Block, Body, ChainSpec, ExecutionReceipt, Hash, Header, Height, SignedTransaction,
    TransactionReceipt, codec, merkle,
};

use crate::common::{address, empty_block, transfer};

type State = BTreeMap<Path, Arc<[u8]>>;

/// What the model knows of a block.
pub struct Known {
    pub block: Block,
    pub receipt: ExecutionReceipt,
    pub receipts: Vec<TransactionReceipt>,
    state: State,
    nonces: BTreeMap<Address, u64>,
}

/// What a block is to hold.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// From, to, value.
    pub transfers: Vec<(u8, u8, Amount)>,
    /// How far behind its own height it settles: as near to it as the rules allow.
    pub lag: u64,
    /// Tells siblings apart.
    pub name: u8,
}

/// The node.
pub struct Model {
    spec: Arc<ChainSpec>,
    executor: Executor,
    blocks: BTreeMap<Hash, Known>,
    pub genesis: Hash,
}

struct Reader<'a>(&'a State);

impl StateReader for Reader<'_> {
    fn get(&self, path: &Path) -> Result<Option<Arc<[u8]>>, ReadError> {
        Ok(self.0.get(path).cloned())
    }
}

/// The root of a state, from nothing but its contents.
fn root(state: &State) -> Hash {
    let contents: BTreeMap<Path, Option<Arc<[u8]>>> = state
        .iter()
        .map(|(path, value)| (*path, Some(Arc::clone(value))))
        .collect();
    let genesis = Genesis {
        id: VersionId([0; 32]),
        height: 0,
        changes: contents.into(),
    };
    let config = Config {
        threads: 1,
        ..Config::default()
    };
    Hash(Store::open(config, genesis).unwrap().persisted().root)
}

impl Model {
    pub fn new(spec: &ChainSpec) -> Self {
        let state: State = genesis_changes(spec)
            .into_iter()
            .filter_map(|(path, value)| Some((path, value?)))
            .collect();
        let header = Header::genesis(spec, root(&state));
        let (genesis, receipt) = (header.hash(), ExecutionReceipt::of_genesis(&header).unwrap());
        let known = Known {
            block: Block {
                header,
                body: Body::default(),
            },
            receipt,
            receipts: Vec::new(),
            state,
            nonces: BTreeMap::new(),
        };
        let spec = Arc::new(spec.clone());
        Self {
            executor: Executor::new(Arc::clone(&spec)).unwrap(),
            spec,
            blocks: BTreeMap::from([(genesis, known)]),
            genesis,
        }
    }

    pub fn get(&self, hash: &Hash) -> &Known {
        &self.blocks[hash]
    }

    pub fn block(&self, hash: &Hash) -> &Block {
        &self.blocks[hash].block
    }

    pub fn reference(&self, hash: &Hash) -> BlockRef {
        BlockRef {
            height: self.height(hash),
            hash: *hash,
        }
    }

    pub fn height(&self, hash: &Hash) -> Height {
        self.blocks[hash].block.header.height
    }

    pub fn parent(&self, hash: &Hash) -> Hash {
        self.blocks[hash].block.header.parent_hash
    }

    /// The ancestor of `tip` at a height, `tip` itself included.
    pub fn ancestor(&self, tip: &Hash, height: Height) -> Hash {
        let mut at = *tip;
        while self.height(&at) > height {
            at = self.parent(&at);
        }
        at
    }

    /// The blocks above `height` that lead to `tip`.
    pub fn above(&self, height: Height, tip: &Hash) -> Vec<Hash> {
        (height + 1..=self.height(tip))
            .map(|height| self.ancestor(tip, height))
            .collect()
    }

    /// Where two branches meet.
    pub fn meet(&self, a: &Hash, b: &Hash) -> Hash {
        let mut height = self.height(a).min(self.height(b));
        loop {
            let (left, right) = (self.ancestor(a, height), self.ancestor(b, height));
            if left == right {
                return left;
            }
            height -= 1;
        }
    }

    pub fn balance(&self, hash: &Hash, address: &Address) -> Amount {
        let record = self.blocks[hash].state.get(&account_path(address));
        record.map_or(0, |bytes| {
            codec::decode::<Account>(bytes, bytes.len()).unwrap().balance
        })
    }

    pub fn nonce(&self, hash: &Hash, account: u8) -> u64 {
        let nonces = &self.blocks[hash].nonces;
        nonces.get(&address(account)).copied().unwrap_or(0)
    }

    /// Makes a block of transfers on `parent` and executes it.
    pub fn add(&mut self, parent: &Hash, draft: &Draft) -> Hash {
        let mut nonces = self.blocks[parent].nonces.clone();
        let transactions = draft.transfers.iter().map(|(from, to, value)| {
            let nonce = nonces.entry(address(*from)).or_default();
            *nonce += 1;
            transfer(*from, *nonce - 1, address(*to), *value)
        });
        let transactions = transactions.collect();
        self.add_with(parent, transactions, draft)
    }

    /// The same with given transactions.
    pub fn add_with(&mut self, parent: &Hash, transactions: Vec<SignedTransaction>, draft: &Draft) -> Hash {
        let block = self.draft(parent, transactions, draft);
        self.execute(block)
    }

    fn draft(&self, parent: &Hash, transactions: Vec<SignedTransaction>, draft: &Draft) -> Block {
        let above = &self.blocks[parent].block.header;
        let mut block = empty_block(&self.spec, above);
        let (height, settled) = (block.header.height, above.settled_height);
        let least = settled.max(height.saturating_sub(self.spec.max_receipt_lag));
        let to = height.saturating_sub(draft.lag.max(1)).max(least);
        let receipts: Vec<ExecutionReceipt> = (settled + 1..=to)
            .map(|height| self.blocks[&self.ancestor(parent, height)].receipt.clone())
            .collect();
        block.header.settled_height = to;
        block.header.settlement_hash = millrace_types::receipt::settlement_hash(&receipts);
        block.header.transactions_root = merkle::transactions_root(&transactions);
        block.header.consensus_data = vec![draft.name];
        block.body = Body {
            transactions,
            receipts,
        };
        block
    }

    /// Executes a block that somebody made.
    pub fn execute(&mut self, block: Block) -> Hash {
        let (hash, parent) = (block.hash(), block.header.parent_hash);
        if self.blocks.contains_key(&hash) {
            return hash;
        }
        let above = &self.blocks[&parent];
        let (mut state, mut nonces) = (above.state.clone(), above.nonces.clone());
        let context = BlockContext::of(&block.header);
        let output = self
            .executor
            .execute_block(&context, &block.body.transactions, &Reader(&state));
        let output = output.unwrap();
        for (path, value) in output.changes {
            match value {
                Some(value) => state.insert(path, value),
                None => state.remove(&path),
            };
        }
        for signed in &block.body.transactions {
            *nonces.entry(signed.sender()).or_default() += 1;
        }
        let receipt = ExecutionReceipt {
            height: block.header.height,
            block_hash: hash,
            status: millrace_types::ExecutionStatus::Executed,
            post_state_root: root(&state),
            transaction_receipts_root: merkle::receipts_root(&output.receipts),
            gas_used: output.gas_used,
            gas_charged: output.gas_charged,
        };
        let known = Known {
            block,
            receipt,
            receipts: output.receipts,
            state,
            nonces,
        };
        self.blocks.insert(hash, known);
        hash
    }

    /// A branch of `length` blocks on `parent`, two transfers in each.
    pub fn branch(&mut self, parent: &Hash, length: u64, name: u8) -> Vec<Hash> {
        let mut tip = *parent;
        (0..length)
            .map(|n| {
                let from = (n % 8) as u8;
                let draft = Draft {
                    transfers: vec![
                        (from, from + 1, 100 + Amount::from(name)),
                        (from + 8, name % 16, 7),
                    ],
                    lag: 1 + n % 4,
                    name,
                };
                tip = self.add(&tip, &draft);
                tip
            })
            .collect()
    }
}
