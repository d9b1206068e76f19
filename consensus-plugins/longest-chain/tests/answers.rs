//! One answer of the engine at a time: what the plugin does about it.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;

use millrace_plugin_longest_chain::LongestChain;
use millrace_plugin_sdk::harness::Harness;
use millrace_plugin_sdk::types::Hash;
use millrace_plugin_sdk::{
    Action, BlockBytes, BlockMark, BuildRequest, Bytes, Declined, Event, HeadDeclined, PressureValues,
    Submitted, Token,
};
use support::{FIRST_SLOT, Manners, SLOT_MS, ToyEngine, chain_state, hash};

/// The plugin, whose every action is answered by hand.
struct ByHand(Harness<LongestChain>);

impl ByHand {
    /// One miner that wins every slot, with finality two blocks deep.
    fn start(more: &str, pressure: Option<PressureValues>) -> Self {
        let alone = r#", "won_slots_percent": 100, "miners": 1, "propagation_slots": 0"#;
        Self::start_as(alone, more, pressure)
    }

    fn start_as(network: &str, more: &str, pressure: Option<PressureValues>) -> Self {
        let engine = ToyEngine::new(Manners {
            finality_depth: 2,
            ..Manners::default()
        });
        let config = format!("{network}{more}");
        let chain = chain_state(&engine, &config, FIRST_SLOT * SLOT_MS);
        Self(Harness::start(&chain, pressure).unwrap())
    }

    fn slot(&mut self) {
        let now_ms = self.0.now_ms();
        self.0.advance_to((now_ms / SLOT_MS + 1) * SLOT_MS);
    }

    /// What it does, but for logs and metrics.
    fn actions(&mut self) -> Vec<Action> {
        let mut actions = self.0.take_actions();
        actions.retain(|action| !matches!(action, Action::Log(..) | Action::Metric(..)));
        actions
    }

    fn only_action(&mut self) -> Action {
        let [action] = <[_; 1]>::try_from(self.actions()).unwrap();
        action
    }

    fn build(&mut self) -> (Token, BuildRequest) {
        match self.only_action() {
            Action::RequestBlock(token, request) => (token, request),
            other => panic!("{other:?}"),
        }
    }

    fn built(&mut self, token: Token, name: u64, parent: Hash, height: u64) {
        let block = BlockBytes {
            bytes: vec![name as u8].into(),
            hash: hash(name),
            parent_hash: parent,
            height,
        };
        self.0.deliver(Event::BlockBuilt {
            token,
            result: Ok(block),
        });
    }

    fn declined(&mut self, token: Token, why: Declined) {
        self.0.deliver(Event::BlockBuilt {
            token,
            result: Err(why),
        });
    }

    fn import(&mut self) -> (Token, Bytes) {
        match self.only_action() {
            Action::ImportBlock(token, block) => (token, block),
            other => panic!("{other:?}"),
        }
    }

    fn submitted(&mut self, token: Token, outcome: Submitted) {
        self.0.deliver(Event::Submitted { token, outcome });
    }

    fn set_head(&mut self) -> (Token, Hash) {
        match self.only_action() {
            Action::SetHead(token, head) => (token, head),
            other => panic!("{other:?}"),
        }
    }

    fn moved(&mut self, token: Token, name: u64, height: u64) {
        self.0.deliver(Event::HeadMoved {
            token: Some(token),
            result: Ok(mark(name, height)),
        });
    }

    fn not_moved(&mut self, token: Token, why: HeadDeclined) {
        self.0.deliver(Event::HeadMoved {
            token: Some(token),
            result: Err(why),
        });
    }

    fn finalize(&mut self) -> (Token, Hash) {
        match self.only_action() {
            Action::Finalize(token, block, _) => (token, block),
            other => panic!("{other:?}"),
        }
    }

    fn fatal(&mut self) -> String {
        let reason = match self.only_action() {
            Action::Fatal(reason) => reason,
            other => panic!("{other:?}"),
        };
        self.0.advance_to(self.0.now_ms() + 100 * SLOT_MS);
        assert_eq!(self.actions(), [], "it is silent afterwards");
        reason
    }

    /// Makes the block `name` on the head, as far as it is imported.
    fn grow(&mut self, name: u64) {
        self.slot();
        let (token, request) = self.build();
        self.built(token, name, request.parent_hash, name);
        let (token, _) = self.import();
        self.submitted(token, Submitted::Accepted);
    }

    /// As `grow`, and the head follows.
    fn advance(&mut self, name: u64) {
        self.grow(name);
        let (token, _) = self.set_head();
        self.moved(token, name, name);
    }
}

fn mark(name: u64, height: u64) -> BlockMark {
    BlockMark {
        hash: hash(name),
        height,
    }
}

fn not_now() -> Declined {
    Declined::NotNow("not now".into())
}

#[test]
fn a_slot_brings_a_block_a_head_and_what_is_deep_becomes_final() {
    let mut plugin = ByHand::start("", None);
    assert_eq!(plugin.actions(), [], "the slot of the start is over");
    plugin.slot();
    let (token, request) = plugin.build();
    assert_eq!((request.parent_hash, request.allow_empty), (hash(0), false));
    assert_eq!(request.timestamp_ms, Some((FIRST_SLOT + 1) * SLOT_MS));
    let slot_and_winner = [&(FIRST_SLOT + 1).to_le_bytes()[..], &0_u32.to_le_bytes()].concat();
    assert_eq!(request.consensus_data, slot_and_winner);
    plugin.built(token, 1, hash(0), 1);
    let (token, block) = plugin.import();
    assert_eq!(&block[..], [1]);
    plugin.submitted(token, Submitted::Accepted);
    let (token, head) = plugin.set_head();
    assert_eq!(head, hash(1));
    plugin.moved(token, 1, 1);
    plugin.advance(2);
    assert_eq!(plugin.actions(), [], "one block above is not deep enough");
    plugin.advance(3);
    let (token, block) = plugin.finalize();
    assert_eq!(block, hash(1));
    plugin.submitted(token, Submitted::Accepted);
    assert_eq!(
        (plugin.0.plugin.finalized(), plugin.0.plugin.head()),
        (mark(1, 1), mark(3, 3))
    );
}

#[test]
fn the_engines_interval_and_limits_are_respected() {
    let pressure = PressureValues {
        min_interval_ms: 3 * SLOT_MS,
        max_gas: 11,
        max_bytes: 22,
        ..PressureValues::default()
    };
    let mut plugin = ByHand::start("", Some(pressure));
    plugin.slot();
    plugin.slot();
    assert_eq!(plugin.actions(), []);
    plugin.slot();
    let (_, request) = plugin.build();
    assert_eq!((request.max_gas, request.max_bytes), (Some(11), Some(22)));
}

#[test]
fn an_import_that_found_no_room_comes_again_with_the_credit_and_not_before() {
    let mut plugin = ByHand::start("", None);
    plugin.slot();
    let (token, _) = plugin.build();
    plugin.built(token, 1, hash(0), 1);
    let (token, block) = plugin.import();
    plugin.submitted(token, Submitted::Again);
    plugin.slot();
    plugin.slot();
    assert_eq!(
        plugin.actions(),
        [],
        "it does not spin, nor go on without the block"
    );
    plugin.0.deliver(Event::Credit { blocks: 1, gas: 1 });
    let (token, again) = plugin.import();
    assert_eq!(again, block);
    plugin.submitted(token, Submitted::Accepted);
    assert_eq!(plugin.set_head().1, hash(1));
}

#[test]
fn finality_without_room_waits_for_the_credit_and_the_chain_waits_for_finality() {
    let mut plugin = ByHand::start("", None);
    (1..=3).for_each(|name| plugin.advance(name));
    let (token, block) = plugin.finalize();
    plugin.submitted(token, Submitted::Again);
    (4..=6).for_each(|name| plugin.advance(name));
    plugin.slot();
    assert_eq!(
        plugin.actions(),
        [],
        "six blocks are not final: finality depth 2 and K = 4 are reached"
    );
    plugin.0.deliver(Event::Credit { blocks: 1, gas: 1 });
    let (token, again) = plugin.finalize();
    assert_eq!(again, block);
    plugin.submitted(token, Submitted::Accepted);
    assert_eq!(plugin.finalize().1, hash(2), "and so on, one block at a time");
    plugin.slot();
    assert_eq!(plugin.build().1.parent_hash, hash(6));
}

#[test]
fn what_is_declined_is_asked_again_with_word_of_work_within_the_slot_or_in_the_next() {
    let mut plugin = ByHand::start("", None);
    plugin.slot();
    let (token, first) = plugin.build();
    plugin.0.deliver(Event::Work);
    assert_eq!(plugin.actions(), [], "a build is under way");
    plugin.declined(token, not_now());
    assert_eq!(plugin.actions(), [], "nobody waits for anything: no empty block");
    plugin.0.deliver(Event::Work);
    let (token, second) = plugin.build();
    assert_eq!(first, second);
    plugin.declined(token, not_now());
    plugin.slot();
    let (token, third) = plugin.build();
    assert_eq!(third.timestamp_ms, Some((FIRST_SLOT + 2) * SLOT_MS));
    plugin.declined(token, Declined::Aborted("superseded".into()));
    plugin.0.deliver(Event::Work);
    assert_eq!(plugin.actions(), []);
    plugin.slot();
    plugin.build();
}

#[test]
fn empty_blocks_follow_one_that_is_waited_for_until_it_is_final() {
    let mut plugin = ByHand::start("", None);
    plugin.advance(1);
    for name in 2..=3 {
        plugin.slot();
        let (token, request) = plugin.build();
        assert!(!request.allow_empty);
        plugin.declined(token, not_now());
        let (token, request) = plugin.build();
        assert!(request.allow_empty, "block 1 is not final");
        plugin.built(token, name, hash(name - 1), name);
        let (token, _) = plugin.import();
        plugin.submitted(token, Submitted::Accepted);
        let (token, _) = plugin.set_head();
        plugin.moved(token, name, name);
    }
    assert_eq!(plugin.finalize().1, hash(1));
    plugin.slot();
    let (token, _) = plugin.build();
    plugin.declined(token, not_now());
    assert_eq!(plugin.actions(), [], "the chain may pause");
}

#[test]
fn a_head_that_was_superseded_is_asked_for_again_in_the_next_slot() {
    let mut plugin = ByHand::start("", None);
    for why in [Declined::Aborted("superseded".into()), not_now()] {
        let name = plugin.0.plugin.head().height + 1;
        plugin.grow(name);
        let (token, _) = plugin.set_head();
        plugin.not_moved(token, HeadDeclined::Declined(why));
        assert_eq!(plugin.actions(), [], "it does not spin");
        plugin.slot();
        let actions = plugin.actions();
        let [Action::SetHead(token, head), Action::RequestBlock(build, _)] = actions.as_slice() else {
            panic!("{actions:?}")
        };
        assert_eq!(*head, hash(name));
        plugin.moved(*token, name, name);
        plugin.declined(*build, Declined::Aborted(String::new()));
    }
}

/// A chain of one block, and a branch of two that was withheld and is shown now.
fn forked() -> (ByHand, Token) {
    let mut plugin = ByHand::start(r#", "fork_every_slots": 2, "fork_depth": 1"#, None);
    plugin.advance(1);
    for (name, parent, height) in [(11, 0, 1), (12, 11, 2)] {
        plugin.slot();
        let (token, request) = plugin.build();
        assert_eq!(request.parent_hash, hash(parent));
        plugin.built(token, name, hash(parent), height);
        let (token, block) = plugin.import();
        plugin.submitted(token, Submitted::Accepted);
        let announced = Action::AnnounceProposal(block);
        if name == 11 {
            assert_eq!(
                plugin.only_action(),
                announced,
                "nobody hears of it but the engine"
            );
        }
    }
    let actions = plugin.actions();
    let [Action::AnnounceProposal(_), Action::SetHead(token, head)] = actions.as_slice() else {
        panic!("{actions:?}")
    };
    assert_eq!(*head, hash(12));
    (plugin, *token)
}

#[test]
fn an_invalid_branch_is_left_and_the_chain_goes_on() {
    let (mut plugin, token) = forked();
    plugin.not_moved(
        token,
        HeadDeclined::Invalid {
            block: hash(11),
            reason: "as it happens".into(),
        },
    );
    assert_eq!(plugin.0.plugin.head(), mark(1, 1));
    plugin.slot();
    let (_, request) = plugin.build();
    assert_eq!(request.parent_hash, hash(1));
}

#[test]
fn a_branch_that_the_engine_dropped_is_left() {
    let (mut plugin, token) = forked();
    plugin.not_moved(token, HeadDeclined::Declined(Declined::UnknownParent));
    plugin.slot();
    let (_, request) = plugin.build();
    assert_eq!(request.parent_hash, hash(1));
}

#[test]
fn a_withheld_branch_that_is_refused_is_given_up() {
    for outcome in [Submitted::Invalid, Submitted::UnknownParent] {
        let mut plugin = ByHand::start(r#", "fork_every_slots": 1, "fork_depth": 1"#, None);
        plugin.advance(1);
        plugin.slot();
        let (token, _) = plugin.build();
        assert_eq!(plugin.0.plugin.blocks_to_withhold(), Some(2));
        plugin.built(token, 11, hash(0), 1);
        let (token, _) = plugin.import();
        plugin.submitted(token, outcome);
        assert_eq!(plugin.0.plugin.blocks_to_withhold(), None);
        plugin.slot();
        assert_eq!(plugin.build().1.parent_hash, hash(1));
    }
}

#[test]
fn a_head_that_moved_by_itself_is_led_back_to_the_longest_chain_in_the_next_slot() {
    let mut plugin = ByHand::start("", None);
    (1..=2).for_each(|name| plugin.advance(name));
    let unasked = |name, height| Event::HeadMoved {
        token: None,
        result: Ok(mark(name, height)),
    };
    plugin.0.deliver(unasked(1, 1));
    assert_eq!(plugin.0.plugin.head(), mark(1, 1));
    assert_eq!(plugin.actions(), []);
    plugin.0.deliver(unasked(99, 9));
    assert_eq!(plugin.0.plugin.head(), mark(1, 1), "that is nobody's block");
    plugin.slot();
    let actions = plugin.actions();
    assert!(
        matches!(actions.as_slice(), [Action::SetHead(_, head), Action::RequestBlock(..)] if *head == hash(2)),
        "{actions:?}"
    );
}

/// The head is asked to go from one chain to another.
struct Crossing {
    plugin: ByHand,
    token: Token,
    head: Hash,
    /// Every block's parent and height.
    blocks: BTreeMap<Hash, (Hash, u64)>,
}

/// Two miners that hardly hear of each other, so that two chains grow from one root, and finality that finds no room. `None`
/// if with this seed no chain overtakes the other before both wait for finality.
fn at_the_crossing(seed: u64) -> Option<Crossing> {
    let config = format!(r#", "miners": 2, "propagation_slots": 100, "seed": {seed}"#);
    let mut plugin = ByHand::start_as(r#", "won_slots_percent": 100"#, &config, None);
    let mut blocks = BTreeMap::from([(hash(0), (hash(99), 0))]);
    let mut refused = 0;
    for name in 1..100 {
        plugin.slot();
        let [Action::RequestBlock(token, request)] = <[_; 1]>::try_from(plugin.actions()).ok()? else {
            panic!("a slot asks for a block")
        };
        let height = blocks[&request.parent_hash].1 + 1;
        blocks.insert(hash(name), (request.parent_hash, height));
        plugin.built(token, name, request.parent_hash, height);
        let (token, _) = plugin.import();
        plugin.submitted(token, Submitted::Accepted);
        for action in plugin.actions() {
            let Action::SetHead(token, head) = action else {
                panic!("{action:?}")
            };
            if refused > 0 && blocks[&head].0 != plugin.0.plugin.head().hash {
                return Some(Crossing {
                    plugin,
                    token,
                    head,
                    blocks,
                });
            }
            plugin.moved(token, name, height);
        }
        for action in plugin.actions() {
            let Action::Finalize(token, ..) = action else {
                panic!("{action:?}")
            };
            plugin.submitted(token, Submitted::Again);
            refused += 1;
        }
    }
    None
}

#[test]
fn nothing_becomes_final_while_the_head_is_on_its_way_elsewhere() {
    let Crossing {
        mut plugin,
        token,
        head,
        blocks,
    } = (0..100).find_map(at_the_crossing).unwrap();
    plugin.0.deliver(Event::Credit { blocks: 1, gas: 1 });
    assert_eq!(
        plugin.actions(),
        [],
        "it would exclude the chain that the head is going to"
    );
    plugin.0.deliver(Event::HeadMoved {
        token: Some(token),
        result: Ok(BlockMark {
            hash: head,
            height: blocks[&head].1,
        }),
    });
    let (_, block) = plugin.finalize();
    let chain = std::iter::successors(Some(head), |at| blocks.get(at).map(|(parent, _)| *parent));
    assert!(chain.take(100).any(|at| at == block), "it is of the new chain");
}

#[test]
fn an_engine_that_stopped_ends_it_without_a_word() {
    let silent = |mut plugin: ByHand| {
        for _ in 0..3 {
            plugin.slot();
        }
        assert_eq!(plugin.actions(), []);
    };
    let mut plugin = ByHand::start("", None);
    plugin.slot();
    let (token, _) = plugin.build();
    plugin.declined(token, Declined::Stopped);
    silent(plugin);

    let mut plugin = ByHand::start("", None);
    plugin.slot();
    let (token, _) = plugin.build();
    plugin.built(token, 1, hash(0), 1);
    let (token, _) = plugin.import();
    plugin.submitted(token, Submitted::Stopped);
    silent(plugin);

    let mut plugin = ByHand::start("", None);
    plugin.grow(1);
    let (token, _) = plugin.set_head();
    plugin.not_moved(token, HeadDeclined::Declined(Declined::Stopped));
    silent(plugin);

    let mut plugin = ByHand::start("", None);
    (1..=3).for_each(|name| plugin.advance(name));
    let (token, _) = plugin.finalize();
    plugin.submitted(token, Submitted::Stopped);
    silent(plugin);
}

#[test]
fn answers_that_contradict_the_plugin_end_it_by_name() {
    let zero = hash(0);
    let after_build = |result| {
        let mut plugin = ByHand::start("", None);
        plugin.slot();
        let (token, _) = plugin.build();
        plugin.0.deliver(Event::BlockBuilt { token, result });
        plugin.fatal()
    };
    let block = BlockBytes {
        bytes: vec![1].into(),
        hash: hash(9),
        parent_hash: zero,
        height: 9,
    };
    assert_eq!(
        after_build(Ok(block)),
        format!("asked for a block on {zero}, was given {} at height 9", hash(9))
    );
    assert_eq!(
        after_build(Err(Declined::UnknownParent)),
        format!(
            "the head's chain ends with {zero} at height 0: the engine builds nothing on it: the parent is not known here"
        )
    );

    let mut plugin = ByHand::start("", None);
    plugin.grow(1);
    let (token, _) = plugin.set_head();
    plugin.moved(token, 7, 7);
    assert_eq!(
        plugin.fatal(),
        format!("asked for the head {}, was given {}", hash(1), hash(7))
    );

    let mut plugin = ByHand::start("", None);
    plugin.grow(1);
    let (token, _) = plugin.set_head();
    let reason = "this host does not offer it".to_owned();
    plugin.not_moved(token, HeadDeclined::Declined(Declined::Invalid(reason)));
    assert_eq!(
        plugin.fatal(),
        format!("set_head({}) is refused: this host does not offer it", hash(1))
    );

    let mut plugin = ByHand::start("", None);
    (1..=3).for_each(|name| plugin.advance(name));
    let (token, _) = plugin.finalize();
    plugin.submitted(token, Submitted::UnknownParent);
    assert_eq!(
        plugin.fatal(),
        format!(
            "the engine refuses to finalize {} at height 1: UnknownParent",
            hash(1)
        )
    );
}

#[test]
fn answers_to_nobodys_question_change_nothing() {
    let mut plugin = ByHand::start("", None);
    plugin.slot();
    let (token, _) = plugin.build();
    let other = Token(std::num::NonZeroU64::MAX);
    plugin.declined(other, Declined::Stopped);
    plugin.submitted(token, Submitted::Invalid);
    plugin.not_moved(other, HeadDeclined::Declined(Declined::Stopped));
    plugin.0.deliver(Event::Credit { blocks: 1, gas: 1 });
    plugin.0.deliver(Event::Settled(mark(1, 1)));
    assert_eq!(plugin.actions(), []);
    plugin.built(token, 1, hash(0), 1);
    plugin.import();
}
