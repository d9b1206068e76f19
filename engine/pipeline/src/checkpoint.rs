//! The part of a ledger that a new node begins with, beside an imported state.
//!
//! ```text
//!   genesis · · · x ─────── H ─────── E ─────── F
//!                 │         │         │         └ a finalized block, whose hash the new node's operator trusts
//!                 │         │         └ the newest that F settles; it settles H
//!                 │         └ the state that is imported is the one after this block
//!                 └ the oldest that later blocks look back at, and then as many as the settlement that it is part of has
//! ```
//!
//! A checkpoint has the blocks x ..= F and what executing x ..= E gave. A new node executes H+1 ..= E again and compares, and then
//! what follows, which is validated against states from H on. Everything in it follows from F's hash: headers are
//! linked by hashes, bodies are what headers commit to, receipts are what headers in it settle, and the receipt of H names the
//! root of the state. Who wrote it need not be trusted. F itself is: whoever imports has to have its hash from a source that
//! follows the chain's consensus, as a light client does.
//!
//! The new ledger has genesis and what is in the checkpoint; the heights between are not there.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use millrace_ledger::{Batch, Ledger, LedgerError};
use millrace_types::certificate::MAX_CERTIFICATE_BYTES;
use millrace_types::merkle::receipts_root;
use millrace_types::settlement::{HeaderError, SettlementError, check_header, check_settlement};
use millrace_types::{Block, ChainSpec, ExecutionReceipt, Hash, Header, Height, TransactionReceipt, codec};

use crate::admission::{Invalid, check_commitments};
use crate::api::BlockRef;
use crate::recovery::{OpenError, genesis};

/// A finalized block with what finalized it.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
struct Certified {
    block: Block,
    #[borsh(deserialize_with = "codec::bytes")]
    certificate: Vec<u8>,
}

/// What executing a block gave.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
struct Execution {
    receipt: ExecutionReceipt,
    #[borsh(deserialize_with = "codec::list")]
    transactions: Vec<TransactionReceipt>,
}

/// See the module's documentation.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Checkpoint {
    /// H.
    height: Height,
    /// Ascending, without a gap.
    #[borsh(deserialize_with = "codec::list")]
    blocks: Vec<Certified>,
    /// Of the blocks up to E, ascending.
    #[borsh(deserialize_with = "codec::list")]
    executions: Vec<Execution>,
}

/// Why there is no checkpoint of a ledger.
#[derive(Debug, thiserror::Error)]
pub enum MakeCheckpointError {
    /// The ledger could not be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Later blocks would be validated against an older state.
    #[error(
        "height {height} is not settled by a block that is itself settled by a finalized one: the newest that is, is {newest}"
    )]
    NotSettled {
        /// As asked for.
        height: Height,
        /// The newest that will do.
        newest: Height,
    },
    /// Every node has genesis.
    #[error(
        "no block but genesis is settled by one that is itself settled: run the chain until there is one, or start the new node from its chain spec"
    )]
    OnlyGenesis,
    /// The ledger does not have what the checkpoint needs.
    #[error("the ledger has no {what} of height {height}: it begins above; export a later height")]
    Missing {
        /// Kind of record.
        what: &'static str,
        /// Where.
        height: Height,
    },
}

/// Why a checkpoint is not taken.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It does not decode.
    #[error("the checkpoint does not decode: {0}; fetch the file again")]
    Encoding(#[from] codec::DecodeError),
    /// It has nothing.
    #[error("the checkpoint has no {0}; fetch the file again, from somebody else")]
    Empty(&'static str),
    /// It ends with another block than the trusted one.
    #[error(
        "the checkpoint ends with block {found} at height {height}, the trusted one is {trusted}; fetch the one of that block"
    )]
    OtherBlock {
        /// Its last block.
        found: Hash,
        /// The last block's height.
        height: Height,
        /// As given.
        trusted: Hash,
    },
    /// A header does not follow the one before.
    #[error("checkpoint, height {height}: {error}; fetch the file again, from somebody else")]
    Header {
        /// Where.
        height: Height,
        /// What is wrong.
        error: HeaderError,
    },
    /// A body is not the one that its header commits to.
    #[error("checkpoint, height {height}: {error}; fetch the file again, from somebody else")]
    Body {
        /// Where.
        height: Height,
        /// What is wrong.
        error: Box<Invalid>,
    },
    /// Receipts are not those that a header settles.
    #[error(
        "checkpoint, receipts settled at height {height}: {error}; fetch the file again, from somebody else"
    )]
    Settlement {
        /// The settling header's height.
        height: Height,
        /// What is wrong.
        error: SettlementError,
    },
    /// A receipt that no header in it settles, or one that is missing.
    #[error(
        "checkpoint: no header in it settles the receipt of height {height}; fetch the file again, from somebody else"
    )]
    NotSettled {
        /// The receipt's height.
        height: Height,
    },
    /// The list of a block's transaction receipts is another.
    #[error(
        "checkpoint, height {height}: the transaction receipts hash to {found}, the block's receipt says {expected}; fetch the file again, from somebody else"
    )]
    TransactionReceipts {
        /// Where.
        height: Height,
        /// Their root.
        found: Hash,
        /// In the receipt.
        expected: Hash,
    },
    /// More than its own rules give.
    #[error(
        "the checkpoint has {found} blocks, more than 4 x max_receipt_lag + 1 = {limit}; fetch it again, from somebody else"
    )]
    TooManyBlocks {
        /// How many.
        found: u64,
        /// How many there may be.
        limit: u64,
    },
    /// No node takes a block with such a certificate.
    #[error(
        "checkpoint, height {height}: a certificate of {found} bytes, more than {limit}; fetch the file again, from somebody else"
    )]
    CertificateTooLong {
        /// Where.
        height: Height,
        /// Its bytes.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Genesis follows from the chain spec.
    #[error(
        "the checkpoint has a block of height 0, which no file can give; fetch it again, from somebody else"
    )]
    HasGenesis,
    /// Later blocks look back further than it reaches.
    #[error(
        "the checkpoint begins at height {found}, a node needs it from {needed} on; fetch the file again, from somebody else"
    )]
    TooShort {
        /// Its first height.
        found: Height,
        /// What is needed.
        needed: Height,
    },
    /// Blocks that it has are validated against an older state.
    #[error(
        "the checkpoint is of the state at height {height}, but its newest executed block settles {settled}; fetch the file \
         again, from somebody else"
    )]
    StateTooNew {
        /// Of the state.
        height: Height,
        /// What it could be at most.
        settled: Height,
    },
    /// The ledger could not be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The chain spec contradicts itself.
    #[error(transparent)]
    Genesis(#[from] Box<OpenError>),
    /// The ledger is not new.
    #[error("the ledger has blocks already; import into an empty data directory")]
    NotEmpty,
}

/// A checkpoint that was verified, and what it vouches for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Vouched<'a> {
    checkpoint: &'a Checkpoint,
    genesis: Block,
    /// The block after which the state is.
    pub state: BlockRef,
    /// Root of the state.
    pub root: Hash,
    /// The last block.
    pub last: BlockRef,
}

/// The most bytes of an encoded checkpoint: more than any chain needs for the few blocks that it has.
pub const MAX_BYTES: usize = 1 << 30;

impl Checkpoint {
    /// That of the state at `height`, up to the first block that will do as F; by default that of the newest state with the
    /// newest finalized block as F.
    ///
    /// # Errors
    /// [`MakeCheckpointError`].
    pub fn of(ledger: &Ledger, height: Option<Height>) -> Result<Self, MakeCheckpointError> {
        let reader = Reader { ledger };
        let newest = ledger.last_finalized()?.ok_or(MakeCheckpointError::OnlyGenesis)?;
        let executed = reader.header(newest.height)?.settled_height;
        let settled = reader.header(executed)?.settled_height;
        let height = height.unwrap_or(settled);
        if height == 0 {
            return Err(MakeCheckpointError::OnlyGenesis);
        }
        if height > settled {
            return Err(MakeCheckpointError::NotSettled {
                height,
                newest: settled,
            });
        }
        let last = if height == settled {
            newest.height
        } else {
            reader.settled_by(reader.settled_by(height)?)?
        };
        let first = reader.first(reader.header(height)?.settled_height)?;
        let mut blocks = Vec::new();
        for height in first..=last {
            let hash = reader.hash(height)?;
            let block = ledger.block(&hash)?;
            blocks.push(Certified {
                block: block.ok_or(MakeCheckpointError::Missing {
                    what: "block",
                    height,
                })?,
                certificate: ledger.certificate(&hash)?.unwrap_or_default(),
            });
        }
        let mut executions = Vec::new();
        for height in first..=reader.header(last)?.settled_height {
            let hash = reader.hash(height)?;
            let missing = |what| MakeCheckpointError::Missing { what, height };
            executions.push(Execution {
                receipt: ledger.receipt(&hash)?.ok_or(missing("execution receipt"))?,
                transactions: ledger
                    .transaction_receipts(&hash)?
                    .ok_or(missing("list of transaction receipts"))?,
            });
        }
        Ok(Self {
            height,
            blocks,
            executions,
        })
    }

    /// Hash of the block after which the state is; `None` if the checkpoint is damaged.
    #[must_use]
    pub fn state_block(&self) -> Option<Hash> {
        let execution = self
            .executions
            .iter()
            .find(|execution| execution.receipt.height == self.height);
        execution.map(|execution| execution.receipt.block_hash)
    }

    /// Its last block; `None` if it has none.
    #[must_use]
    pub fn last(&self) -> Option<BlockRef> {
        let header = &self.blocks.last()?.block.header;
        Some(BlockRef {
            height: header.height,
            hash: header.hash(),
        })
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// What [`Self::encode`] wrote.
    ///
    /// # Errors
    /// [`CheckpointError::Encoding`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CheckpointError> {
        Ok(codec::decode(bytes, MAX_BYTES)?)
    }

    /// Verifies everything against the hash of the last block.
    ///
    /// # Errors
    /// What is wrong first.
    pub fn verify(&self, spec: &ChainSpec, trusted: &Hash) -> Result<Vouched<'_>, CheckpointError> {
        let (genesis, _) = genesis(spec).map_err(Box::new)?;
        let last = self.last().ok_or(CheckpointError::Empty("blocks"))?;
        if last.hash != *trusted {
            return Err(CheckpointError::OtherBlock {
                found: last.hash,
                height: last.height,
                trusted: *trusted,
            });
        }
        let genesis_hash = genesis.hash();
        let (found, limit) = (self.blocks.len() as u64, most_blocks(spec));
        if found > limit {
            return Err(CheckpointError::TooManyBlocks { found, limit });
        }
        let hashes = self.verify_blocks(spec, (&genesis.header, genesis_hash))?;
        self.verify_executions(&genesis.header, &hashes)?;
        let state = self
            .executions
            .iter()
            .find(|execution| execution.receipt.height == self.height)
            .ok_or(CheckpointError::NotSettled { height: self.height })?;
        let receipt = &state.receipt;
        let header = self
            .header(self.height)
            .ok_or(CheckpointError::Empty("block of the state"))?;
        // The first receipt is of the first block or a later one.
        let found = self.executions.first().map_or(0, |first| first.receipt.height);
        let needed = header.settled_height.max(1);
        if found > needed {
            return Err(CheckpointError::TooShort { found, needed });
        }
        let newest = self.executions.last().map_or(0, |last| last.receipt.height);
        let expected = self.header(last.height).map_or(0, |last| last.settled_height);
        if newest != expected {
            return Err(CheckpointError::NotSettled {
                height: newest.min(expected) + 1,
            });
        }
        let settled = self.header(newest).map_or(0, |newest| newest.settled_height);
        if settled < self.height {
            return Err(CheckpointError::StateTooNew {
                height: self.height,
                settled,
            });
        }
        Ok(Vouched {
            state: BlockRef {
                height: receipt.height,
                hash: receipt.block_hash,
            },
            root: receipt.post_state_root,
            last,
            checkpoint: self,
            genesis,
        })
    }

    /// Headers are linked, bodies are theirs. Gives the blocks' hashes.
    fn verify_blocks(
        &self,
        spec: &ChainSpec,
        genesis: (&Header, Hash),
    ) -> Result<BTreeMap<Height, Hash>, CheckpointError> {
        let mut hashes = BTreeMap::new();
        let first = self.first();
        if first == 0 {
            return Err(CheckpointError::HasGenesis);
        }
        let mut parent = (first == 1).then_some(genesis);
        for Certified { block, certificate } in &self.blocks {
            let (found, limit) = (certificate.len(), MAX_CERTIFICATE_BYTES);
            if found > limit {
                let height = block.header.height;
                return Err(CheckpointError::CertificateTooLong { height, found, limit });
            }
            let (header, hash) = (&block.header, block.hash());
            let height = header.height;
            if let Some((parent, parent_hash)) = parent {
                check_header(header, parent, &parent_hash, spec)
                    .map_err(|error| CheckpointError::Header { height, error })?;
            }
            check_commitments(block, spec).map_err(|error| CheckpointError::Body {
                height,
                error: Box::new(error),
            })?;
            hashes.insert(height, hash);
            parent = Some((header, hash));
        }
        Ok(hashes)
    }

    /// Every receipt is one that a header settles.
    fn verify_executions(
        &self,
        genesis: &Header,
        hashes: &BTreeMap<Height, Hash>,
    ) -> Result<(), CheckpointError> {
        let first = self.first();
        let parents = self.blocks.iter().map(|parent| &parent.block.header);
        let genesis = (first == 1).then_some(genesis);
        let parents = genesis.into_iter().chain(parents);
        let headers = self.blocks.iter().skip(usize::from(genesis.is_none()));
        let mut executions = &self.executions[..];
        let mut next = first;
        for (parent, Certified { block, .. }) in parents.zip(headers) {
            let (header, settled) = (&block.header, parent.settled_height);
            // Settlements before the first one that is wholly in it are of no use.
            if header.settled_height < first || executions.is_empty() {
                continue;
            }
            let count = header.settled_height.saturating_sub(settled) as usize;
            let (here, rest) = executions.split_at(count.min(executions.len()));
            executions = rest;
            next = header.settled_height + 1;
            let receipts: Vec<_> = here.iter().map(|execution| execution.receipt.clone()).collect();
            let ancestor = |height| hashes.get(&height).copied().unwrap_or(Hash::ZERO);
            check_settlement(header, settled, &receipts, ancestor).map_err(|error| {
                CheckpointError::Settlement {
                    height: header.height,
                    error,
                }
            })?;
        }
        if !executions.is_empty() {
            return Err(CheckpointError::NotSettled { height: next });
        }
        for Execution {
            receipt,
            transactions,
        } in &self.executions
        {
            let (found, expected) = (receipts_root(transactions), receipt.transaction_receipts_root);
            if found != expected {
                return Err(CheckpointError::TransactionReceipts {
                    height: receipt.height,
                    found,
                    expected,
                });
            }
        }
        Ok(())
    }

    /// Height of its first block.
    fn first(&self) -> Height {
        self.blocks.first().map_or(0, |first| first.block.header.height)
    }

    fn header(&self, height: Height) -> Option<&Header> {
        let mut headers = self.blocks.iter().map(|certified| &certified.block.header);
        headers.find(|header| header.height == height)
    }
}

impl Vouched<'_> {
    /// Hash of the chain's genesis block, by its spec.
    #[must_use]
    pub fn genesis(&self) -> Hash {
        self.genesis.hash()
    }

    /// Header of the block after which the state is.
    pub(crate) fn state_header(&self) -> &Header {
        let header = self.checkpoint.header(self.state.height);
        header.expect("what was verified has the block of its state")
    }

    /// What executing the blocks up to the state gave, as headers settle it; ascending.
    pub(crate) fn executions_up_to_state(
        &self,
    ) -> impl Iterator<Item = (&ExecutionReceipt, &[TransactionReceipt])> {
        let executions = self.checkpoint.executions.iter();
        executions
            .take_while(|execution| execution.receipt.height <= self.state.height)
            .map(|execution| (&execution.receipt, &execution.transactions[..]))
    }

    /// Writes the checkpoint to a new ledger, behind genesis.
    ///
    /// # Errors
    /// [`CheckpointError::NotEmpty`], or the ledger's.
    pub fn write(&self, ledger: &Ledger) -> Result<(), CheckpointError> {
        if ledger.last_finalized()?.is_some() {
            return Err(CheckpointError::NotEmpty);
        }
        let mut batch = Batch::new();
        batch.finalized(0, self.genesis()).block(self.genesis.clone());
        for Certified { block, certificate } in &self.checkpoint.blocks {
            let (height, hash) = (block.header.height, block.hash());
            batch.block(block.clone()).finalized(height, hash);
            if !certificate.is_empty() {
                batch.certificate(hash, certificate.clone());
            }
        }
        for Execution {
            receipt,
            transactions,
        } in &self.checkpoint.executions
        {
            // What is above the state is executed again, and compared.
            batch.execution(receipt.clone(), transactions.clone());
        }
        Ok(ledger.commit(&batch)?)
    }
}

/// How many blocks there can be from x to F: each of four steps back is K at most.
fn most_blocks(spec: &ChainSpec) -> u64 {
    spec.max_receipt_lag.saturating_mul(4).saturating_add(1)
}

struct Reader<'a> {
    ledger: &'a Ledger,
}

impl Reader<'_> {
    fn hash(&self, height: Height) -> Result<Hash, MakeCheckpointError> {
        let what = "finalized block";
        let hash = self.ledger.finalized_hash(height)?;
        hash.ok_or(MakeCheckpointError::Missing { what, height })
    }

    fn header(&self, height: Height) -> Result<Header, MakeCheckpointError> {
        let header = self.ledger.header(&self.hash(height)?)?;
        header.ok_or(MakeCheckpointError::Missing {
            what: "header",
            height,
        })
    }

    /// The first height of the settlement that a height is part of.
    fn first(&self, height: Height) -> Result<Height, MakeCheckpointError> {
        if height == 0 {
            return Ok(1);
        }
        Ok(self.header(self.settled_by(height)? - 1)?.settled_height + 1)
    }

    /// Height of the block that settles another.
    fn settled_by(&self, height: Height) -> Result<Height, MakeCheckpointError> {
        let what = "settlement";
        let by = self.ledger.settled_by(height)?;
        by.ok_or(MakeCheckpointError::Missing { what, height })
    }
}
