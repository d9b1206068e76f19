//! A chain with a real state, and a server that answers like a node.
#![allow(clippy::unwrap_used)]
#![allow(dead_code, reason = "each test file uses a part")]

pub mod rotating;

use millrace_light_client::client::Certificate;
use millrace_light_client::verify::Bytes;
use millrace_light_client::{
    AccountAnswer, CertifiedHeader, CodeAnswer, InclusionAnswer, LightClient, ReceiptAnswer, StorageAnswer,
};
use millrace_state::{Changes, Config, Genesis, Proof, Store, VersionId};
use millrace_types::certificate::SOLO_CONSENSUS_ID;
use millrace_types::chain_spec::{ConsensusSpec, GenesisAccount};
use millrace_types::codec::encode;
use millrace_types::receipt::{Outcome, settlement_hash};
use millrace_types::state::{Account, account_path, code_hash, code_path, storage_path};
use millrace_types::{
    Address, ChainSpec, Commitment, ExecutionReceipt, ExecutionStatus, Hash, Header, Log, Payload, SecretKey,
    SignedTransaction, SoloCertificate, Transaction, TransactionReceipt, merkle,
};

pub const OPTIONS: [Commitment; 2] = [Commitment::ExecutionReceipts, Commitment::DelayedRoot];
/// Changes with every block.
pub const COUNTER: &[u8] = b"counter";
pub const ABSENT: &[u8] = b"absent";
pub const CODE: &[u8] = b"\x7fELF and the rest";

pub fn sequencer() -> SecretKey {
    SecretKey::from_seed([1; 32])
}

fn user() -> SecretKey {
    SecretKey::from_seed([2; 32])
}

pub fn user_address() -> Address {
    user().address()
}

pub fn contract() -> Address {
    Address::of_deploy(&user_address(), 0)
}

pub fn stranger() -> Address {
    Address([9; 32])
}

pub fn spec(commitment: Commitment) -> ChainSpec {
    let balances = (0..40_u8).map(|byte| (Address([byte; 32]), u128::from(byte)));
    let accounts = balances.chain([(user_address(), 1_000_000)]);
    let accounts = accounts
        .map(|(address, balance)| GenesisAccount { address, balance })
        .collect();
    let consensus = ConsensusSpec {
        id: SOLO_CONSENSUS_ID.into(),
        parameters: sequencer().public_key().0.to_vec(),
    };
    ChainSpec {
        commitment,
        ..ChainSpec::development(7, 1_000, accounts, consensus)
    }
}

/// The same chain under a consensus whose validators change.
pub fn rotating_spec(commitment: Commitment) -> ChainSpec {
    let first = rotating::set_hash(&rotating::set(0, 0));
    let mut spec = spec(commitment);
    spec.consensus = ConsensusSpec {
        id: rotating::ROTATING.into(),
        parameters: first.0.to_vec(),
    };
    spec
}

/// A block with everything that its execution left behind.
#[derive(Clone)]
pub struct Built {
    pub header: Header,
    pub transactions: Vec<SignedTransaction>,
    pub transaction_receipts: Vec<TransactionReceipt>,
    /// Of this block.
    pub receipt: ExecutionReceipt,
    /// Those that this block settles.
    pub settles: Vec<ExecutionReceipt>,
}

pub struct Chain {
    pub spec: ChainSpec,
    pub key: SecretKey,
    pub blocks: Vec<Built>,
    store: Store,
}

fn version(hash: Hash) -> VersionId {
    VersionId(hash.0)
}

impl Chain {
    pub fn genesis(commitment: Commitment) -> Self {
        Self::genesis_of(spec(commitment))
    }

    pub fn genesis_of(spec: ChainSpec) -> Self {
        let changes: Changes = spec
            .accounts
            .iter()
            .filter(|account| account.balance > 0)
            .map(|account| {
                (
                    account.address,
                    Account {
                        balance: account.balance,
                        ..Account::default()
                    },
                )
            })
            .map(|(address, account)| (account_path(&address), Some(encode(&account).into())))
            .collect();
        let open = |id| {
            Store::open(
                Config::default(),
                Genesis {
                    id,
                    height: 0,
                    changes: changes.clone(),
                },
            )
        };
        let root = open(VersionId([0; 32])).unwrap().persisted().root;
        let header = Header::genesis(&spec, Hash(root));
        let store = open(version(header.hash())).unwrap();
        let receipt = ExecutionReceipt::of_genesis(&header).unwrap();
        let genesis = Built {
            header,
            transactions: vec![],
            transaction_receipts: vec![],
            receipt,
            settles: vec![],
        };
        Self {
            spec,
            key: sequencer(),
            blocks: vec![genesis],
            store,
        }
    }

    /// A chain of `length` blocks above genesis that settles none, one or two heights at a time.
    pub fn new(commitment: Commitment, length: u64) -> Self {
        Self::of(spec(commitment), length)
    }

    /// The same, of another chain spec.
    pub fn of(spec: ChainSpec, length: u64) -> Self {
        let mut chain = Self::genesis_of(spec);
        for height in 1..=length {
            let settled = chain.newest().header.settled_height;
            let settles = if height % 3 == 1 {
                settled
            } else {
                (settled + 2).min(height - 1)
            };
            chain.build(settles.max(height.saturating_sub(chain.spec.max_receipt_lag)), 0);
        }
        chain
    }

    /// The first `length` blocks of this chain, to go on from in another way.
    pub fn fork(&self, length: usize) -> Self {
        let mut fork = Self::genesis_of(self.spec.clone());
        for built in &self.blocks[1..=length] {
            fork.execute(built.header.parent_hash, &built.header);
            fork.blocks.push(built.clone());
        }
        fork
    }

    pub fn newest(&self) -> &Built {
        self.blocks.last().unwrap()
    }

    /// Adds a block that settles up to `settled_height`; `salt` makes siblings differ.
    pub fn build(&mut self, settled_height: u64, salt: u8) {
        let parent = self.newest().header.clone();
        let height = parent.height + 1;
        let transactions: Vec<_> = (0..height % 4)
            .map(|place| transaction(height * 10 + place))
            .collect();
        let heights = parent.settled_height as usize + 1..=settled_height as usize;
        let settles: Vec<_> = self.blocks[heights]
            .iter()
            .map(|built| built.receipt.clone())
            .collect();
        let delayed = self.blocks[settled_height as usize].receipt.post_state_root;
        let header = Header {
            height,
            parent_hash: parent.hash(),
            timestamp_ms: parent.timestamp_ms + 5,
            proposer: self.key.address(),
            transactions_root: merkle::transactions_root(&transactions),
            gas_limit: self.spec.limits.block_gas,
            settled_height,
            settlement_hash: settlement_hash(&settles),
            delayed_state_root: (self.spec.commitment == Commitment::DelayedRoot).then_some(delayed),
            consensus_data: self.consensus_data(height, salt),
            ..parent
        };
        let post_state_root = self.execute(header.parent_hash, &header);
        let transaction_receipts: Vec<_> = (0..)
            .zip(&transactions)
            .map(|(index, signed)| transaction_receipt(index, signed))
            .collect();
        let receipt = ExecutionReceipt {
            height,
            block_hash: header.hash(),
            status: ExecutionStatus::Executed,
            post_state_root,
            transaction_receipts_root: merkle::receipts_root(&transaction_receipts),
            gas_used: 5,
            gas_charged: 9,
        };
        self.blocks.push(Built {
            header,
            transactions,
            transaction_receipts,
            receipt,
            settles,
        });
    }

    fn consensus_data(&self, height: u64, salt: u8) -> Vec<u8> {
        let rotates = self.spec.consensus.id == rotating::ROTATING;
        let announced = rotates.then(|| rotating::announcement(height, salt)).flatten();
        announced.map_or_else(|| vec![salt], |hash| hash.0.to_vec())
    }

    /// Who certifies the block at `height`: those whom its own branch announced.
    pub fn validators(&self, height: u64) -> Vec<SecretKey> {
        let epoch = rotating::epoch_of(height);
        let announced = match epoch {
            0 => self.spec.consensus.parameters.clone(),
            _ => self.blocks[(epoch * rotating::EPOCH) as usize]
                .header
                .consensus_data
                .clone(),
        };
        let mut sets = (0..4).map(|salt| rotating::set(epoch, salt));
        sets.find(|set| rotating::set_hash(set).0[..] == announced)
            .unwrap()
    }

    fn execute(&self, parent: Hash, header: &Header) -> Hash {
        let deployed = Account {
            nonce: 1,
            balance: 0,
            code_hash: Some(code_hash(CODE)),
        };
        let counted = header.height.to_le_bytes().to_vec();
        let changes: Changes = [
            (account_path(&contract()), encode(&deployed)),
            (code_path(&code_hash(CODE)), CODE.to_vec()),
            (storage_path(&contract(), COUNTER), counted),
            (
                storage_path(&contract(), &header.height.to_le_bytes()),
                header.consensus_data.clone(),
            ),
        ]
        .map(|(path, value)| (path, Some(value.into())))
        .into_iter()
        .collect();
        self.store
            .insert(version(parent), version(header.hash()), header.height, changes)
            .unwrap();
        Hash(self.store.commit(version(header.hash())).unwrap().root)
    }

    /// The header at `height` with its certificate.
    pub fn certified(&self, height: u64) -> CertifiedHeader {
        let header = self.blocks[height as usize].header.clone();
        let (consensus_id, chain_id) = (&self.spec.consensus.id, self.spec.chain_id);
        let certificate = if consensus_id == rotating::ROTATING {
            rotating::certify(chain_id, header.hash(), &self.validators(height))
        } else {
            let hash = header.hash();
            encode(&SoloCertificate::sign_under(
                consensus_id,
                chain_id,
                height,
                hash,
                &self.key,
            ))
        };
        CertifiedHeader {
            header,
            certificate: Some(Certificate(certificate)),
        }
    }

    pub fn batch(&self, heights: impl IntoIterator<Item = u64>) -> Vec<CertifiedHeader> {
        heights.into_iter().map(|height| self.certified(height)).collect()
    }

    pub fn client(&self) -> LightClient {
        LightClient::new(self.spec.clone(), &rotating::verifiers()).unwrap()
    }

    /// A client that has followed the chain and taken all receipts.
    pub fn synced(&self) -> LightClient {
        let mut client = self.client();
        client.advance(&self.batch(1..self.blocks.len() as u64)).unwrap();
        for built in &self.blocks {
            client.settle(built.header.height, &built.settles).unwrap();
        }
        client
    }

    fn prove(&self, height: u64, path: [u8; 32]) -> (Option<Vec<u8>>, Proof) {
        let view = self
            .store
            .view(version(self.blocks[height as usize].header.hash()))
            .unwrap();
        (
            view.get(&path).unwrap().map(|value| value.to_vec()),
            view.prove(&path).unwrap(),
        )
    }

    pub fn account(&self, height: u64, address: &Address) -> AccountAnswer {
        let (record, proof) = self.prove(height, account_path(address));
        AccountAnswer {
            account: record.map(|record| borsh::from_slice(&record).unwrap()),
            proof,
        }
    }

    pub fn storage(&self, height: u64, key: &[u8]) -> StorageAnswer {
        let (value, proof) = self.prove(height, storage_path(&contract(), key));
        StorageAnswer {
            value: value.map(Bytes),
            proof,
        }
    }

    pub fn code(&self, height: u64, address: &Address) -> CodeAnswer {
        let account = self.account(height, address);
        let code = account
            .account
            .and_then(|account| account.code_hash)
            .map(|_| Bytes(CODE.to_vec()));
        CodeAnswer { code, account }
    }

    pub fn inclusion(&self, height: u64, index: u32) -> InclusionAnswer {
        let transactions = &self.blocks[height as usize].transactions;
        InclusionAnswer {
            proof: merkle::prove_transaction(transactions, index).unwrap(),
        }
    }

    pub fn transaction_receipt(&self, height: u64, index: u32) -> ReceiptAnswer {
        let receipts = &self.blocks[height as usize].transaction_receipts;
        ReceiptAnswer {
            receipt: receipts[index as usize].clone(),
            proof: merkle::prove_receipt(receipts, index).unwrap(),
        }
    }
}

fn transaction(nonce: u64) -> SignedTransaction {
    let payload = Payload::Call {
        to: contract(),
        value: 0,
        input: vec![],
    };
    Transaction {
        chain_id: 7,
        public_key: [0; 32],
        nonce,
        gas_limit: 10,
        gas_price: 1,
        payload,
    }
    .sign(&user())
}

fn transaction_receipt(index: u32, signed: &SignedTransaction) -> TransactionReceipt {
    let log = |data| Log {
        address: contract(),
        topics: vec![signed.hash()],
        data: vec![data],
    };
    TransactionReceipt {
        transaction_hash: signed.hash(),
        index,
        outcome: Outcome::Success,
        gas_used: 5,
        gas_charged: 9,
        output: vec![index as u8],
        logs: vec![log(1), log(2)],
        created: None,
    }
}
