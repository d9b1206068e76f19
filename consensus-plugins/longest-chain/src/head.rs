//! The head and finality: what the watching node tells its engine.
//!
//! ```text
//!   a longer chain ─▶ set_head ─▶ moved ─▶ finalize what lies deep enough, one block at a time ─▶ taken over
//! ```
//!
//! Never both at once: a head on its way to another branch must not meet a finality that excludes it.

use millrace_plugin_sdk::types::certificate::LONGEST_CHAIN_CONSENSUS_ID;
use millrace_plugin_sdk::types::{SoloCertificate, codec};
use millrace_plugin_sdk::{BlockMark, Declined, HeadDeclined, Level, Metric, Step, Submitted, Token};

use crate::chain::LongestChain;
use crate::tree::Tree;

/// The engine's head.
#[derive(Debug)]
pub(crate) struct Head {
    /// Where it is.
    pub(crate) mark: BlockMark,
    /// Where it was asked to go.
    moving: Option<(Token, BlockMark)>,
}

impl Head {
    /// Rests at a block.
    pub(crate) fn at(mark: BlockMark) -> Self {
        Self { mark, moving: None }
    }

    /// Whether `block` is what it is asked to go to, or an ancestor of that.
    pub(crate) fn is_moving_to(&self, block: &BlockMark, tree: &Tree) -> bool {
        self.moving
            .is_some_and(|(_, target)| tree.is_on_branch(block, &target.hash))
    }
}

/// What becomes final next.
#[derive(Debug)]
pub(crate) enum Finality {
    /// Nothing is under way.
    Idle,
    /// This block.
    Submitting { token: Token, mark: BlockMark },
    /// There was no room; a credit event follows.
    Full,
}

impl LongestChain {
    /// Asks for the longest chain to be the head, if it is longer than the head.
    pub(crate) fn move_head(&mut self, step: &mut Step) {
        let longest = self.tree.longest();
        let is_busy = self.head.moving.is_some() || matches!(self.finality, Finality::Submitting { .. });
        if !is_busy && longest.height > self.head.mark.height {
            let token = step.set_head(longest.hash);
            self.head.moving = Some((token, longest));
        }
    }

    pub(crate) fn on_head_moved(
        &mut self,
        token: Option<Token>,
        result: Result<BlockMark, HeadDeclined>,
        step: &mut Step,
    ) {
        let target = match (token, self.head.moving) {
            (Some(token), Some((asked, target))) if asked == token => target,
            (None, _) => return self.on_head_moved_unasked(result, step),
            _ => return,
        };
        self.head.moving = None;
        match result {
            Ok(head) if head.hash == target.hash => {
                self.arrive(target, step);
                self.finalize_next(step);
                self.move_head(step);
            }
            Ok(head) => self.give_up(
                format!("asked for the head {}, was given {}", target.hash, head.hash),
                step,
            ),
            Err(HeadDeclined::Invalid { block, reason }) => {
                let offender = self.tree.mark(&block).unwrap_or(target);
                self.lose(offender, &reason, step);
            }
            // Tried again in the next slot, if it is still the longest.
            Err(HeadDeclined::Declined(Declined::NotNow(_) | Declined::Aborted(_))) => {}
            Err(HeadDeclined::Declined(Declined::Stopped)) => self.end(),
            Err(HeadDeclined::Declined(why @ Declined::UnknownParent)) => {
                self.lose(target, &why.to_string(), step);
            }
            Err(HeadDeclined::Declined(Declined::Invalid(why))) => {
                self.give_up(format!("set_head({}) is refused: {why}", target.hash), step);
            }
        }
    }

    /// The engine went somewhere by itself. Where the longest chain is elsewhere, the next slot leads back.
    fn on_head_moved_unasked(&mut self, result: Result<BlockMark, HeadDeclined>, step: &mut Step) {
        let Ok(head) = result else { return };
        match self.tree.mark(&head.hash) {
            Some(mark) => self.arrive(mark, step),
            None => step.log(
                Level::Warn,
                format!(
                    "the engine's head went to {} at height {}, which is not of this plugin",
                    head.hash, head.height
                ),
            ),
        }
    }

    fn arrive(&mut self, head: BlockMark, step: &mut Step) {
        let lost = self.tree.blocks_lost(&self.head.mark, &head.hash);
        self.head.mark = head;
        step.metric(Metric::Gauge, "head_height", head.height as f64);
        if lost > 0 {
            step.metric(Metric::Counter, "reorganisations", 1.0);
            step.metric(Metric::Histogram, "reorganisation_depth", lost as f64);
            step.log(
                Level::Info,
                format!(
                    "the head went to {} at height {}, {lost} blocks lost",
                    head.hash, head.height
                ),
            );
        }
    }

    /// Makes the next block final, if it lies deep enough below the head.
    pub(crate) fn finalize_next(&mut self, step: &mut Step) {
        let height = self.tree.root().height + 1;
        let is_busy = self.head.moving.is_some() || !matches!(self.finality, Finality::Idle);
        let is_deep = self.head.mark.height >= height.saturating_add(self.config.finality_depth);
        if is_busy || !is_deep {
            return;
        }
        let Some(mark) = self.tree.ancestor(&self.head.mark.hash, height) else {
            return;
        };
        // One block per height becomes final, so the height counts them.
        let certificate = SoloCertificate::sign_under(
            LONGEST_CHAIN_CONSENSUS_ID,
            self.chain_id,
            mark.height,
            mark.hash,
            &self.config.key,
        );
        let token = step.finalize(mark.hash, codec::encode(&certificate).into());
        self.finality = Finality::Submitting { token, mark };
    }

    pub(crate) fn on_finalized(&mut self, token: Token, outcome: Submitted, step: &mut Step) {
        let mark = match self.finality {
            Finality::Submitting { token: asked, mark } if asked == token => mark,
            _ => return,
        };
        self.finality = Finality::Idle;
        match outcome {
            Submitted::Accepted => {
                self.tree.finalize(mark);
                self.forget_lost_fork();
                step.metric(Metric::Gauge, "final_height", mark.height as f64);
                self.finalize_next(step);
                self.move_head(step);
            }
            Submitted::Again => {
                step.metric(Metric::Counter, "again", 1.0);
                self.finality = Finality::Full;
            }
            Submitted::Stopped => self.end(),
            Submitted::Invalid | Submitted::UnknownParent => self.give_up(
                format!(
                    "the engine refuses to finalize {} at height {}: {outcome:?}",
                    mark.hash, mark.height
                ),
                step,
            ),
        }
    }
}
