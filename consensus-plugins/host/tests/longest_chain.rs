//! The longest chain as the shared object that a node loads, against an engine with fork choice, and one without.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests measure time"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use millrace_plugin_host::{
    BlockBytes, BuildAnswer, BuildRequest, ChainState, Engine, ForkChoice, HeadAnswer, PluginFailure,
    PluginHandle, PluginStatus, Reply, Submitted, Verdict,
};
use millrace_types::certificate::LONGEST_CHAIN_CONSENSUS_ID;
use millrace_types::{Hash, SecretKey, SoloCertificate, codec};
use support::{Recorder, cdylib, eventually, spec};

type HashBytes = [u8; 32];

const CHAIN_ID: u64 = 7;
const FINALITY_DEPTH: u64 = 3;

fn plugin() -> PluginHandle {
    static BUILT: OnceLock<std::path::PathBuf> = OnceLock::new();
    let path = BUILT.get_or_init(|| cdylib("millrace-plugin-longest-chain"));
    PluginHandle::load(millrace_plugin_host::PluginSpec {
        consensus_id: Some(LONGEST_CHAIN_CONSENSUS_ID.into()),
        ..spec(path)
    })
    .unwrap()
}

fn key() -> SecretKey {
    SecretKey::from_seed([3; 32])
}

fn chain(finalized: HashBytes, finalized_height: u64) -> ChainState {
    let config = format!(
        r#"{{"secret_key": "{}", "slot_ms": 1, "won_slots_percent": 100, "finality_depth": {FINALITY_DEPTH}, "fork_every_slots": 10, "fork_depth": [1, 3]}}"#,
        "03".repeat(32)
    );
    ChainState {
        chain_id: CHAIN_ID,
        consensus_id: LONGEST_CHAIN_CONSENSUS_ID.into(),
        parameters: key().public_key().0.to_vec(),
        config: config.into_bytes(),
        finalized_hash: finalized,
        finalized_height,
        max_receipt_lag: 4,
        ..ChainState::default()
    }
}

/// Builds on everything, and is full at every fourth finality.
#[derive(Default)]
struct Forks {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Parent and height of what was built, by hash.
    blocks: BTreeMap<HashBytes, (HashBytes, u64)>,
    imported: u64,
    head: (HashBytes, u64),
    finalized: (HashBytes, u64),
    reorganisations: u64,
    asked_to_finalize: u64,
    owes_credit: bool,
    failure: Option<PluginFailure>,
}

impl State {
    fn is_ancestor(&self, ancestor: (HashBytes, u64), of: HashBytes) -> bool {
        let mut at = of;
        while let Some((parent, height)) = self.blocks.get(&at)
            && *height > ancestor.1
        {
            at = *parent;
        }
        at == ancestor.0
    }
}

impl Engine for Forks {
    fn request_block(&self, request: BuildRequest, reply: Reply<BuildAnswer>) {
        let mut state = self.state.lock().unwrap();
        let parent = request.parent_hash;
        let height = state.blocks.get(&parent).map_or(0, |(_, height)| *height) + 1;
        let hash = *blake3::hash(&[&parent[..], &request.consensus_data].concat()).as_bytes();
        state.blocks.insert(hash, (parent, height));
        drop(state);
        reply.complete(BuildAnswer::Built(BlockBytes {
            bytes: hash.to_vec(),
            hash,
            parent_hash: parent,
            height,
        }));
    }

    fn validate(&self, _block: Vec<u8>, _reply: Reply<Verdict>) {}
    fn announce_proposal(&self, _block: Vec<u8>) {}
    fn submit_finalized(&self, _block: Vec<u8>, _certificate: Vec<u8>) -> Submitted {
        Submitted::Invalid("this chain finalizes by fork choice".into())
    }
    fn kv_get(&self, _key: Vec<u8>, _reply: Reply<Option<Vec<u8>>>) {}
    fn kv_put(&self, _key: Vec<u8>, _value: Option<Vec<u8>>, _reply: Reply<Result<(), String>>) {}

    fn plugin_failed(&self, failure: &PluginFailure) {
        self.state.lock().unwrap().failure = Some(failure.clone());
    }

    fn fork_choice(&self) -> Option<&dyn ForkChoice> {
        Some(self)
    }
}

impl ForkChoice for Forks {
    fn max_unfinalized_blocks(&self) -> u32 {
        FINALITY_DEPTH as u32 + 8
    }

    fn import_block(&self, _block: Vec<u8>) -> Submitted {
        self.state.lock().unwrap().imported += 1;
        Submitted::Accepted
    }

    fn set_head(&self, hash: HashBytes, reply: Reply<HeadAnswer>) {
        let mut state = self.state.lock().unwrap();
        let height = state.blocks[&hash].1;
        assert!(height > state.head.1, "the head is always the longest chain");
        assert!(state.is_ancestor(state.finalized, hash), "finality holds");
        state.reorganisations += u64::from(!state.is_ancestor(state.head, hash));
        state.head = (hash, height);
        drop(state);
        reply.complete(HeadAnswer::Moved { hash, height });
    }

    fn finalize(&self, hash: HashBytes, certificate: Vec<u8>) -> Submitted {
        let mut state = self.state.lock().unwrap();
        let (parent, height) = state.blocks[&hash];
        assert_eq!(
            parent, state.finalized.0,
            "one block after the other becomes final"
        );
        assert!(state.head.1 >= height + FINALITY_DEPTH && state.is_ancestor((hash, height), state.head.0));
        let certificate: SoloCertificate = codec::decode(&certificate, SoloCertificate::BYTES).unwrap();
        certificate
            .verify_under(
                LONGEST_CHAIN_CONSENSUS_ID,
                CHAIN_ID,
                Hash(hash),
                &key().public_key(),
            )
            .unwrap();
        state.asked_to_finalize += 1;
        if state.asked_to_finalize.is_multiple_of(4) {
            state.owes_credit = true;
            return Submitted::Again;
        }
        state.finalized = (hash, height);
        Submitted::Accepted
    }
}

/// Runs until `height` is final; the engine then.
fn run(from: (HashBytes, u64), height: u64) -> State {
    let (plugin, engine) = (plugin(), Arc::new(Forks::default()));
    let begin = State {
        blocks: BTreeMap::from([(from.0, ([0xff; 32], from.1))]),
        head: from,
        finalized: from,
        ..State::default()
    };
    *engine.state.lock().unwrap() = begin;
    plugin.start(engine.clone(), chain(from.0, from.1)).unwrap();
    eventually("the chain grows", || {
        let mut state = engine.state.lock().unwrap();
        if std::mem::take(&mut state.owes_credit) {
            plugin.credit(1, u64::MAX);
        }
        state.finalized.1 >= height || state.failure.is_some()
    });
    assert_eq!(plugin.status(), PluginStatus::Healthy);
    plugin.stop(Duration::from_secs(10)).unwrap();
    std::mem::take(&mut engine.state.lock().unwrap())
}

#[test]
fn it_forks_reorganises_and_finalizes_and_goes_on_after_a_restart() {
    let first = run(([9; 32], 0), 100);
    println!(
        "{} blocks, {} reorganisations, final up to {}",
        first.imported, first.reorganisations, first.finalized.1
    );
    assert!(
        first.reorganisations >= 3,
        "{} reorganisations",
        first.reorganisations
    );
    let second = run(first.finalized, first.finalized.1 + 20);
    assert!(second.reorganisations > 0);
}

#[test]
fn an_engine_without_fork_choice_is_refused() {
    let plugin = plugin();
    let error = plugin
        .start(Arc::new(Recorder::default()), chain([9; 32], 0))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the consensus plugin longest-chain/1 ({}) refuses this node's ABI 1.0: this node does not offer fork-choice/1, which longest-chain/1 cannot do without; rebuild the plugin for this node, or run a node that offers what it needs",
            plugin.info().path.display()
        )
    );
}
