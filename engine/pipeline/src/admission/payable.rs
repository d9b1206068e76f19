//! Transaction by transaction: limits, prices, nonces that continue, and a worst case that can be paid.

use std::collections::BTreeMap;

use millrace_executor::{GasSchedule, intrinsic_gas, most_cost, schedule};
use millrace_types::{Address, Amount, ChainSpec, Hash, Header, SignedTransaction};

use super::{Branch, Invalid, InvalidTransaction, Spending, StateFault};

/// A transaction with what is derived from its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The transaction.
    pub signed: &'a SignedTransaction,
    /// Its id.
    pub hash: Hash,
    /// Its sender.
    pub sender: Address,
    /// Its canonical bytes.
    pub size: u64,
}

impl<'a> Candidate<'a> {
    /// Derives it.
    #[must_use]
    pub fn of(signed: &'a SignedTransaction, hash: Hash) -> Self {
        Self {
            signed,
            hash,
            sender: signed.sender(),
            size: signed.byte_len() as u64,
        }
    }
}

/// Why a transaction was not taken in.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotAdmitted {
    /// It cannot be the next.
    #[error(transparent)]
    Invalid(#[from] InvalidTransaction),
    /// This node cannot tell.
    #[error(transparent)]
    Fault(#[from] StateFault),
}

/// A sender while a block is filled.
#[derive(Clone, Copy)]
struct Sender {
    /// Balance at s(B).
    settled: Amount,
    /// Worst case of everything in flight, this block's transactions included.
    reserved: Amount,
    next_nonce: u64,
    /// In this block.
    spending: Spending,
}

/// Admission of one block's transactions, in order. The proposer fills a block with it, the validator checks one.
pub struct Admission<'a> {
    spec: &'a ChainSpec,
    header: &'a Header,
    branch: &'a dyn Branch,
    schedule: &'static GasSchedule,
    senders: BTreeMap<Address, Sender>,
    gas: u128,
}

impl<'a> Admission<'a> {
    /// For the block with this header, of which height, gas limit and settled height count. The state at the settled
    /// height is executed here.
    ///
    /// # Panics
    /// If the spec names a gas version that this build does not have, which the executor refuses at the start.
    #[must_use]
    pub fn new(spec: &'a ChainSpec, header: &'a Header, branch: &'a dyn Branch) -> Self {
        let schedule =
            schedule(spec.versions_at(header.height).gas).expect("the spec's versions were checked");
        Self {
            spec,
            header,
            branch,
            schedule,
            senders: BTreeMap::new(),
            gas: 0,
        }
    }

    /// Takes the next transaction in, or says why it cannot be the next. Nothing changes then.
    ///
    /// # Errors
    /// The first rule that it breaks. The sum of gas limits and the signature are not looked at.
    pub fn admit(&mut self, candidate: &Candidate<'_>) -> Result<(), NotAdmitted> {
        self.check_alone(candidate)?;
        let transaction = &candidate.signed.transaction;
        let mut sender = self.sender(&candidate.sender)?;
        if transaction.nonce != sender.next_nonce {
            let (found, expected) = (transaction.nonce, sender.next_nonce);
            return Err(InvalidTransaction::Nonce { found, expected }.into());
        }
        let unpayable = |needed| InvalidTransaction::Unpayable {
            settled: sender.settled,
            reserved: sender.reserved,
            needed,
        };
        let cost = most_cost(transaction).ok_or(unpayable(Amount::MAX))?;
        let reserved = sender.reserved.checked_add(cost).ok_or(unpayable(cost))?;
        if reserved > sender.settled {
            return Err(unpayable(cost).into());
        }
        sender.reserved = reserved;
        sender.next_nonce += 1;
        // Not more than `reserved`, so it does not overflow.
        sender.spending.cost += cost;
        sender.spending.count += 1;
        self.senders.insert(candidate.sender, sender);
        self.gas += u128::from(transaction.gas_limit);
        Ok(())
    }

    /// The gas limits of what was admitted, added up.
    #[must_use]
    pub fn gas(&self) -> u128 {
        self.gas
    }

    /// Whether the gas limits add up to no more than the header's.
    pub(super) fn check_gas_sum(&self) -> Result<(), Invalid> {
        let limit = self.header.gas_limit;
        if self.gas > u128::from(limit) {
            return Err(Invalid::GasSum { sum: self.gas, limit });
        }
        Ok(())
    }

    /// What each sender may spend in the block.
    #[must_use]
    pub fn into_senders(self) -> BTreeMap<Address, Spending> {
        self.senders
            .into_iter()
            .filter(|(_, sender)| sender.spending.count > 0)
            .map(|(address, sender)| (address, sender.spending))
            .collect()
    }

    /// Rules that need nothing but the transaction and the spec.
    fn check_alone(&self, candidate: &Candidate<'_>) -> Result<(), InvalidTransaction> {
        let transaction = &candidate.signed.transaction;
        let limits = &self.spec.limits;
        if transaction.chain_id != self.spec.chain_id {
            return Err(InvalidTransaction::ChainId {
                found: transaction.chain_id,
                expected: self.spec.chain_id,
            });
        }
        let limit = u64::from(limits.transaction_bytes);
        if candidate.size > limit {
            return Err(InvalidTransaction::TooLong {
                size: candidate.size,
                limit,
            });
        }
        if transaction.gas_limit > limits.transaction_gas {
            return Err(InvalidTransaction::GasLimit {
                found: transaction.gas_limit,
                limit: limits.transaction_gas,
            });
        }
        let intrinsic = intrinsic_gas(candidate.signed, self.schedule);
        if transaction.gas_limit < intrinsic {
            return Err(InvalidTransaction::IntrinsicGas {
                limit: transaction.gas_limit,
                intrinsic,
            });
        }
        if transaction.gas_price < limits.min_gas_price {
            return Err(InvalidTransaction::GasPrice {
                found: transaction.gas_price,
                min: limits.min_gas_price,
            });
        }
        Ok(())
    }

    fn sender(&self, address: &Address) -> Result<Sender, StateFault> {
        if let Some(sender) = self.senders.get(address) {
            return Ok(*sender);
        }
        let settled_height = self.header.settled_height;
        let account = self.branch.account_at(settled_height, address)?;
        let spent = (settled_height + 1..self.header.height)
            .map(|height| self.branch.spending_at(height, address))
            .fold(Spending::default(), Spending::plus);
        Ok(Sender {
            settled: account.balance,
            reserved: spent.cost,
            next_nonce: account.nonce.saturating_add(spent.count),
            spending: Spending::default(),
        })
    }
}
