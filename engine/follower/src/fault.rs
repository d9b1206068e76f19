//! What a node did wrong, and how following ends.

use std::fmt::Write as _;

use millrace_light_client::{CheckpointError, Evidence, StartError};
use millrace_types::settlement::HeaderError;
use millrace_types::{Hash, Height};

/// Why a node is not asked for now, or for good.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    /// It could not be reached, or the connection broke.
    #[error("no answer to {method} ({reason}); is the node running there?")]
    Unreachable {
        /// What it was asked.
        method: &'static str,
        /// Why.
        reason: String,
    },
    /// It took too long.
    #[error("{method} was not answered within {limit_ms} ms")]
    TimedOut {
        /// What it was asked.
        method: &'static str,
        /// The deadline.
        limit_ms: u128,
    },
    /// It answered with an error.
    #[error("refuses {method}: {message}")]
    Refused {
        /// What it was asked.
        method: &'static str,
        /// Its words, shortened.
        message: String,
    },
    /// It answered with something else than the method's answer.
    #[error("the answer to {method} is none: {reason}")]
    Garbled {
        /// What it was asked.
        method: &'static str,
        /// Why.
        reason: String,
    },
    /// What it sent is not true, or not proven.
    #[error("{what} from the node: does not check out: {reason}; nothing of it was accepted")]
    Lied {
        /// What was wrong.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// It serves another chain.
    #[error("the node's chain has genesis {found}, you trust {expected}; ask a node of that chain")]
    OtherChain {
        /// Hash of its genesis header.
        found: Hash,
        /// Hash of the one that is trusted.
        expected: Hash,
    },
    /// It does not send what it must have.
    #[error("the node sent no {what}, though a finalized block has it")]
    Withheld {
        /// What.
        what: &'static str,
    },
    /// Others, or whoever trusts a block, have blocks that it does not.
    #[error("behind: it shows no finalized block above height {newest}, short of {known}")]
    Behind {
        /// What it is asked for above this height, it does not have.
        newest: Height,
        /// The newest that is known.
        known: Height,
    },
    /// It tells of blocks and does not send them.
    #[error("it told of a finalized block at height {told}, and sends blocks up to {sent}")]
    Empty {
        /// The height told.
        told: Height,
        /// The newest sent.
        sent: Height,
    },
}

impl Fault {
    /// Whether the node is never asked again: what it sent cannot come from an honest node. Everything else passes.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        matches!(self, Self::Lied { .. } | Self::OtherChain { .. })
    }
}

/// A node that was left.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Left {
    /// Its URL.
    pub url: String,
    /// Why.
    pub fault: Fault,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// Nobody to ask.
    #[error("no node was named; give one by --rpc")]
    NoNodes,
    /// The URL does not parse.
    #[error("{url} is no URL of a node ({reason}); it looks like http://127.0.0.1:4860")]
    Url {
        /// As given.
        url: String,
        /// Why.
        reason: String,
    },
    /// The chain cannot be followed by this build, or not from there.
    #[error("the chain cannot be followed: {0}")]
    Start(#[from] StartError),
    /// The checkpoint cannot be used.
    #[error("{0}; move the file away to begin anew")]
    Checkpoint(#[from] CheckpointError),
    /// Every node was left.
    #[error("{what}: no node gives an answer that checks out{}", list(.nodes))]
    NoAnswer {
        /// What was asked.
        what: &'static str,
        /// The nodes with their faults.
        nodes: Vec<Left>,
    },
    /// A transaction of which no node proves that it is settled.
    #[error("transaction {hash} is not settled by a finalized block yet, say all nodes that answer ({said})")]
    NotSettled {
        /// The transaction.
        hash: Hash,
        /// Where the last of them says that it is.
        said: String,
    },
    /// So old that the headers around it are not kept any more.
    #[error(
        "what a node says of height {height} cannot be checked: headers are kept from height {oldest} on; begin at an earlier \
         header"
    )]
    TooOld {
        /// The height.
        height: Height,
        /// The oldest height kept.
        oldest: Height,
    },
    /// Two certified branches: those who certify are at fault, and no node can be followed any more.
    #[error(
        "{url} shows a certified block at height {height} that contradicts a certified block from others: those who certify \
         blocks signed both, and what is final on this chain is not known any more. The client stays where it was; keep the \
         evidence and ask the chain's operators"
    )]
    Contradiction {
        /// The node that showed the second branch.
        url: String,
        /// The height.
        height: Height,
        /// For everyone else to check.
        evidence: Box<Evidence>,
        /// Evidence also that the branches open to different receipts for a block that both have, if they do.
        receipts: Option<Box<Evidence>>,
    },
    /// A certified header that this client cannot take: no other node has a better one.
    #[error(
        "the chain's certified header at height {height} is none that this client takes: {error}. If the chain has moved to a \
         newer header version, take a newer millrace; otherwise those who certify blocks broke a rule: ask the chain's \
         operators. What was verified below stays true"
    )]
    ConsensusViolation {
        /// Its height.
        height: Height,
        /// The rule.
        error: HeaderError,
    },
}

fn list(nodes: &[Left]) -> String {
    nodes.iter().fold(String::new(), |mut text, left| {
        write!(text, "\n  {}: {}", left.url, left.fault).expect("a string takes everything");
        text
    })
}

/// A stranger's words, fit for a terminal: short, without characters that it obeys.
pub(crate) fn words(text: &str) -> String {
    const MOST: usize = 300;
    let mut shown: String = text
        .chars()
        .take(MOST)
        .map(|c| if is_obeyed(c) { ' ' } else { c })
        .collect();
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}

/// Control characters, and those that turn the direction of text.
fn is_obeyed(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn a_strangers_words_are_short_and_harmless() {
        assert_eq!(words("no\u{1b}[31m\nsuch"), "no [31m such");
        assert_eq!(words("turned \u{202e}about\u{2069}"), "turned  about ");
        assert_eq!(words(&"é".repeat(1_000)).chars().count(), 301);
    }
}
