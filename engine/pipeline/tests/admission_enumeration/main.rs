//! Admitted implies payable and in order when executed, by exhaustion: the real admission function over every chain of a
//! small universe, each executed in a reference model, and those of a smaller one on the real executor.
//!
//! A chain is a list of blocks; a block is how far it settles and which transactions it holds, in order. Every choice
//! is tried: every settled height that the rules allow under K, every transaction of the menu behind every list that was
//! admitted. Admission looks at nothing below s(B), so chains that agree from there on have the same future: they are
//! one [`Situation`], which is gone on from once and counted as often as chains lead to it.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/late.rs"]
mod late;
mod universe;

use std::collections::BTreeMap;
use std::rc::Rc;

use late::{LateChain, is_long_run};
use millrace_pipeline::admission::{
    Admission, Invalid, InvalidTransaction, NotAdmitted, Spending, Summary, Verdict,
};
use millrace_types::{Address, Commitment, Hash, Header, Height, merkle};
use universe::*;

/// What is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// What is admitted is in order and payable when it is executed.
    Theorem,
    /// And what is refused, and why, is what the rule says.
    Exactness,
}

/// What there was.
#[derive(Default, Debug)]
struct Tally {
    chains: u128,
    situations: u64,
    /// Judged once for each situation, settled height and block so far.
    verdicts: BTreeMap<&'static str, u64>,
}

impl Tally {
    fn count(&mut self, what: &'static str) {
        *self.verdicts.entry(what).or_default() += 1;
    }

    fn of(&self, what: &str) -> u64 {
        self.verdicts.get(what).copied().unwrap_or_default()
    }

    fn note(
        &mut self,
        situation: &Situation,
        entry: &Entry,
        now: &Accounts,
        verdict: Result<(), InvalidTransaction>,
    ) {
        self.count(match verdict {
            Ok(()) => "admitted",
            Err(InvalidTransaction::Nonce { found, expected }) if found < expected => "nonce used",
            Err(InvalidTransaction::Nonce { .. }) => "nonce too high",
            Err(InvalidTransaction::Unpayable { .. }) => "unpayable",
            Err(other) => panic!("nothing on the menu is {other}"),
        });
        let settled = situation.accounts[0][entry.who].balance;
        match verdict {
            Ok(()) if settled < now[entry.who].balance => {
                self.count("admitted, with credits that do not count yet")
            }
            Err(InvalidTransaction::Unpayable { reserved: 0, .. }) => {
                self.count("unpayable, nothing in flight")
            }
            Err(InvalidTransaction::Unpayable { .. }) if now[entry.who].balance >= entry.cost => {
                self.count("unpayable by what is settled, payable as it turned out");
            }
            Err(InvalidTransaction::Unpayable {
                settled,
                reserved,
                needed,
            }) if reserved + needed == settled + 1 => {
                self.count("unpayable by one");
            }
            _ => {}
        }
    }
}

/// Says of a block's transactions that were admitted, and one more, whether that is admitted too.
type Judge<'a> = dyn FnMut(&Universe, &[Rc<Entry>], &Rc<Entry>) -> Result<(), InvalidTransaction> + 'a;

/// A block: what it leaves, and its transactions.
type Made = (Situation, Vec<Rc<Entry>>);

/// Judges every block on `situation`, whose first height is what it settles, and answers those that are admitted.
fn blocks(
    universe: &mut Universe,
    situation: &Situation,
    claim: Claim,
    tally: &mut Tally,
    judge: &mut Judge<'_>,
) -> Vec<Made> {
    let mut made = Vec::new();
    let mut open = vec![(Vec::new(), *situation.tip(), 0)];
    while let Some((block, now, tips)) = open.pop() {
        if block.len() < universe.extent.per_block {
            for entry in universe.menu(&now) {
                let verdict = judge(universe, &block, &entry);
                tally.note(situation, &entry, &now, verdict);
                if claim == Claim::Exactness {
                    assert_eq!(
                        verdict,
                        ruled(situation, &block, &entry),
                        "{}",
                        tale(situation, &block, &entry)
                    );
                }
                if verdict.is_err() {
                    continue;
                }
                let mut tips = tips;
                let after = executed(universe.unit, &now, &entry, &mut tips).unwrap_or_else(|| {
                    panic!(
                        "admitted, and not payable in order: {}",
                        tale(situation, &block, &entry)
                    )
                });
                let mut longer = block.clone();
                longer.push(entry);
                open.push((longer, after, tips));
            }
        }
        let mut accounts = now;
        accounts[0].balance += tips;
        let mut reserved = Reserved::default();
        for entry in &block {
            reserved[entry.who].0 += 1;
            reserved[entry.who].1 += entry.cost;
        }
        made.push((situation.with(accounts, reserved), block));
    }
    made
}

/// What a failure was about.
fn tale(situation: &Situation, block: &[Rc<Entry>], entry: &Entry) -> String {
    let told = |entry: &Entry| format!("account {} nonce {} {:?}", entry.who, entry.nonce(), entry.kind);
    let earlier: Vec<String> = block.iter().map(|entry| told(entry)).collect();
    format!("{} behind {earlier:?} in {situation:?}", told(entry))
}

/// The next block's settled heights, as places in `situation`.
fn may_settle(situation: &Situation, k: u64) -> std::ops::Range<usize> {
    let heights = situation.accounts.len();
    heights.saturating_sub(usize::try_from(k).unwrap())..heights
}

/// The real function's word on one more transaction in a block of `height` that settles the situation's first.
fn admit(
    universe: &Universe,
    situation: &Situation,
    height: Height,
    block: &[Rc<Entry>],
    entry: &Entry,
    claim: Claim,
) -> Result<(), InvalidTransaction> {
    let settled = height - situation.accounts.len() as u64;
    let header = Header {
        height,
        settled_height: settled,
        gas_limit: universe.spec.limits.block_gas,
        transactions_root: merkle::transactions_root(&[]),
        ..Header::genesis(&universe.spec, Hash::ZERO)
    };
    let seen = Seen {
        situation,
        settled,
        universe,
    };
    let mut admission = Admission::new(&universe.spec, &header, &seen);
    let mut verdict = |entry: &Entry| match admission.admit(&entry.candidate()) {
        Ok(()) => Ok(()),
        Err(NotAdmitted::Invalid(reason)) => Err(reason),
        Err(NotAdmitted::Fault(fault)) => panic!("{fault}"),
    };
    for earlier in block {
        verdict(earlier).expect("what was admitted is admitted again");
    }
    let answer = verdict(entry);
    if claim == Claim::Theorem {
        return answer;
    }
    let senders = admission.into_senders();
    let admitted = block
        .iter()
        .map(|entry| &**entry)
        .chain(answer.is_ok().then_some(entry));
    let mut expected: BTreeMap<Address, Spending> = BTreeMap::new();
    for entry in admitted {
        let spending = expected.entry(entry.sender).or_default();
        *spending = spending.plus(Spending {
            count: 1,
            cost: entry.cost,
        });
    }
    assert_eq!(senders, expected, "what later blocks are told");
    answer
}

/// Goes through every chain.
fn enumerate(extent: Extent, claim: Claim) -> Tally {
    let mut universe = Universe::new(extent, Commitment::ExecutionReceipts);
    let mut tally = Tally::default();
    let mut level = BTreeMap::from([(universe.genesis(), 1_u128)]);
    for height in 1..=extent.blocks {
        let mut next: BTreeMap<Situation, u128> = BTreeMap::new();
        for (situation, chains) in &level {
            for from in may_settle(situation, extent.k) {
                let seen = situation.settled_at(from);
                let mut judge = |universe: &Universe, block: &[Rc<Entry>], entry: &Rc<Entry>| {
                    admit(universe, &seen, height, block, entry, claim)
                };
                for (after, _) in blocks(&mut universe, &seen, claim, &mut tally, &mut judge) {
                    *next.entry(after).or_default() += chains;
                }
            }
        }
        tally.chains += next.values().sum::<u128>();
        tally.situations += next.len() as u64;
        level = next;
    }
    println!(
        "K {}, {} blocks of {}: {tally:?}",
        extent.k, extent.blocks, extent.per_block
    );
    tally
}

const fn extent(k: u64, blocks: u64, per_block: usize, senders: usize, kinds: usize) -> Extent {
    Extent {
        k,
        blocks,
        per_block,
        senders,
        kinds,
    }
}

/// Long chains of small blocks, short chains of large ones; and how many chains that are.
const EXTENTS: [(Extent, u128); 6] = [
    (extent(1, 6, 1, 3, 6), 201_290),
    (extent(2, 5, 1, 3, 6), 367_181),
    (extent(3, 4, 1, 3, 6), 43_886),
    (extent(1, 3, 3, 2, 5), 136_671),
    (extent(2, 3, 2, 3, 6), 97_247),
    (extent(3, 3, 3, 2, 4), 285_702),
];

const LONG_EXTENTS: [(Extent, u128); 4] = [
    (extent(1, 10, 1, 3, 6), 43_665_775),
    (extent(2, 8, 1, 3, 6), 244_753_774),
    (extent(3, 7, 1, 3, 6), 78_851_301),
    (extent(4, 4, 3, 3, 6), 12_171_595),
];

fn extents() -> Vec<(Extent, u128)> {
    let long = LONG_EXTENTS
        .into_iter()
        .take(if is_long_run() { LONG_EXTENTS.len() } else { 0 });
    EXTENTS.into_iter().chain(long).collect()
}

#[test]
fn in_every_chain_of_a_small_universe_what_is_admitted_is_payable_and_in_order() {
    for (extent, _) in extents() {
        enumerate(extent, Claim::Theorem);
    }
}

#[test]
fn in_every_chain_of_a_small_universe_what_is_refused_is_what_the_rule_refuses() {
    let mut total = Tally::default();
    for (extent, chains) in extents() {
        let tally = enumerate(extent, Claim::Exactness);
        assert_eq!(tally.chains, chains, "docs/spec/blocks.md says how many");
        for (what, count) in tally.verdicts {
            *total.verdicts.entry(what).or_default() += count;
        }
    }
    for what in [
        "admitted",
        "admitted, with credits that do not count yet",
        "nonce used",
        "nonce too high",
        "unpayable, nothing in flight",
        "unpayable by what is settled, payable as it turned out",
        "unpayable by one",
    ] {
        assert!(total.of(what) > 100, "{what}: {total:?}");
    }
}

/// Every chain of an extent as real blocks with real receipts, judged by the whole check and executed by the real
/// executor, whose accounts must be the reference model's.
fn run_for_real(
    universe: &mut Universe,
    chain: &mut LateChain,
    situation: &Situation,
    blocks_left: u64,
    tally: &mut Tally,
) {
    if blocks_left == 0 {
        return;
    }
    for from in may_settle(situation, universe.extent.k) {
        let seen = situation.settled_at(from);
        let settled = chain.tip().height + 1 - seen.accounts.len() as u64;
        assert!(chain.may_settle().contains(&settled));
        let mut judge = |_: &Universe, block: &[Rc<Entry>], entry: &Rc<Entry>| {
            let transactions = block.iter().chain([entry]).map(|entry| entry.signed.clone());
            match chain.judge(&chain.block(settled, transactions.collect())) {
                Verdict::Valid(_) => Ok(()),
                Verdict::Invalid(Invalid::Transaction { index, reason }) => {
                    assert_eq!(index as usize, block.len(), "{reason}");
                    Err(reason)
                }
                other => panic!("{other:?}"),
            }
        };
        for (after, block) in blocks(universe, &seen, Claim::Exactness, tally, &mut judge) {
            let transactions = block.iter().map(|entry| entry.signed.clone()).collect();
            let block = chain.block(settled, transactions);
            let summary: Summary = match chain.judge(&block) {
                Verdict::Valid(summary) => summary,
                other => panic!("{other:?}"),
            };
            chain.execute(block, summary);
            tally.chains += 1;
            let accounts = universe.people.map(|person| {
                let account = chain.account(chain.tip().height, &person);
                Holding {
                    nonce: account.nonce,
                    balance: account.balance,
                }
            });
            assert_eq!(accounts, *after.tip(), "the model is the executor's: {after:?}");
            run_for_real(universe, chain, &after, blocks_left - 1, tally);
            chain.take_back();
        }
    }
}

#[test]
fn in_every_chain_of_a_smaller_universe_the_real_executor_finds_the_same() {
    let mut extents = vec![
        (extent(1, 3, 1, 2, 6), Commitment::ExecutionReceipts),
        (extent(2, 3, 1, 2, 3), Commitment::DelayedRoot),
        (extent(3, 2, 2, 2, 3), Commitment::ExecutionReceipts),
    ];
    if is_long_run() {
        extents.push((extent(2, 4, 1, 3, 4), Commitment::ExecutionReceipts));
        extents.push((extent(3, 3, 2, 2, 3), Commitment::DelayedRoot));
    }
    for (extent, commitment) in extents {
        let mut universe = Universe::new(extent, commitment);
        let mut chain = LateChain::new(universe.spec.clone());
        let (genesis, mut tally) = (universe.genesis(), Tally::default());
        run_for_real(&mut universe, &mut chain, &genesis, extent.blocks, &mut tally);
        println!(
            "K {}, {} real blocks of {}: {tally:?}",
            extent.k, extent.blocks, extent.per_block
        );
        assert!(
            tally.of("admitted") > 100 && tally.of("unpayable") > 100,
            "{tally:?}"
        );
    }
}
