//! New transactions: everything that needs no state is checked on the caller's thread, the pool judges the rest. Signatures
//! of several are checked as one batch, which costs about a quarter for each.

use std::sync::Arc;

use arc_swap::Guard;
use millrace_executor::{intrinsic_gas, schedule};
use millrace_types::keys::{BatchSignatureError, verify_batch};
use millrace_types::{Address, Hash, SignatureError, SignedTransaction};

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
        shared.tell_of_transactions();
        Ok(hash)
    }

    /// Takes transactions as [`Self::submit_transaction`] takes them one after the other, and answers in their order. Faster,
    /// because signatures are checked together: some 64 to 256 are enough for that.
    pub fn submit_transactions(
        &self,
        transactions: Vec<SignedTransaction>,
    ) -> Vec<Result<Hash, SubmitError>> {
        let shared = self.shared();
        let mut answers = self.check_all(&transactions);
        let accounts = shared.accounts();
        let mut taken = false;
        for (answer, transaction) in answers.iter_mut().zip(transactions) {
            if answer.is_ok() {
                match shared.pool.insert(transaction, &Asked::new(&accounts)) {
                    Ok(_) => taken = true,
                    Err(refusal) => *answer = Err(refusal.into()),
                }
            }
        }
        if taken {
            shared.tell_of_transactions();
        }
        answers
    }

    /// Everything that needs no state.
    fn check_all(&self, transactions: &[SignedTransaction]) -> Vec<Result<Hash, SubmitError>> {
        if let EngineStatus::Stopped { reason } = self.status() {
            let stopped = |_| Err(SubmitError::Stopped(reason.clone()));
            return transactions.iter().map(stopped).collect();
        }
        let shared = self.shared();
        let check = |signed: &SignedTransaction| shared.check_alone(signed).map(|()| signed.hash());
        let mut answers: Vec<_> = transactions.iter().map(check).collect();
        let mut unknown = Vec::new();
        for ((answer, signed), index) in answers.iter().zip(transactions).zip(0..) {
            if let Ok(hash) = answer
                && !shared.verified.contains(&hash.0)
            {
                unknown.push((index, *hash, signed));
            }
        }
        let signed: Vec<_> = unknown.iter().map(|(_, _, signed)| *signed).collect();
        for ((index, hash, _), found) in unknown.into_iter().zip(verify(&signed)) {
            match found {
                Ok(()) => shared.verified.insert(&hash.0),
                Err(error) => answers[index] = Err(error.into()),
            }
        }
        answers
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

/// Whether signatures count, each by itself.
fn verify(transactions: &[&SignedTransaction]) -> Vec<Result<(), SignatureError>> {
    // A batch of one costs more than the one.
    if let [one] = transactions {
        return vec![one.verify()];
    }
    match verify_batch(transactions.iter().copied()) {
        Ok(()) => vec![Ok(()); transactions.len()],
        // Those before it were found good on the way to it.
        Err(BatchSignatureError { index, error }) => {
            let mut found = vec![Ok(()); index];
            found.push(Err(error));
            found.extend(transactions[index + 1..].iter().map(|signed| signed.verify()));
            found
        }
    }
}

impl Shared {
    /// Something came into the pool: whoever waits for transactions is told.
    fn tell_of_transactions(&self) {
        if self.wakeups.take_transaction() {
            self.offer_work();
        }
    }

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
