//! The pool against a model that keeps one list and looks at everything each time.
#![allow(clippy::unwrap_used)]

mod common;

use std::cmp::Reverse;

use millrace_mempool::{BlockRoom, Funds, Pool, PoolConfig};
use millrace_types::{Address, Amount, Hash, SignedTransaction};
use proptest::prelude::*;

use crate::common::{Accounts, transaction};

const KEYS: u8 = 5;

/// Everything in the pool, in order of arrival.
#[derive(Default)]
struct Model {
    entries: Vec<SignedTransaction>,
}

fn cost(signed: &SignedTransaction) -> Amount {
    let transaction = &signed.transaction;
    Amount::from(transaction.gas_limit) * Amount::from(transaction.gas_price) + transaction.payload.value()
}

fn account(view: &Accounts, signed: &SignedTransaction) -> (u64, Funds) {
    view.0.get(&signed.sender()).copied().unwrap_or_default()
}

impl Model {
    fn place(&self, signed: &SignedTransaction) -> Option<usize> {
        let key = |t: &SignedTransaction| (t.sender(), t.transaction.nonce);
        self.entries.iter().position(|entry| key(entry) == key(signed))
    }

    /// Ready, with all of its sender's before it.
    fn is_ready(&self, signed: &SignedTransaction, view: &Accounts) -> bool {
        let (next, funds) = account(view, signed);
        let mut sum = funds.reserved + cost(signed);
        for nonce in next..signed.transaction.nonce {
            let earlier = self
                .entries
                .iter()
                .find(|t| t.sender() == signed.sender() && t.transaction.nonce == nonce);
            match earlier {
                Some(earlier) => sum += cost(earlier),
                None => return false,
            }
        }
        sum <= funds.settled
    }

    /// The last transaction of some sender that is worth least: held, cheap, new.
    fn victim(&self, view: &Accounts) -> Option<(bool, u64, Reverse<usize>)> {
        let is_tail = |t: &SignedTransaction| {
            let later = |other: &SignedTransaction| other.transaction.nonce > t.transaction.nonce;
            !self
                .entries
                .iter()
                .any(|other| other.sender() == t.sender() && later(other))
        };
        let tails = self.entries.iter().enumerate().filter(|(_, t)| is_tail(t));
        tails
            .map(|(at, t)| (self.is_ready(t, view), t.transaction.gas_price, Reverse(at)))
            .min()
    }

    /// Whether the pool should take `signed`, and what goes for it. Every transaction has the same size here.
    fn insert(&mut self, signed: SignedTransaction, max: usize, view: &Accounts) -> Option<Vec<Hash>> {
        self.insert_at(self.entries.len(), signed, max, view)
    }

    /// The same for one that came when only the first `place` of the others were here.
    fn insert_at(
        &mut self,
        place: usize,
        signed: SignedTransaction,
        max: usize,
        view: &Accounts,
    ) -> Option<Vec<Hash>> {
        if self.entries.contains(&signed) {
            return Some(vec![]);
        }
        let (next, _) = account(view, &signed);
        if signed.transaction.nonce < next {
            return None;
        }
        let price = signed.transaction.gas_price;
        if let Some(at) = self.place(&signed) {
            let old = self.entries[at].transaction.gas_price;
            if 10 * price < 11 * old || price == old {
                return None;
            }
            let gone = self.entries.remove(at);
            self.entries.insert(place - usize::from(at < place), signed);
            return Some(vec![gone.hash()]);
        }
        let (mut gone, mut place) = (vec![], place);
        if self.entries.len() == max {
            let (ready, cheapest, Reverse(at)) = self.victim(view).unwrap();
            // Of those that are worth the same, the newer one goes.
            let is_older = place <= at;
            let (last, nonce) = (&self.entries[at], signed.transaction.nonce);
            let is_before_own = last.sender() == signed.sender() && last.transaction.nonce < nonce;
            if is_before_own || (ready, cheapest, !is_older) >= (self.is_ready(&signed, view), price, true) {
                return None;
            }
            gone.push(self.entries.remove(at).hash());
            place -= usize::from(at < place);
        }
        self.entries.insert(place, signed);
        Some(gone)
    }

    /// Takes the best of all that could come next, one at a time.
    fn best(&self, view: &Accounts, mut room: BlockRoom) -> Vec<SignedTransaction> {
        let mut view = view.clone();
        let mut given_up: Vec<Address> = vec![];
        let mut chosen = vec![];
        loop {
            let could_be_next = |t: &SignedTransaction| {
                let (next, funds) = account(&view, t);
                t.transaction.nonce == next
                    && funds.reserved + cost(t) <= funds.settled
                    && !given_up.contains(&t.sender())
            };
            let offers = self.entries.iter().enumerate().filter(|(_, t)| could_be_next(t));
            let Some((_, t)) = offers.min_by_key(|(at, t)| (Reverse(t.transaction.gas_price), *at)) else {
                return chosen;
            };
            let (gas, bytes) = (t.transaction.gas_limit, t.byte_len() as u64);
            if room.transactions == 0 || gas > room.gas || bytes > room.bytes {
                given_up.push(t.sender());
                continue;
            }
            room = BlockRoom {
                gas: room.gas - gas,
                bytes: room.bytes - bytes,
                transactions: room.transactions - 1,
            };
            let entry = view.0.entry(t.sender()).or_default();
            entry.0 += 1;
            entry.1.reserved += cost(t);
            chosen.push(t.clone());
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert {
        key: u8,
        nonce: u64,
        gas: u64,
        price: u64,
        value: u8,
    },
    /// What a block would get, on this branch or on one where a sender has more in flight.
    Best {
        ahead: Option<(u8, u64)>,
        room: (u64, u64, u32),
    },
    /// A block with some of the best joins the chain; it settles at once or later.
    Block { transactions: u32, settles: bool },
    /// Units come in.
    Credit { key: u8, units: u16 },
    /// The newest block leaves the chain.
    Return,
}

fn step() -> impl Strategy<Value = Step> {
    let nonces = (0..KEYS, 0u64..14);
    let insert = (nonces, 1u64..20, 1u64..25, any::<u8>()).prop_map(|((key, nonce), gas, price, value)| {
        Step::Insert {
            key,
            nonce,
            gas,
            price,
            value,
        }
    });
    let best = (
        proptest::option::of((0..KEYS, 1u64..4)),
        (0u64..120, 0u64..2_000, 0u32..8),
    )
        .prop_map(|(ahead, room)| Step::Best { ahead, room });
    let block = (1u32..5, any::<bool>()).prop_map(|(transactions, settles)| Step::Block {
        transactions,
        settles,
    });
    let credit = (0..KEYS, any::<u16>()).prop_map(|(key, units)| Step::Credit {
        key,
        units: units % 500,
    });
    prop_oneof![12 => insert, 3 => best, 2 => block, 2 => credit, 1 => Just(Step::Return)]
}

fn room((gas, bytes, transactions): (u64, u64, u32)) -> BlockRoom {
    BlockRoom {
        gas,
        bytes,
        transactions,
    }
}

/// The pool and its model, and the chain that they are judged by.
struct Pair {
    pool: Pool,
    model: Model,
    view: Accounts,
    max: usize,
    blocks: Vec<(Accounts, Vec<SignedTransaction>)>,
}

impl Pair {
    fn insert(&mut self, signed: SignedTransaction) -> Result<(), TestCaseError> {
        let expected = self.model.insert(signed.clone(), self.max, &self.view);
        let found = self.pool.insert(signed, &self.view);
        let gone = found
            .as_ref()
            .ok()
            .map(|i| i.replaced.iter().chain(&i.evicted).copied().collect::<Vec<_>>());
        prop_assert_eq!(gone, expected, "{:?}", found);
        Ok(())
    }

    fn include(&mut self, transactions: u32, settles: bool) -> Result<(), TestCaseError> {
        let block = self
            .pool
            .best(&self.view, room((u64::MAX, u64::MAX, transactions)));
        self.blocks.push((self.view.clone(), block.clone()));
        for signed in &block {
            let (next, funds) = self.view.0.entry(signed.sender()).or_default();
            *next += 1;
            if settles {
                funds.settled -= cost(signed);
            } else {
                funds.reserved += cost(signed);
            }
        }
        prop_assert_eq!(self.pool.remove_finalized(&block), vec![]);
        self.model.entries.retain(|entry| !block.contains(entry));
        Ok(())
    }

    fn give_back(&mut self) -> Result<(), TestCaseError> {
        let Some((before, block)) = self.blocks.pop() else {
            return Ok(());
        };
        self.view = before;
        let (mut refused, mut place) = (0, 0);
        let mut displaced = vec![];
        for signed in &block {
            let found = self.model.insert_at(place, signed.clone(), self.max, &self.view);
            // Those that came back before it are older.
            let is_back = |at: &usize| self.model.entries.get(*at) == Some(signed);
            place += usize::from(is_back(&place));
            match found {
                Some(gone) => displaced.extend(gone),
                None => refused += 1,
            }
        }
        let taken = self.pool.take_back(block, &self.view);
        prop_assert_eq!((taken.refused.len(), taken.displaced), (refused, displaced));
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.pool.stats().transactions, self.model.entries.len());
        prop_assert!(self.model.entries.len() <= self.max);
        for entry in &self.model.entries {
            let held = self.pool.status(&entry.hash(), &self.view);
            let is_held = !self.model.is_ready(entry, &self.view);
            prop_assert_eq!(held.map(|held| held.is_some()), Some(is_held), "{:?}", entry);
        }
        Ok(())
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Insert {
                key,
                nonce,
                gas,
                price,
                value,
            } => {
                let mut signed = transaction(key, nonce, price, Amount::from(value));
                signed.transaction.gas_limit = gas;
                self.insert(signed)?;
            }
            Step::Best { ahead, room: limits } => {
                let mut view = self.view.clone();
                if let Some((key, count)) = ahead {
                    view.0.entry(Address::of_key(&[key; 32])).or_default().0 += count;
                }
                let found = self.pool.best(&view, room(limits));
                prop_assert_eq!(found, self.model.best(&view, room(limits)));
                let any = !self.model.best(&view, room((u64::MAX, u64::MAX, 1))).is_empty();
                prop_assert_eq!(self.pool.has_ready(&view), any);
            }
            Step::Block {
                transactions,
                settles,
            } => self.include(transactions, settles)?,
            Step::Credit { key, units } => {
                let entry = self.view.0.entry(Address::of_key(&[key; 32])).or_default();
                entry.1.settled += Amount::from(units);
                self.blocks.clear();
            }
            Step::Return => self.give_back()?,
        }
        self.check()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8 * ProptestConfig::default().cases, ..ProptestConfig::default() })]

    /// `PROPTEST_CASES` scales it. Admission to the pool, eviction, replacement, what blocks get, what is held, forks: as the model has it.
    #[test]
    fn the_pool_does_what_the_model_does(max in 1usize..12, steps in proptest::collection::vec(step(), 0..80)) {
        let pool = Pool::new(PoolConfig { max_transactions: max, ..PoolConfig::default() });
        let view = Accounts::with(&[(0, 0, 900), (1, 0, 400), (2, 0, 90), (3, 1, 900), (4, 0, 0)]);
        let mut pair = Pair { pool, model: Model::default(), view, max, blocks: vec![] };
        for step in steps {
            pair.step(step)?;
        }
    }
}
