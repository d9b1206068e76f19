//! Admission: whether a block may be voted for, built on, executed.
//!
//! [`check`] is one pure function of a block, its ancestors and the chain spec, used by proposer and validator alike.
//! It goes from what is cheap and needs least to what needs the state:
//!
//! ```text
//! structure    header after parent, sizes, counts, roots, commitment option      the block and its parent
//! settlement   the receipts are of the right ancestors ...                        ... and its ancestors' hashes
//!              ... and are what execution gives                                   ... and this node's own receipts
//! admission    chain, gas, price, nonces continue, worst case payable             ... and the state at s(B)
//! signatures   what this node has not verified before                             the transactions
//! ```
//!
//! **Admitted implies payable and in order.** The balance used is the one at s(B), which the block's own receipts
//! commit to, less everything that the sender may spend in the blocks after s(B) up to and including this one.
//! Whatever those executions do, a sender's account can only lose what was reserved (nobody else debits an account
//! that has a key) and may gain. So when a transaction is executed, its sender has at least gas limit × price +
//! value, and the nonce that it names. The executor asserts both.
//!
//! Not checked here: the voter's clock (protocol rule 6), which is no matter of validity.

mod payable;
mod reason;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use millrace_types::receipt::settlement_hash;
use millrace_types::settlement::{SettlementError, check_header, check_settlement};
use millrace_types::state::Account;
use millrace_types::{
    Address, Amount, Block, ChainSpec, Commitment, ExecutionReceipt, Hash, Header, Height, codec, keys,
    merkle,
};

pub use payable::{Admission, Candidate, NotAdmitted};
pub use reason::{Invalid, InvalidTransaction, Pending, Verdict};

/// What a sender may spend in one block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Spending {
    /// Transactions.
    pub count: u64,
    /// Sum of gas limit × price + value.
    pub cost: Amount,
}

impl Spending {
    /// Both together. A sum beyond all balances stays there.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            count: self.count.saturating_add(other.count),
            cost: self.cost.saturating_add(other.cost),
        }
    }
}

/// What later blocks need to know of an admitted one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Every sender's spending.
    pub senders: BTreeMap<Address, Spending>,
    /// The transactions' ids, in order.
    pub transactions: Vec<Hash>,
}

/// The branch that a block extends, from its parent down to s(parent), as this node knows it. Answers for one height
/// never change while a verdict is found.
pub trait Branch {
    /// The ancestor at `height`.
    fn hash_at(&self, height: Height) -> Option<Hash>;

    /// This node's own, durable receipt of the ancestor at `height`; genesis has the implied one. `None` if it is not
    /// executed here.
    fn receipt_at(&self, height: Height) -> Option<ExecutionReceipt>;

    /// What `sender` may spend in the ancestor at `height`.
    fn spending_at(&self, height: Height, sender: &Address) -> Spending;

    /// An account in the state after the ancestor at `height`, which is executed here. An absent one is empty.
    ///
    /// # Errors
    /// When this node cannot read its state: no verdict then, and the node has to stop.
    fn account_at(&self, height: Height, address: &Address) -> Result<Account, StateFault>;
}

/// This node cannot read its own state. Says nothing about any block.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("reading state failed: {0}")]
pub struct StateFault(pub String);

/// Signatures that need no second look.
pub trait KnownSignatures {
    /// Whether the transaction with this id (which covers its signature) was verified here.
    fn contains(&self, transaction: &Hash) -> bool;
}

/// Nothing was verified before.
impl KnownSignatures for () {
    fn contains(&self, _: &Hash) -> bool {
        false
    }
}

/// A parent, with the hash that the caller knows already.
#[derive(Clone, Copy, Debug)]
pub struct Parent<'a> {
    /// Its header.
    pub header: &'a Header,
    /// Its hash.
    pub hash: Hash,
}

/// The verdict on `block` as a child of `parent`. Pure: equal arguments give equal answers, on every node.
///
/// # Errors
/// Only a fault of this node.
pub fn check(
    block: &Block,
    parent: Parent<'_>,
    branch: &dyn Branch,
    spec: &ChainSpec,
    known: &dyn KnownSignatures,
) -> Result<Verdict, StateFault> {
    match try_check(block, parent, branch, spec, known) {
        Ok(summary) => Ok(Verdict::Valid(summary)),
        Err(Refusal::Invalid(reason)) => Ok(Verdict::Invalid(reason)),
        Err(Refusal::NotExecuted(height)) => Ok(Verdict::Pending(Pending::NotExecuted { height })),
        Err(Refusal::Fault(fault)) => Err(fault),
    }
}

/// Why a check ends early.
enum Refusal {
    Invalid(Invalid),
    NotExecuted(Height),
    Fault(StateFault),
}

impl<T: Into<Invalid>> From<T> for Refusal {
    fn from(reason: T) -> Self {
        Self::Invalid(reason.into())
    }
}

fn try_check(
    block: &Block,
    parent: Parent<'_>,
    branch: &dyn Branch,
    spec: &ChainSpec,
    known: &dyn KnownSignatures,
) -> Result<Summary, Refusal> {
    check_header(&block.header, parent.header, &parent.hash, spec)?;
    let transactions = check_body(block, spec)?;
    let settled = parent.header.settled_height;
    check_receipts(block, settled, branch, spec)?;
    let mut admission = Admission::new(spec, &block.header, branch);
    for (index, (signed, hash)) in (0u32..).zip(block.body.transactions.iter().zip(&transactions)) {
        let candidate = Candidate::of(signed, *hash);
        admission.admit(&candidate).map_err(|refused| match refused {
            NotAdmitted::Invalid(reason) => Refusal::Invalid(Invalid::Transaction { index, reason }),
            NotAdmitted::Fault(fault) => Refusal::Fault(fault),
        })?;
    }
    admission.check_gas_sum()?;
    check_signatures(block, &transactions, known)?;
    Ok(Summary {
        senders: admission.into_senders(),
        transactions,
    })
}

/// Whether the body is the one that the header commits to, and with it the block's hash. If it is not, nothing is said
/// about the block of that hash: its own body may still come.
///
/// # Errors
/// What the header does not commit to.
pub fn check_commitments(block: &Block, spec: &ChainSpec) -> Result<(), Invalid> {
    let (found, expected) = (
        block.header.transactions_root,
        merkle::transactions_root(&block.body.transactions),
    );
    if found != expected {
        return Err(Invalid::TransactionsRoot { found, expected });
    }
    let receipts = &block.body.receipts;
    let (found, expected) = (settlement_hash(receipts), block.header.settlement_hash);
    match spec.commitment {
        Commitment::ExecutionReceipts if found != expected => {
            Err(SettlementError::Hash { found, expected }.into())
        }
        Commitment::DelayedRoot if !receipts.is_empty() => Err(Invalid::UnexpectedReceipts {
            found: receipts.len() as u64,
        }),
        _ => Ok(()),
    }
}

/// Sizes, counts, the transactions root; answers the transactions' ids.
fn check_body(block: &Block, spec: &ChainSpec) -> Result<Vec<Hash>, Invalid> {
    let limit = u64::from(spec.limits.block_transactions);
    let count = block.body.transactions.len() as u64;
    if count > limit {
        return Err(Invalid::TooManyTransactions { count, limit });
    }
    let size = codec::encoded_len(block) as u64;
    let limit = u64::from(spec.limits.block_bytes);
    if size > limit {
        return Err(Invalid::TooLong { size, limit });
    }
    let hashes: Vec<Hash> = block
        .body
        .transactions
        .iter()
        .map(millrace_types::SignedTransaction::hash)
        .collect();
    let expected = transactions_root(&hashes);
    let found = block.header.transactions_root;
    if found != expected {
        return Err(Invalid::TransactionsRoot { found, expected });
    }
    Ok(hashes)
}

/// The transactions root, from their ids.
pub(crate) fn transactions_root(hashes: &[Hash]) -> Hash {
    let leaves: Vec<Hash> = (0u32..)
        .zip(hashes)
        .map(|(index, hash)| merkle::transaction_leaf(index, hash))
        .collect();
    merkle::root(&leaves)
}

/// Settlement (protocol rules 2 to 4): what is carried or committed to is what execution gives.
fn check_receipts(
    block: &Block,
    parent_settled: Height,
    branch: &dyn Branch,
    spec: &ChainSpec,
) -> Result<(), Refusal> {
    let header = &block.header;
    let carried = &block.body.receipts;
    match spec.commitment {
        Commitment::ExecutionReceipts => {
            let ancestor = |height| branch.hash_at(height).unwrap_or(Hash::ZERO);
            check_settlement(header, parent_settled, carried, ancestor)?;
        }
        Commitment::DelayedRoot if carried.is_empty() => {}
        Commitment::DelayedRoot => {
            return Err(Invalid::UnexpectedReceipts {
                found: carried.len() as u64,
            }
            .into());
        }
    }
    let own = own_receipts(header, parent_settled, branch)?;
    match spec.commitment {
        Commitment::ExecutionReceipts => compare_carried(carried, &own),
        Commitment::DelayedRoot => compare_committed(header, parent_settled, &own),
    }
    .map_err(Refusal::Invalid)
}

/// This node's receipts of the heights that `header` settles.
fn own_receipts(
    header: &Header,
    parent_settled: Height,
    branch: &dyn Branch,
) -> Result<Vec<ExecutionReceipt>, Refusal> {
    // The state at s(B) is needed also when nothing new is settled.
    if branch.receipt_at(header.settled_height).is_none() && header.settled_height == parent_settled {
        return Err(Refusal::NotExecuted(parent_settled));
    }
    (parent_settled + 1..=header.settled_height)
        .map(|height| branch.receipt_at(height).ok_or(Refusal::NotExecuted(height)))
        .collect()
}

fn compare_carried(carried: &[ExecutionReceipt], own: &[ExecutionReceipt]) -> Result<(), Invalid> {
    match carried.iter().zip(own).find(|(carried, own)| carried != own) {
        None => Ok(()),
        Some((carried, own)) => Err(Invalid::ReceiptDiffers {
            height: own.height,
            found: Box::new(carried.clone()),
            expected: Box::new(own.clone()),
        }),
    }
}

fn compare_committed(
    header: &Header,
    parent_settled: Height,
    own: &[ExecutionReceipt],
) -> Result<(), Invalid> {
    let own_block =
        |height: Height| own[usize::try_from(height - parent_settled - 1).unwrap_or(0)].block_hash;
    match check_settlement(header, parent_settled, own, own_block) {
        Ok(()) => Ok(()),
        Err(SettlementError::Hash {
            found: expected,
            expected: found,
        }) => Err(Invalid::SettlementDiffers {
            from: parent_settled + 1,
            to: header.settled_height,
            found,
            expected,
        }),
        Err(SettlementError::DelayedRoot {
            found: expected,
            expected: found,
        }) => Err(Invalid::RootDiffers {
            height: header.settled_height,
            found,
            expected,
        }),
        Err(other) => Err(other.into()),
    }
}

fn check_signatures(block: &Block, hashes: &[Hash], known: &dyn KnownSignatures) -> Result<(), Invalid> {
    let unknown: Vec<u32> = (0u32..)
        .zip(hashes)
        .filter(|(_, hash)| !known.contains(hash))
        .map(|(index, _)| index)
        .collect();
    let signed: Vec<_> = unknown
        .iter()
        .map(|index| block.body.transactions[*index as usize].clone())
        .collect();
    keys::verify_batch(&signed).map_err(|error| Invalid::Transaction {
        index: unknown[error.index],
        reason: InvalidTransaction::Signature,
    })
}
