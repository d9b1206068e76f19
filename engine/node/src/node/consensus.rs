//! Where plugin and pipeline meet: canonical bytes on one side, blocks on the other, and pressure on the way back.
//!
//! Calls of the plugin go straight to the engine's handle, which never blocks. One thread, the *feeder*, carries the
//! engine's events back: durable finalized blocks, settled heights, credits, room for another build, and the
//! pressure record. A second one writes the plugin's key-value store, since that waits for the disk.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use millrace_ledger::{Batch, Ledger};
use millrace_pipeline::{self as pipeline, Event, HeadCause, PressureSnapshot, Submission};
use millrace_plugin_host::{
    BlockBytes, BuildAnswer, BuildRequest, Engine, ForkChoice, HeadAnswer, PluginFailure, PluginHandle,
    PressureValues, PressureWriter, Reply, Submitted, Verdict,
};
use millrace_types::{Address, Block, Hash, codec};

/// How often the pressure record is written while the engine is silent: the age in it grows by itself.
const FEEDER_TICK: Duration = Duration::from_millis(100);

/// The engine as a plugin sees it.
pub struct Bridge {
    engine: pipeline::Engine,
    store: mpsc::Sender<Write>,
    ledger: Ledger,
    plugin: String,
}

struct Write {
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    reply: Reply<Result<(), String>>,
}

impl Bridge {
    /// Connects `engine` for the plugin with this consensus id, and starts the thread that writes its store.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn new(engine: pipeline::Engine, plugin: &str) -> std::io::Result<Arc<Self>> {
        let (store, writes) = mpsc::channel();
        let (ledger, name) = (engine.ledger().clone(), plugin.to_owned());
        let writer_ledger = ledger.clone();
        std::thread::Builder::new()
            .name("plugin-store".to_owned())
            .spawn(move || write_store(&writer_ledger, &name, &writes))?;
        Ok(Arc::new(Self {
            engine,
            store,
            ledger,
            plugin: plugin.to_owned(),
        }))
    }

    /// Starts the thread that carries events and pressure to the plugin. It ends with the engine.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn feed(self: &Arc<Self>, plugin: PluginHandle) -> std::io::Result<()> {
        let (events, bridge) = (self.engine.subscribe(), Arc::clone(self));
        let writer = plugin.pressure_writer();
        std::thread::Builder::new()
            .name("plugin-feeder".to_owned())
            .spawn(move || {
                let mut feeder = Feeder {
                    engine: bridge.engine.clone(),
                    plugin,
                    writer,
                };
                drop(bridge);
                feeder.run(&events);
            })?;
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Block, String> {
        Block::decode(bytes, self.engine.spec()).map_err(|fault| format!("the block's bytes: {fault}"))
    }
}

/// Group commits: what waits is made durable together, in the order of the calls.
fn write_store(ledger: &Ledger, plugin: &str, writes: &mpsc::Receiver<Write>) {
    while let Ok(first) = writes.recv() {
        let mut batch = Batch::new();
        let mut replies = Vec::new();
        for write in std::iter::once(first).chain(writes.try_iter()) {
            batch.plugin_value(plugin, write.key, write.value);
            replies.push(write.reply);
        }
        let result = ledger.commit(&batch).map_err(|fault| fault.to_string());
        for reply in replies {
            reply.complete(result.clone());
        }
    }
}

impl Engine for Bridge {
    fn request_block(&self, request: BuildRequest, reply: Reply<BuildAnswer>) {
        let request = pipeline::BuildRequest {
            parent: Hash(request.parent_hash),
            proposer: Address(request.proposer),
            consensus_data: request.consensus_data,
            max_gas: request.max_gas,
            max_bytes: request.max_bytes,
            timestamp_ms: request.timestamp_ms,
            allow_empty: request.allow_empty,
        };
        let answer = move |answer: pipeline::BuildAnswer| match answer {
            pipeline::BuildAnswer::Built(block) => reply.complete(BuildAnswer::Built(block_bytes(&block))),
            pipeline::BuildAnswer::NotNow(why) => reply.complete(BuildAnswer::NotNow(why.to_string())),
            pipeline::BuildAnswer::Refused(pipeline::BuildRefused::UnknownParent { .. }) => {
                reply.complete(BuildAnswer::UnknownParent);
            }
            pipeline::BuildAnswer::Refused(pipeline::BuildRefused::Stopped(_)) => {
                reply.complete(BuildAnswer::Stopped);
            }
            pipeline::BuildAnswer::Refused(why) => reply.complete(BuildAnswer::Invalid(why.to_string())),
            // Dropping the reply says "aborted".
            pipeline::BuildAnswer::Aborted => drop(reply),
        };
        self.engine.build(request, pipeline::Reply::new(answer));
    }

    fn validate(&self, block: Vec<u8>, reply: Reply<Verdict>) {
        let block = match self.decode(&block) {
            Ok(block) => block,
            Err(why) => return reply.complete(Verdict::Invalid(why)),
        };
        let (hash, height) = (block.hash(), block.header.height);
        let answer = move |answer: pipeline::ValidateAnswer| {
            use pipeline::ValidateAnswer as Answer;
            let verdict = match answer {
                Answer::Valid => Verdict::Valid { hash: hash.0, height },
                Answer::Invalid(why) => Verdict::Invalid(why.to_string()),
                Answer::Pending(pipeline::admission::Pending::UnknownParent { .. }) => Verdict::UnknownParent,
                Answer::Pending(why) => Verdict::NotYet(why.to_string()),
                Answer::Conflicting => Verdict::Invalid("it conflicts with the finalized chain".to_owned()),
                Answer::Early { by_ms } => {
                    Verdict::NotYet(format!("its timestamp is {by_ms} ms too far ahead"))
                }
                Answer::Busy => Verdict::NotYet("too many requests wait".to_owned()),
                Answer::Stopped(why) => Verdict::NotYet(format!("the engine has stopped: {why}")),
                // Dropping the reply says "aborted".
                Answer::Aborted => return,
            };
            reply.complete(verdict);
        };
        self.engine.validate(block, pipeline::Reply::new(answer));
    }

    fn announce_proposal(&self, block: Vec<u8>) {
        match self.decode(&block) {
            Ok(block) => self.engine.announce(block),
            Err(why) => tracing::warn!(%why, "announced proposal ignored"),
        }
    }

    fn submit_finalized(&self, block: Vec<u8>, certificate: Vec<u8>) -> Submitted {
        let block = match self.decode(&block) {
            Ok(block) => block,
            Err(why) => {
                self.engine
                    .report_plugin_fault(format!("a finalized block does not decode: {why}"));
                return Submitted::Invalid(why);
            }
        };
        submitted(self.engine.submit_finalized(block, certificate))
    }

    fn kv_get(&self, key: Vec<u8>, reply: Reply<Option<Vec<u8>>>) {
        match self.ledger.plugin_value(&self.plugin, &key) {
            Ok(value) => reply.complete(value),
            Err(fault) => {
                tracing::error!(%fault, "the plugin's store cannot be read");
                drop(reply);
            }
        }
    }

    fn kv_put(&self, key: Vec<u8>, value: Option<Vec<u8>>, reply: Reply<Result<(), String>>) {
        if let Err(mpsc::SendError(write)) = self.store.send(Write { key, value, reply }) {
            write.reply.complete(Err("the node is shutting down".to_owned()));
        }
    }

    fn plugin_failed(&self, failure: &PluginFailure) {
        tracing::error!(%failure, "consensus plugin failed");
        self.engine.report_plugin_fault(failure.to_string());
    }

    fn fork_choice(&self) -> Option<&dyn ForkChoice> {
        Some(self)
    }
}

impl ForkChoice for Bridge {
    fn max_unfinalized_blocks(&self) -> u32 {
        self.engine
            .max_unfinalized_blocks()
            .try_into()
            .unwrap_or(u32::MAX)
    }

    fn import_block(&self, block: Vec<u8>) -> Submitted {
        match self.decode(&block) {
            Ok(block) => submitted(self.engine.import_block(block)),
            // It comes from anybody on the network: refusing it is all.
            Err(why) => Submitted::Invalid(why),
        }
    }

    fn set_head(&self, hash: [u8; 32], reply: Reply<HeadAnswer>) {
        let answer = move |answer: pipeline::SetHeadAnswer| {
            use pipeline::{HeadRefused, SetHeadAnswer as Answer};
            match answer {
                Answer::Moved { head } => reply.complete(HeadAnswer::Moved {
                    hash: head.hash.0,
                    height: head.height,
                }),
                Answer::Invalid { block, reason } => reply.complete(HeadAnswer::Invalid {
                    hash: block.0,
                    reason: reason.to_string(),
                }),
                Answer::Superseded => reply.complete(HeadAnswer::Superseded),
                // For ever: asking again is of no use.
                Answer::Refused(
                    why @ (HeadRefused::BelowFinality { .. } | HeadRefused::Conflicting { .. }),
                ) => reply.complete(HeadAnswer::Invalid {
                    hash,
                    reason: why.to_string(),
                }),
                // "Not yet" is never "no": dropping the reply says "aborted".
                Answer::Refused(
                    why @ (HeadRefused::Unknown { .. }
                    | HeadRefused::TooLong { .. }
                    | HeadRefused::Early { .. }),
                ) => tracing::warn!(%why, "the plugin's head is not taken now"),
                Answer::Busy => tracing::warn!("the plugin's head is not taken now: too many requests wait"),
                Answer::Stopped(_) | Answer::Aborted => {}
            }
        };
        self.engine.set_head(Hash(hash), pipeline::Reply::new(answer));
    }

    fn finalize(&self, hash: [u8; 32], certificate: Vec<u8>) -> Submitted {
        submitted(self.engine.finalize(Hash(hash), certificate))
    }
}

fn submitted(submission: Submission) -> Submitted {
    match submission {
        Submission::Accepted => Submitted::Accepted,
        Submission::Again => Submitted::Again,
        Submission::Stopped => Submitted::Stopped,
    }
}

fn block_bytes(block: &Block) -> BlockBytes {
    BlockBytes {
        bytes: codec::encode(block),
        hash: block.hash().0,
        parent_hash: block.header.parent_hash.0,
        height: block.header.height,
    }
}

/// Carries what the engine says to the plugin.
struct Feeder {
    engine: pipeline::Engine,
    plugin: PluginHandle,
    writer: Option<PressureWriter>,
}

impl Feeder {
    fn run(&mut self, events: &pipeline::Subscription) {
        loop {
            match events.recv_timeout(FEEDER_TICK) {
                Ok(Event::Stopped { .. }) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(event) => self.tell(&event),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.publish_pressure();
        }
        self.publish_pressure();
    }

    fn tell(&self, event: &Event) {
        match event {
            Event::Finalized { block, .. } => self.plugin.finalized(block.hash.0, block.height),
            Event::Settled { to, .. } => {
                if let Ok(Some(hash)) = self.engine.ledger().finalized_hash(*to) {
                    self.plugin.settled(hash.0, *to);
                }
            }
            Event::Credit { available } => {
                self.plugin.credit(*available, self.engine.pressure().credits_gas);
            }
            Event::Work => self.plugin.work(),
            // What was missed can only have been progress: repeat where things stand.
            Event::Lagged { .. } => {
                let heights = self.engine.heights();
                self.plugin
                    .finalized(heights.finalized.hash.0, heights.finalized.height);
                self.plugin
                    .credit(self.engine.credits(), self.engine.pressure().credits_gas);
                self.plugin.work();
            }
            // A head that follows finality by itself, or that the plugin asked for, is no news to it.
            Event::HeadMoved(moved) if moved.cause == HeadCause::Finality && !moved.removed.is_empty() => {
                self.plugin.head_moved(moved.head.hash.0, moved.head.height);
            }
            Event::HeadMoved(_) | Event::Executed { .. } | Event::Stopped { .. } => {}
        }
    }

    fn publish_pressure(&mut self) {
        let values = pressure_values(&self.engine.pressure());
        if let Some(writer) = &mut self.writer {
            writer.publish(&values);
        }
    }
}

fn pressure_values(snapshot: &PressureSnapshot) -> PressureValues {
    PressureValues {
        credit_blocks: snapshot.credits_blocks,
        credit_gas: snapshot.credits_gas,
        max_gas: snapshot.max_gas,
        max_bytes: snapshot.max_bytes,
        min_interval_ms: snapshot.min_interval_ms,
        executed_height: snapshot.executed_height,
        persisted_height: snapshot.persisted_height,
        settled_height: snapshot.settled_height,
        finalized_height: snapshot.finalized_height,
        oldest_in_flight_ms: snapshot.oldest_in_flight_ms,
        rung: snapshot.rung.level(),
    }
}
