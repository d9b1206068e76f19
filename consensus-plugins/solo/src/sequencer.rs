//! The state machine.

use core::time::Duration;

use millrace_plugin_sdk::types::certificate::SOLO_CONSENSUS_ID;
use millrace_plugin_sdk::types::{SoloCertificate, codec};
use millrace_plugin_sdk::{
    BlockBytes, BlockMark, BuildRequest, Bytes, ChainState, Declined, Event, Level, Metric, StartError, Step,
    Stepped, Submitted, Token,
};

use crate::config::{Config, EmptyBlocks};

/// How soon a build is tried again that was declined, at the earliest, if no word of work comes before.
const RETRY_MS: u64 = 50;

/// The single sequencer.
#[derive(Debug)]
pub struct Solo {
    config: Config,
    chain_id: u64,
    /// The newest block that the engine took over.
    head: BlockMark,
    phase: Phase,
    /// When the last block was asked for that was then built.
    proposed_ms: u64,
    /// Its event is the next turn; an older timer's is not.
    turn: Option<Token>,
}

#[derive(Debug)]
enum Phase {
    /// For the next turn.
    Waiting,
    /// As `Waiting`, after a build was declined: word of work is a turn as well.
    Declined,
    /// A block was asked for at this time.
    Building { token: Token, asked_ms: u64 },
    /// A certified block is on its way.
    Submitting { token: Token, certified: Certified },
    /// There was no room; a credit event follows.
    Full { certified: Certified },
    /// The engine takes nothing more, or this plugin gave up.
    Ended,
}

#[derive(Clone, Debug)]
struct Certified {
    block: Bytes,
    certificate: Bytes,
    mark: BlockMark,
}

impl Stepped for Solo {
    const CONSENSUS_ID: &'static str = SOLO_CONSENSUS_ID;
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    fn start(chain: &ChainState, step: &mut Step) -> Result<Self, StartError> {
        let config = Config::read(chain).map_err(StartError::Configuration)?;
        let head = BlockMark {
            hash: chain.finalized_hash,
            height: chain.finalized_height,
        };
        step.log(
            Level::Info,
            format!(
                "sequencing with key {} after block {} at height {}",
                config.key.public_key(),
                head.hash,
                head.height
            ),
        );
        let mut solo = Self {
            chain_id: chain.chain_id,
            config,
            head,
            phase: Phase::Waiting,
            proposed_ms: step.now_ms(),
            turn: None,
        };
        solo.wait_for_turn(step);
        Ok(solo)
    }

    fn on_event(&mut self, event: Event, step: &mut Step) {
        match event {
            Event::Timer { token } if self.turn == Some(token) => {
                self.turn = None;
                self.take_turn(step);
            }
            Event::Work if matches!(self.phase, Phase::Declined) => self.take_turn(step),
            Event::BlockBuilt { token, result } => self.on_built(token, result, step),
            Event::Submitted { token, outcome } => self.on_submitted(token, outcome, step),
            Event::Credit { .. } => self.on_credit(step),
            _ => {}
        }
    }
}

impl Solo {
    /// The newest block that the engine took over.
    #[must_use]
    pub fn head(&self) -> BlockMark {
        self.head
    }

    /// When the next block may be asked for: the operator's interval or the engine's, whichever is longer.
    fn due_ms(&self, step: &Step) -> u64 {
        let engines_ms = step.pressure().map_or(0, |pressure| pressure.min_interval_ms);
        self.proposed_ms
            .saturating_add(self.config.block_interval_ms.max(engines_ms))
    }

    fn wait_for_turn(&mut self, step: &mut Step) {
        let delay_ms = self.due_ms(step).saturating_sub(step.now_ms());
        self.set_turn(delay_ms, step);
    }

    fn set_turn(&mut self, delay_ms: u64, step: &mut Step) {
        if let Some(timer) = self.turn.take() {
            step.cancel_timer(timer);
        }
        self.turn = Some(step.set_timer(Duration::from_millis(delay_ms)));
    }

    fn take_turn(&mut self, step: &mut Step) {
        if !matches!(self.phase, Phase::Waiting | Phase::Declined) {
            return;
        }
        if step.now_ms() < self.due_ms(step) {
            return self.wait_for_turn(step);
        }
        let some = |limit: u64| (limit > 0).then_some(limit);
        let pressure = step.pressure().copied().unwrap_or_default();
        let token = step.request_block(BuildRequest {
            parent_hash: self.head.hash,
            proposer: self.config.key.address(),
            max_gas: some(pressure.max_gas),
            max_bytes: some(pressure.max_bytes),
            timestamp_ms: None,
            consensus_data: Vec::new(),
            allow_empty: self.config.empty_blocks == EmptyBlocks::Always,
        });
        self.phase = Phase::Building {
            token,
            asked_ms: step.now_ms(),
        };
    }

    fn on_built(&mut self, token: Token, result: Result<BlockBytes, Declined>, step: &mut Step) {
        let Phase::Building {
            token: asked,
            asked_ms,
        } = self.phase
        else {
            return;
        };
        if asked != token {
            return;
        }
        match result {
            Ok(block) if block.parent_hash == self.head.hash && block.height == self.head.height + 1 => {
                self.proposed_ms = asked_ms;
                step.metric(Metric::Counter, "proposals", 1.0);
                let certified = self.certify(block);
                self.submit(certified, step);
            }
            Ok(block) => self.give_up(
                format!(
                    "asked for a block on {}, was given {} at height {}",
                    self.head.hash, block.hash, block.height
                ),
                step,
            ),
            Err(Declined::NotNow(why)) => {
                step.log(Level::Trace, why);
                self.phase = Phase::Declined;
                self.set_turn(self.config.block_interval_ms.max(RETRY_MS), step);
            }
            Err(Declined::Aborted(_)) => {
                self.phase = Phase::Declined;
                self.set_turn(self.config.block_interval_ms.max(RETRY_MS), step);
            }
            Err(Declined::Stopped) => self.phase = Phase::Ended,
            Err(why @ (Declined::UnknownParent | Declined::Invalid(_))) => {
                self.give_up(
                    format!(
                        "the engine builds nothing on its own head {}: {why}",
                        self.head.hash
                    ),
                    step,
                );
            }
        }
    }

    fn certify(&self, block: BlockBytes) -> Certified {
        let mark = BlockMark {
            hash: block.hash,
            height: block.height,
        };
        // One block per height, so the height counts the proposals.
        let certificate = SoloCertificate::sign(self.chain_id, mark.height, mark.hash, &self.config.key);
        Certified {
            block: block.bytes,
            certificate: codec::encode(&certificate).into(),
            mark,
        }
    }

    fn submit(&mut self, certified: Certified, step: &mut Step) {
        let token = step.submit_finalized(certified.block.clone(), certified.certificate.clone());
        self.phase = Phase::Submitting { token, certified };
    }

    fn on_submitted(&mut self, token: Token, outcome: Submitted, step: &mut Step) {
        let certified = match &self.phase {
            Phase::Submitting {
                token: submitted,
                certified,
            } if *submitted == token => certified.clone(),
            _ => return,
        };
        match outcome {
            Submitted::Accepted => {
                self.head = certified.mark;
                step.metric(Metric::Gauge, "head_height", self.head.height as f64);
                self.phase = Phase::Waiting;
                self.wait_for_turn(step);
            }
            Submitted::Again => {
                step.metric(Metric::Counter, "again", 1.0);
                self.phase = Phase::Full { certified };
            }
            Submitted::Stopped => self.phase = Phase::Ended,
            Submitted::Invalid | Submitted::UnknownParent => self.give_up(
                format!(
                    "the engine refuses {} at height {}: {outcome:?}",
                    certified.mark.hash, certified.mark.height
                ),
                step,
            ),
        }
    }

    fn on_credit(&mut self, step: &mut Step) {
        if let Phase::Full { certified } = &self.phase {
            let certified = certified.clone();
            self.submit(certified, step);
        }
    }

    fn give_up(&mut self, reason: String, step: &mut Step) {
        self.phase = Phase::Ended;
        step.fatal(reason);
    }
}
