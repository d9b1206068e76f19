//! The solo plugin as the shared object that a node loads, against an engine that is often full.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests measure time"
)]

mod support;

use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use millrace_plugin_host::{
    BlockBytes, BuildAnswer, BuildRequest, ChainState, Engine, PluginFailure, PluginHandle, PluginStatus,
    Reply, StartError, Submitted, Verdict,
};
use millrace_types::{Hash, SecretKey, SoloCertificate, codec};
use support::{cdylib, eventually, spec};

const CHAIN_ID: u64 = 7;

fn solo() -> PluginHandle {
    static BUILT: OnceLock<std::path::PathBuf> = OnceLock::new();
    let path = BUILT.get_or_init(|| cdylib("millrace-plugin-solo"));
    PluginHandle::load(millrace_plugin_host::PluginSpec {
        consensus_id: Some("solo/1".into()),
        ..spec(path)
    })
    .unwrap()
}

fn key() -> SecretKey {
    SecretKey::from_seed([3; 32])
}

fn chain(secret: u8, height: u64) -> ChainState {
    let secret = format!("{secret:02x}").repeat(32);
    ChainState {
        chain_id: CHAIN_ID,
        consensus_id: "solo/1".into(),
        parameters: key().public_key().0.to_vec(),
        config: format!(r#"{{"secret_key": "{secret}", "block_interval_ms": 0}}"#).into_bytes(),
        finalized_hash: hash(height),
        finalized_height: height,
        ..ChainState::default()
    }
}

fn hash(height: u64) -> [u8; 32] {
    *blake3::hash(&height.to_le_bytes()).as_bytes()
}

/// Takes two blocks, then is full until [`Full::drain`].
#[derive(Default)]
struct Full {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    head: u64,
    waiting: u64,
    turned_away: u64,
    was_turned_away: bool,
    failure: Option<PluginFailure>,
}

const CAPACITY: u64 = 2;

impl Full {
    fn at(head: u64) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                head,
                ..State::default()
            }),
        })
    }

    fn head(&self) -> u64 {
        self.state.lock().unwrap().head
    }

    /// Executes what waits; owes a credit if someone was turned away.
    fn drain(&self, plugin: &PluginHandle) {
        let mut state = self.state.lock().unwrap();
        state.waiting = 0;
        if std::mem::take(&mut state.was_turned_away) {
            plugin.credit(CAPACITY, u64::MAX);
        }
    }
}

impl Engine for Full {
    fn request_block(&self, request: BuildRequest, reply: Reply<BuildAnswer>) {
        let height = self.head() + 1;
        assert_eq!(request.parent_hash, hash(height - 1));
        assert_eq!(request.proposer, key().address().0);
        let bytes = height.to_le_bytes().to_vec();
        reply.complete(BuildAnswer::Built(BlockBytes {
            bytes,
            hash: hash(height),
            parent_hash: hash(height - 1),
            height,
        }));
    }

    fn validate(&self, _block: Vec<u8>, _reply: Reply<Verdict>) {}

    fn announce_proposal(&self, _block: Vec<u8>) {}

    fn submit_finalized(&self, block: Vec<u8>, certificate: Vec<u8>) -> Submitted {
        let mut state = self.state.lock().unwrap();
        let height = u64::from_le_bytes(block.try_into().unwrap());
        assert_eq!(height, state.head + 1, "no block is skipped, none comes twice");
        let certificate: SoloCertificate = codec::decode(&certificate, SoloCertificate::BYTES).unwrap();
        certificate
            .verify(CHAIN_ID, Hash(hash(height)), &key().public_key())
            .unwrap();
        if state.waiting == CAPACITY {
            state.turned_away += 1;
            state.was_turned_away = true;
            return Submitted::Again;
        }
        state.waiting += 1;
        state.head = height;
        Submitted::Accepted
    }

    fn kv_get(&self, _key: Vec<u8>, _reply: Reply<Option<Vec<u8>>>) {}

    fn kv_put(&self, _key: Vec<u8>, _value: Option<Vec<u8>>, _reply: Reply<Result<(), String>>) {}

    fn plugin_failed(&self, failure: &PluginFailure) {
        self.state.lock().unwrap().failure = Some(failure.clone());
    }
}

#[test]
fn it_certifies_a_chain_through_a_queue_that_is_often_full_and_goes_on_after_a_restart() {
    let (plugin, engine) = (solo(), Full::at(0));
    plugin.start(engine.clone(), chain(3, 0)).unwrap();
    let begun = Instant::now();
    eventually("500 blocks", || {
        engine.drain(&plugin);
        engine.head() >= 500
    });
    println!(
        "{} blocks in {:?}, {} times full",
        engine.head(),
        begun.elapsed(),
        engine.state.lock().unwrap().turned_away
    );
    assert!(engine.state.lock().unwrap().turned_away > 0, "the queue was full");
    eventually("full again", || engine.state.lock().unwrap().was_turned_away);
    let durable = engine.head();
    plugin.stop(Duration::from_secs(10)).unwrap();
    assert_eq!(
        (engine.head(), engine.state.lock().unwrap().failure.take()),
        (durable, None)
    );

    let (plugin, engine) = (solo(), Full::at(durable));
    plugin.start(engine.clone(), chain(3, durable)).unwrap();
    eventually("20 more blocks", || {
        engine.drain(&plugin);
        engine.head() >= durable + 20
    });
    assert_eq!(plugin.status(), PluginStatus::Healthy);
    plugin.stop(Duration::from_secs(10)).unwrap();
}

#[test]
fn it_refuses_a_key_that_is_not_the_chains() {
    let plugin = solo();
    let error = plugin.start(Full::at(0), chain(4, 0)).unwrap_err();
    assert!(matches!(error, StartError::Configuration { .. }));
    assert_eq!(
        error.to_string(),
        format!(
            "the consensus plugin solo/1 ({}) refuses its configuration: secret_key belongs to {}, but the chain spec's sequencer is {}; configure the sequencer's key",
            plugin.info().path.display(),
            SecretKey::from_seed([4; 32]).public_key(),
            key().public_key()
        )
    );
}
