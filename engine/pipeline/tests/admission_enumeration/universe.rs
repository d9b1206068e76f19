//! The universe: who there is, what transactions there are, what the rule says of each, and what it does when executed.

use std::collections::BTreeMap;
use std::rc::Rc;

use millrace_executor::{charged_gas, intrinsic_gas, schedule};
use millrace_pipeline::admission::{Branch, Candidate, InvalidTransaction, Spending, StateFault};
use millrace_types::chain_spec::GenesisAccount;
use millrace_types::state::Account;
use millrace_types::{
    Address, Amount, ChainSpec, Commitment, ExecutionReceipt, Gas, Hash, Height, Payload, SignedTransaction,
    Transaction,
};

use crate::common::*;

/// Accounts of the universe; all have keys, the last has nothing at genesis. The first is every block's proposer.
pub const PEOPLE: usize = 3;
/// What they have at genesis, in units: a unit is the intrinsic gas of a call.
pub const GENESIS_UNITS: [Amount; PEOPLE] = [6, 3, 0];

/// What a transaction does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Does {
    /// Transfers to the next account, the one before, itself.
    PaysNext,
    PaysPrevious,
    PaysItself,
    /// Calls where no code is: fails, and its value comes back.
    Fails,
}

/// A line of the menu. Gas limit and value are in units, the value with so many more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Kind {
    pub does: Does,
    pub limit: Gas,
    pub price: u64,
    pub value: Amount,
    pub and: Amount,
}

pub const fn kind(does: Does, limit: Gas, price: u64, value: Amount, and: Amount) -> Kind {
    Kind {
        does,
        limit,
        price,
        value,
        and,
    }
}

/// Costs 1, 3, 4 and one more, 3, 5, 4 units at most; the first uses its limit up, the others get a unit back for each unit
/// of price.
pub const MENU: [Kind; 6] = [
    kind(Does::Fails, 1, 1, 0, 0),
    kind(Does::PaysNext, 2, 1, 1, 0),
    kind(Does::Fails, 2, 1, 2, 1),
    kind(Does::PaysItself, 2, 1, 1, 0),
    kind(Does::PaysPrevious, 2, 1, 3, 0),
    kind(Does::PaysNext, 2, 2, 0, 0),
];

/// A signed transaction of the menu.
pub struct Entry {
    pub who: usize,
    pub kind: Kind,
    pub signed: SignedTransaction,
    pub hash: Hash,
    pub sender: Address,
    pub size: u64,
    pub cost: Amount,
}

impl Entry {
    pub fn nonce(&self) -> u64 {
        self.signed.transaction.nonce
    }

    pub fn candidate(&self) -> Candidate<'_> {
        Candidate {
            signed: &self.signed,
            hash: self.hash,
            sender: self.sender,
            size: self.size,
        }
    }
}

/// The accounts at one height.
pub type Accounts = [Holding; PEOPLE];

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Holding {
    pub nonce: u64,
    pub balance: Amount,
}

/// What each account reserved in one block.
pub type Reserved = [(u64, Amount); PEOPLE];

/// All that the future of a chain depends on: the heights from s(tip) to its tip.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Situation {
    /// After each of these heights.
    pub accounts: Vec<Accounts>,
    /// In each of them; of s(tip) itself nothing counts any more.
    pub reserved: Vec<Reserved>,
}

impl Situation {
    /// With what is before the `from`th height forgotten.
    pub fn settled_at(&self, from: usize) -> Self {
        let mut reserved = self.reserved[from..].to_vec();
        reserved[0] = Reserved::default();
        Self {
            accounts: self.accounts[from..].to_vec(),
            reserved,
        }
    }

    pub fn tip(&self) -> &Accounts {
        self.accounts.last().unwrap()
    }

    pub fn with(&self, accounts: Accounts, reserved: Reserved) -> Self {
        let mut next = self.clone();
        next.accounts.push(accounts);
        next.reserved.push(reserved);
        next
    }
}

/// A situation whose first height is s(B), as admission looks at it.
pub struct Seen<'a> {
    pub situation: &'a Situation,
    pub settled: Height,
    pub universe: &'a Universe,
}

impl Seen<'_> {
    pub fn at(&self, height: Height) -> usize {
        usize::try_from(
            height
                .checked_sub(self.settled)
                .expect("what is below s(B) is no concern"),
        )
        .unwrap()
    }

    pub fn who(&self, address: &Address) -> usize {
        let mut people = self.universe.people.iter();
        people.position(|one| one == address).unwrap()
    }
}

impl Branch for Seen<'_> {
    fn hash_at(&self, _: Height) -> Option<Hash> {
        unreachable!("receipts are looked at on real chains only")
    }

    fn receipt_at(&self, _: Height) -> Option<ExecutionReceipt> {
        unreachable!("receipts are looked at on real chains only")
    }

    fn spending_at(&self, height: Height, sender: &Address) -> Spending {
        let (count, cost) = self.situation.reserved[self.at(height)][self.who(sender)];
        Spending { count, cost }
    }

    fn account_at(&self, height: Height, address: &Address) -> Result<Account, StateFault> {
        let Holding { nonce, balance } = self.situation.accounts[self.at(height)][self.who(address)];
        Ok(Account {
            nonce,
            balance,
            code_hash: None,
        })
    }
}

/// Which chains there are.
#[derive(Clone, Copy)]
pub struct Extent {
    pub k: u64,
    /// Blocks, the empty chain not counted.
    pub blocks: u64,
    /// Most transactions in a block.
    pub per_block: usize,
    /// Accounts that send, from the first on.
    pub senders: usize,
    /// Lines of the menu, from the first on.
    pub kinds: usize,
}

pub struct Universe {
    pub extent: Extent,
    pub spec: ChainSpec,
    pub unit: Amount,
    pub people: [Address; PEOPLE],
    pub entries: BTreeMap<(usize, Kind, u64), Rc<Entry>>,
}

impl Universe {
    pub fn new(extent: Extent, commitment: Commitment) -> Self {
        let people = std::array::from_fn(|n| address(u8::try_from(n).unwrap()));
        let unit = call_gas();
        let mut accounts: Vec<GenesisAccount> = people
            .iter()
            .zip(GENESIS_UNITS)
            .map(|(address, units)| GenesisAccount {
                address: *address,
                balance: units * Amount::from(unit),
            })
            .filter(|account| account.balance > 0)
            .collect();
        accounts.sort_by_key(|account| account.address);
        let spec = ChainSpec {
            accounts,
            commitment,
            max_receipt_lag: extent.k,
            ..spec()
        };
        Self {
            extent,
            spec,
            unit: unit.into(),
            people,
            entries: BTreeMap::new(),
        }
    }

    pub fn genesis(&self) -> Situation {
        let holding = |units| Holding {
            nonce: 0,
            balance: units * self.unit,
        };
        Situation {
            accounts: vec![GENESIS_UNITS.map(holding)],
            reserved: vec![Reserved::default()],
        }
    }

    /// What is tried next: every kind with the nonce that is in order, the first kind with those around it too.
    pub fn menu(&mut self, now: &Accounts) -> Vec<Rc<Entry>> {
        let mut menu = Vec::new();
        for (who, holding) in now.iter().enumerate().take(self.extent.senders) {
            for kind in MENU.into_iter().take(self.extent.kinds) {
                menu.push(self.entry(who, kind, holding.nonce));
            }
            menu.push(self.entry(who, MENU[0], holding.nonce + 1));
            if let Some(used) = holding.nonce.checked_sub(1) {
                menu.push(self.entry(who, MENU[0], used));
            }
        }
        menu
    }

    pub fn entry(&mut self, who: usize, kind: Kind, nonce: u64) -> Rc<Entry> {
        if let Some(entry) = self.entries.get(&(who, kind, nonce)) {
            return Rc::clone(entry);
        }
        let value = kind.value * self.unit + kind.and;
        let to = self.people[receiver(who, kind)];
        let payload = match kind.does {
            Does::Fails => call(value),
            Does::PaysNext | Does::PaysPrevious | Does::PaysItself => Payload::Transfer { to, value },
        };
        let gas_limit = kind.limit * u64::try_from(self.unit).unwrap();
        let signed = sign(who, nonce, gas_limit, kind.price, payload);
        let entry = Rc::new(Entry {
            who,
            kind,
            hash: signed.hash(),
            sender: signed.sender(),
            size: signed.byte_len() as u64,
            cost: Amount::from(gas_limit) * Amount::from(kind.price) + value,
            signed,
        });
        self.entries.insert((who, kind, nonce), Rc::clone(&entry));
        entry
    }
}

/// Whom a transaction of `who` pays.
pub fn receiver(who: usize, kind: Kind) -> usize {
    match kind.does {
        Does::PaysNext => (who + 1) % PEOPLE,
        Does::PaysPrevious => (who + PEOPLE - 1) % PEOPLE,
        Does::PaysItself | Does::Fails => who,
    }
}

/// A call where no code is.
pub fn call(value: Amount) -> Payload {
    Payload::Call {
        to: Address([0xcc; 32]),
        value,
        input: Vec::new(),
    }
}

pub fn sign(who: usize, nonce: u64, gas_limit: Gas, gas_price: u64, payload: Payload) -> SignedTransaction {
    let transaction = Transaction {
        chain_id: spec().chain_id,
        public_key: [0; 32],
        nonce,
        gas_limit,
        gas_price,
        payload,
    };
    transaction.sign(&key(u8::try_from(who).unwrap()))
}

pub fn call_gas() -> Gas {
    let schedule = schedule(spec().versions_at(0).gas).unwrap();
    let gas = |payload| intrinsic_gas(&sign(0, 0, 0, 1, payload), schedule);
    let (to, value) = (Address::default(), 0);
    let transfer = gas(Payload::Transfer { to, value });
    assert!(transfer <= gas(call(0)), "a unit covers a transfer");
    gas(call(0))
}

/// The executor's rules for this menu, in another wording: what the accounts are after `entry`, or `None` if it is not in
/// order or cannot be paid. Tips are the proposer's at the end of the block.
pub fn executed(unit: Amount, now: &Accounts, entry: &Entry, tips: &mut Amount) -> Option<Accounts> {
    let mut after = *now;
    let sender = &mut after[entry.who];
    if sender.nonce != entry.nonce() || sender.balance < entry.cost {
        return None;
    }
    // A unit at most is used, which is half of the limit at least, or all of it.
    let unit_gas = u64::try_from(unit).unwrap();
    let charged = charged_gas(unit_gas, entry.signed.transaction.gas_limit);
    assert_eq!(charged, unit_gas);
    let value = entry.signed.transaction.payload.value();
    sender.nonce += 1;
    sender.balance -= unit * Amount::from(entry.kind.price);
    if entry.kind.does != Does::Fails {
        sender.balance -= value;
        after[receiver(entry.who, entry.kind)].balance += value;
    }
    *tips += unit * Amount::from(entry.kind.price - 1);
    Some(after)
}

/// What the rule in docs/spec/blocks.md says of a transaction behind those of `block`, when s(B) is the situation's
/// first height.
pub fn ruled(situation: &Situation, block: &[Rc<Entry>], entry: &Entry) -> Result<(), InvalidTransaction> {
    let mut in_flight: (u64, Amount) = (0, 0);
    for height in &situation.reserved[1..] {
        in_flight.0 += height[entry.who].0;
        in_flight.1 += height[entry.who].1;
    }
    for earlier in block.iter().filter(|earlier| earlier.who == entry.who) {
        in_flight.0 += 1;
        in_flight.1 += earlier.cost;
    }
    let settled = situation.accounts[0][entry.who];
    let (found, expected) = (entry.nonce(), settled.nonce + in_flight.0);
    if found != expected {
        return Err(InvalidTransaction::Nonce { found, expected });
    }
    if settled.balance < in_flight.1 + entry.cost {
        return Err(InvalidTransaction::Unpayable {
            settled: settled.balance,
            reserved: in_flight.1,
            needed: entry.cost,
        });
    }
    Ok(())
}
