//! Starting, following headers from several nodes, and who leads.
//!
//! A round ([`Follower::sync`]) asks every node for what it has above the newest finalized block that is known, all beside
//! each other; the leader's answer is taken first. Each begins a few blocks below, so that it has to agree with what the
//! others showed before it adds to it:
//!
//! ```text
//!   all nodes:     getHeaders(newest - allowed_behind ..)
//!   one by one:    advance ─▶ more, until it has no more ─▶ its newest block
//!        │ fault: named, left                                    │ contradiction: evidence, the end
//!   all whose newest is more than allowed_behind below the newest of all: asked once more, then left as behind
//!   the first that is not left leads
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use millrace_light_client::{LightClient, StartError, Verifiers, trusted_ancestors};
use millrace_types::{ChainSpec, Hash, Header, Height};

use crate::beside::beside;
use crate::fault::{Fault, FollowError, Left};
use crate::headers::{Asked, Trouble, catch_up};
use crate::node::{Node, lied};

/// Nodes that are asked beside each other: answers that may be in memory at once.
const AT_ONCE: usize = 8;

/// Bounds of asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long an answer may take.
    pub deadline: Duration,
    /// The most bytes of an answer. Eight may be in memory at once.
    pub max_answer_bytes: u32,
    /// How many blocks a node's newest finalized block may be below the newest that is known.
    pub allowed_behind: Height,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(10),
            max_answer_bytes: 64 << 20,
            allowed_behind: 8,
        }
    }
}

/// What is trusted beside the hash of the genesis header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Nothing.
    Genesis,
    /// A block, as its height and hash.
    Block {
        /// Its height.
        height: Height,
        /// Its hash.
        hash: Hash,
    },
    /// A checkpoint that a light client wrote.
    Checkpoint(Vec<u8>),
}

/// How a node stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its URL.
    pub url: String,
    /// It is asked first.
    pub leads: bool,
    /// The newest finalized block that it showed in the last round; zero if it showed none above genesis.
    pub newest: Height,
    /// Why it was left, if it was.
    pub fault: Option<Fault>,
}

/// A light client and the nodes that it asks.
pub struct Follower {
    pub(crate) nodes: Vec<Node>,
    pub(crate) leader: usize,
    pub(crate) light: LightClient,
    allowed_behind: Height,
    /// Those who were left since somebody asked.
    news: Vec<Left>,
}

impl Follower {
    /// Starts with nodes, at least one. The chain spec comes from the first that has the one which hashes to the genesis
    /// header that is trusted, or from the checkpoint.
    ///
    /// # Errors
    /// When no node has that chain, its consensus has no verifier here, or the checkpoint is refused.
    pub async fn start(
        urls: &[String],
        genesis: Hash,
        trust: Trust,
        verifiers: &Verifiers,
        options: &Options,
    ) -> Result<Self, FollowError> {
        let mut nodes = Vec::new();
        // One node under two names would be held against itself.
        let name = |url: &str| url.trim_end_matches('/').to_owned();
        for url in urls {
            if !nodes.iter().any(|node: &Node| name(&node.url) == name(url)) {
                nodes.push(Node::new(url, options)?);
            }
        }
        if nodes.is_empty() {
            return Err(FollowError::NoNodes);
        }
        let mut news = Vec::new();
        let light = match trust {
            Trust::Checkpoint(bytes) => LightClient::resume(&bytes, genesis, verifiers)?,
            Trust::Genesis => LightClient::new(chain_spec(&mut nodes, &mut news, genesis).await?, verifiers)?,
            Trust::Block { height, hash } => {
                let spec = chain_spec(&mut nodes, &mut news, genesis).await?;
                let light = LightClient::new(spec, verifiers)?;
                trusted(&mut nodes, &mut news, light, verifiers, (height, hash)).await?
            }
        };
        let leader = nodes.iter().position(|node| node.left.is_none()).unwrap_or(0);
        // They have just been asked.
        nodes
            .iter_mut()
            .for_each(|node| node.rest = u32::from(node.left.is_some()));
        Ok(Self {
            nodes,
            leader,
            light,
            allowed_behind: options.allowed_behind,
            news,
        })
    }

    /// What is verified so far.
    #[must_use]
    pub fn light(&self) -> &LightClient {
        &self.light
    }

    /// How each node stands, in the order in which they were given.
    #[must_use]
    pub fn standings(&self) -> Vec<Standing> {
        let nodes = self.nodes.iter().enumerate();
        nodes
            .map(|(index, node)| Standing {
                url: node.url.clone(),
                leads: index == self.leader && node.left.is_none(),
                newest: node.tip.unwrap_or(0),
                fault: node.left.clone(),
            })
            .collect()
    }

    /// Nodes that were left since this was last called; one that stays away is told once.
    pub fn take_news(&mut self) -> Vec<Left> {
        std::mem::take(&mut self.news)
    }

    /// A round: fetches and checks headers up to the newest that any node has, and holds the nodes against each other.
    /// Who was left for what passes is asked again, after a pause that grows with every time.
    ///
    /// # Errors
    /// When no node is left to ask, or two certified branches contradict each other.
    pub async fn sync(&mut self) -> Result<(), FollowError> {
        self.pardon();
        let order = self.order();
        self.round(&order).await?;
        if self.order().is_empty() {
            // Whoever still rests is better than nobody.
            let resting = self.recall(&order);
            self.round(&resting).await?;
        }
        for node in &mut self.nodes {
            if node.left.is_none() {
                node.faults = 0;
            }
        }
        self.elect("headers")
    }

    /// Asks these nodes and takes what they have, in this order; who is behind is left.
    pub(crate) async fn round(&mut self, order: &[usize]) -> Result<(), FollowError> {
        self.consult(order).await?;
        let behind: Vec<usize> = order
            .iter()
            .copied()
            .filter(|index| self.is_behind(*index))
            .collect();
        self.consult(&behind).await?;
        for index in behind {
            if self.is_behind(index) {
                let newest = self.nodes[index].tip.unwrap_or(0);
                let known = self.light.finalized_height();
                self.leave(index, Fault::Behind { newest, known });
            }
        }
        Ok(())
    }

    /// Takes what the leader has above the newest block that is known, and asks nobody else unless it has a fault.
    ///
    /// # Errors
    /// As [`Self::sync`].
    pub async fn advance(&mut self) -> Result<(), FollowError> {
        self.consult(&[self.leader]).await?;
        self.elect("headers")
    }

    /// Who was left for what passes is asked again, when it has rested.
    fn pardon(&mut self) {
        for node in &mut self.nodes {
            node.tip = None;
            if node.may_return() {
                match node.rest {
                    0 => node.left = None,
                    _ => node.rest -= 1,
                }
            }
        }
    }

    /// Nodes that are asked, the leader first.
    pub(crate) fn order(&self) -> Vec<usize> {
        let others = (0..self.nodes.len()).filter(|index| *index != self.leader);
        std::iter::once(self.leader)
            .chain(others)
            .filter(|index| self.nodes[*index].left.is_none())
            .collect()
    }

    /// Makes the first node that is not left the leader.
    pub(crate) fn elect(&mut self, what: &'static str) -> Result<(), FollowError> {
        match self.order().first() {
            Some(first) => {
                self.leader = *first;
                Ok(())
            }
            None => Err(self.no_answer(what)),
        }
    }

    pub(crate) fn no_answer(&self, what: &'static str) -> FollowError {
        no_answer(&self.nodes, what)
    }

    pub(crate) fn leave(&mut self, index: usize, fault: Fault) {
        leave(&mut self.nodes[index], &mut self.news, fault);
    }

    fn is_behind(&self, index: usize) -> bool {
        let node = &self.nodes[index];
        let newest = node.tip.unwrap_or(0);
        node.left.is_none() && newest.saturating_add(self.allowed_behind) < self.light.finalized_height()
    }

    /// Asks nodes for headers beside each other and takes them in this order. Who shows a fault is left.
    async fn consult(&mut self, order: &[usize]) -> Result<(), FollowError> {
        let mut waiting = self.asked(order).await;
        while let Some((index, asked)) = waiting.pop_front() {
            let node = &self.nodes[index];
            let caught_up = catch_up(node, &mut self.light, self.allowed_behind, Some(asked)).await;
            match caught_up {
                Ok(tip) => self.nodes[index].tip = tip,
                Err(Trouble::Fault(fault)) => self.leave(index, fault),
                Err(Trouble::Fork(fork)) => return Err(self.contradiction(index, *fork).await),
                Err(Trouble::End(error)) => return Err(error),
            }
            // Who answered before others brought much more is asked again, for what is new.
            let is_stale = |(_, asked): &(_, Asked)| !asked.is_fresh(&self.light, self.allowed_behind);
            if waiting.iter().any(is_stale) {
                let rest: Vec<usize> = waiting.iter().map(|(index, _)| *index).collect();
                waiting = self.asked(&rest).await;
            }
        }
        Ok(())
    }

    /// First answers, of a few nodes at a time.
    async fn asked(&self, order: &[usize]) -> VecDeque<(usize, Asked)> {
        let mut asked = VecDeque::new();
        for some in order.chunks(AT_ONCE) {
            let ask = |index: &usize| Asked::of(&self.nodes[*index], &self.light, self.allowed_behind);
            asked.extend(some.iter().copied().zip(beside(some.iter().map(ask)).await));
        }
        asked
    }

    /// Nodes that rest, and are asked all the same: without those that were asked already.
    pub(crate) fn recall(&mut self, asked: &[usize]) -> Vec<usize> {
        let rests = |index: &usize| self.nodes[*index].may_return() && !asked.contains(index);
        let resting: Vec<usize> = (0..self.nodes.len()).filter(rests).collect();
        for index in &resting {
            self.nodes[*index].left = None;
        }
        resting
    }
}

fn leave(node: &mut Node, news: &mut Vec<Left>, fault: Fault) {
    if node.faults == 0 {
        news.push(Left {
            url: node.url.clone(),
            fault: fault.clone(),
        });
    }
    node.leave(fault);
}

fn no_answer(nodes: &[Node], what: &'static str) -> FollowError {
    let left = nodes.iter().filter_map(|node| {
        Some(Left {
            url: node.url.clone(),
            fault: node.left.clone()?,
        })
    });
    FollowError::NoAnswer {
        what,
        nodes: left.collect(),
    }
}

async fn chain_spec(
    nodes: &mut [Node],
    news: &mut Vec<Left>,
    genesis: Hash,
) -> Result<ChainSpec, FollowError> {
    for node in &mut *nodes {
        match node.chain_spec(genesis).await {
            Ok(spec) => return Ok(spec),
            Err(fault) => leave(node, news, fault),
        }
    }
    Err(no_answer(nodes, "the chain spec"))
}

/// A client that begins at a trusted block, whose ancestors come from the first node that has them.
async fn trusted(
    nodes: &mut [Node],
    news: &mut Vec<Left>,
    genesis: LightClient,
    verifiers: &Verifiers,
    (height, hash): (Height, Hash),
) -> Result<LightClient, FollowError> {
    for node in &mut *nodes {
        if node.left.is_some() {
            continue;
        }
        match trusted_from(node, &genesis, verifiers, (height, hash)).await {
            Ok(light) => return Ok(light?),
            Err(fault) => leave(node, news, fault),
        }
    }
    Err(no_answer(nodes, "the trusted header and its ancestors"))
}

async fn trusted_from(
    node: &Node,
    genesis: &LightClient,
    verifiers: &Verifiers,
    (height, hash): (Height, Hash),
) -> Result<Result<LightClient, StartError>, Fault> {
    let spec = genesis.spec();
    let oldest = height.saturating_sub(trusted_ancestors(spec));
    let wanted = height - oldest + 1;
    let mut headers: Vec<Header> = Vec::new();
    while (headers.len() as u64) < wanted {
        // At most `height`, which may be the greatest number there is.
        let next = oldest + headers.len() as u64;
        let batch = node.headers(genesis, next, wanted - headers.len() as u64).await?;
        if batch.is_empty() {
            let (newest, known) = (next.saturating_sub(1), height);
            return Err(Fault::Behind { newest, known });
        }
        headers.extend(batch.into_iter().map(|entry| entry.header));
    }
    let light = LightClient::from_trusted(spec.clone(), verifiers, hash, headers);
    match light {
        Err(error @ (StartError::Untrusted { .. } | StartError::Header { .. } | StartError::NoHeader)) => {
            Err(lied("headers up to the trusted block", &error))
        }
        light => Ok(light),
    }
}
