//! New transactions: everything that needs no state is checked on the caller's thread, the pool judges the rest.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::Guard;
use millrace_executor::{intrinsic_gas, schedule};
use millrace_types::{Address, Hash, SignedTransaction};

use crate::accounts::{Asked, HeadAccounts};
use crate::api::{EngineStatus, PoolSnapshot, SubmitError};
use crate::engine::{Engine, Shared};

impl Engine {
    /// Takes a transaction into the pool and answers its id. What is wrong with it is said at once and by name; a
    /// transaction that only has to wait (for settled funds, for an earlier nonce) is taken.
    ///
    /// # Errors
    /// See [`SubmitError`].
    pub fn submit_transaction(&self, transaction: SignedTransaction) -> Result<Hash, SubmitError> {
        if let EngineStatus::Stopped { reason } = self.status() {
            return Err(SubmitError::Stopped(reason));
        }
        let shared = self.shared();
        shared.check_alone(&transaction)?;
        let hash = transaction.hash();
        if !shared.verified.contains(&hash.0) {
            transaction.verify()?;
            shared.verified.insert(&hash.0);
        }
        let accounts = shared.accounts();
        shared.pool.insert(transaction, &Asked::new(&accounts))?;
        if shared.transactions_wanted.swap(false, Ordering::SeqCst) {
            shared.offer_work();
        }
        Ok(hash)
    }

    /// The nonce of the next transaction of `address`, those in flight and in the pool counted.
    #[must_use]
    pub fn pending_nonce(&self, address: &Address) -> u64 {
        let accounts = self.shared().accounts();
        let accounts = Asked::new(&accounts);
        self.shared().pool.pending_nonce(address, &accounts)
    }

    /// How much the pool holds.
    #[must_use]
    pub fn pool(&self) -> PoolSnapshot {
        let stats = self.shared().pool.stats();
        PoolSnapshot {
            transactions: stats.transactions as u64,
            bytes: stats.bytes as u64,
        }
    }

    /// How much the store of states holds.
    #[must_use]
    pub fn states(&self) -> millrace_state::Stats {
        self.shared().store.stats()
    }
}

impl Shared {
    /// The accounts that new transactions are judged by.
    pub(crate) fn accounts(&self) -> Guard<Arc<HeadAccounts>> {
        self.accounts.load()
    }

    fn check_alone(&self, signed: &SignedTransaction) -> Result<(), SubmitError> {
        let (transaction, limits) = (&signed.transaction, &self.spec.limits);
        let (found, expected) = (transaction.chain_id, self.spec.chain_id);
        if found != expected {
            return Err(SubmitError::WrongChainId { found, expected });
        }
        let (size, limit) = (signed.byte_len() as u64, u64::from(limits.transaction_bytes));
        if size > limit {
            return Err(SubmitError::TooLarge { size, limit });
        }
        let (limit, max) = (transaction.gas_limit, limits.transaction_gas);
        if limit > max {
            return Err(SubmitError::GasLimitTooHigh { limit, max });
        }
        let (price, min) = (transaction.gas_price, limits.min_gas_price);
        if price < min {
            return Err(SubmitError::GasPriceTooLow { price, min });
        }
        // The version of the next block; another one may be in force when the transaction is included.
        let next_height = self.board.read(|facts| facts.heights.head.height) + 1;
        let versions = self.spec.versions_at(next_height);
        let schedule = schedule(versions.gas).expect("the spec's versions were checked at the start");
        let intrinsic = intrinsic_gas(signed, schedule);
        if limit < intrinsic {
            return Err(SubmitError::GasLimitTooLow { limit, intrinsic });
        }
        Ok(())
    }
}
