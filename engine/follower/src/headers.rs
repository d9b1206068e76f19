//! Headers from one node: what it has above what is known, where it stands if it is behind, and of which chain a branch is
//! that does not fit.
//!
//! ```text
//!   getHeaders(a few below the newest ..) ─▶ advance ─▶ more, until it has no more
//!        │ nothing there                        │ another certified block
//!        ▼                                      ▼
//!   below, until it shows something        below, to where the branches part
//! ```

use millrace_light_client::{AdvanceError, CertifiedHeader, Evidence, LightClient};
use millrace_types::{Hash, Header, Height};

use crate::fault::{Fault, FollowError};
use crate::node::{Node, lied};

/// Why a step with one node ended.
pub(crate) enum Trouble {
    /// The node's fault.
    Fault(Fault),
    /// The node shows another certified branch of this chain.
    Fork(Box<Fork>),
    /// Not any node's.
    End(FollowError),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// A certified branch beside the one that is followed.
pub(crate) struct Fork {
    /// A height at which both have a block.
    pub height: Height,
    pub evidence: Box<Evidence>,
    /// The branch, from where it parts up to what is certified; from what is kept on, if it parts below.
    pub headers: Vec<Header>,
    /// The newest block that both have, if it is kept.
    pub common: Option<Header>,
}

/// An answer that has not been looked at yet.
pub(crate) struct Asked {
    from: Height,
    answer: Result<Vec<CertifiedHeader>, Fault>,
}

impl Asked {
    /// Asks a node.
    pub async fn of(node: &Node, light: &LightClient, allowed_behind: Height) -> Self {
        let from = begins(light, allowed_behind);
        let answer = node.headers(light, from, u64::MAX).await;
        Self { from, answer }
    }

    /// Whether it says as much as asking again would, though others may have brought more meanwhile.
    pub fn is_fresh(&self, light: &LightClient, allowed_behind: Height) -> bool {
        let begins = begins(light, allowed_behind);
        let reaches =
            |headers: &Vec<CertifiedHeader>| headers.last().is_some_and(|last| last.header.height >= begins);
        self.from == begins || self.answer.as_ref().map_or(true, reaches)
    }
}

/// The height from which nodes are asked: a few below the newest, so that they have to agree before they add.
fn begins(light: &LightClient, allowed_behind: Height) -> Height {
    let below = light.finalized_height().saturating_sub(allowed_behind);
    below.max(oldest(light))
}

/// The oldest height at which a node's header can be held against one that is kept.
fn oldest(light: &LightClient) -> Height {
    let oldest = light.headers().next();
    oldest.map_or(0, |header| header.height).max(1)
}

/// Takes all headers that a node has, from a few below the newest known; `asked` is its first answer if it was asked
/// before. Answers the height of the newest that it showed: `None` if it has nothing that could be compared.
pub(crate) async fn catch_up(
    node: &Node,
    light: &mut LightClient,
    allowed_behind: Height,
    asked: Option<Asked>,
) -> Result<Option<Height>, Trouble> {
    let asked = match asked {
        Some(asked) => asked,
        None => Asked::of(node, light, allowed_behind).await,
    };
    let (mut next, mut batch, mut newest) = (asked.from, asked.answer?, None);
    while let Some(last) = batch.last().map(|entry| entry.header.height) {
        take(node, light, &batch).await?;
        newest = Some(last);
        // Less than was asked for is the end of what it has. If it has more, it is behind by its own choice.
        let (false, Some(above)) = ((batch.len() as u64) < node.batch(light), last.checked_add(1)) else {
            return Ok(newest);
        };
        next = above;
        batch = node.headers(light, next, u64::MAX).await?;
    }
    match newest {
        Some(_) => Ok(newest),
        None => look_below(node, light, next).await,
    }
}

/// Finds the newest block of a node that has nothing at `above`, as far down as headers are kept, and takes it and those
/// before it: so a fork shows also where it is shorter.
async fn look_below(
    node: &Node,
    light: &mut LightClient,
    mut above: Height,
) -> Result<Option<Height>, Trouble> {
    let oldest = oldest(light);
    while above > oldest {
        let from = above.saturating_sub(node.batch(light)).max(oldest);
        let batch = node.headers(light, from, above - from).await?;
        if let Some(last) = batch.last().map(|entry| entry.header.height) {
            take(node, light, &batch).await?;
            return Ok(Some(last));
        }
        above = from;
    }
    Ok(None)
}

async fn take(node: &Node, light: &mut LightClient, batch: &[CertifiedHeader]) -> Result<(), Trouble> {
    match light.advance(batch) {
        Ok(()) => Ok(()),
        Err(AdvanceError::Conflict { height, evidence }) => {
            let (headers, common) = down_to_common(node, light, batch).await?;
            Err(Trouble::Fork(Box::new(Fork {
                height,
                evidence,
                headers,
                common,
            })))
        }
        // A certificate stands behind it, so that no other node is better.
        Err(AdvanceError::Header { height, error }) => {
            Err(Trouble::End(FollowError::ConsensusViolation { height, error }))
        }
        Err(error) => Err(lied("headers", &error).into()),
    }
}

/// Asks a node for what is below a branch that does not fit, down to a block that is kept, and gives both. A certificate
/// names the chain by its id, which another chain may have too: a branch that comes from another genesis is that
/// chain's, and contradicts nothing. Where less is kept than it takes to tell, the branch counts as this chain's.
async fn down_to_common(
    node: &Node,
    light: &LightClient,
    batch: &[CertifiedHeader],
) -> Result<(Vec<Header>, Option<Header>), Trouble> {
    let oldest = oldest(light);
    // Certificates are left behind: nobody has looked at their length.
    let mut headers: Vec<Header> = batch.iter().map(|entry| entry.header.clone()).collect();
    headers = above_common(light, headers);
    while let Some(first) = headers.first() {
        let Some((below, hash)) = parent_of(first) else {
            break;
        };
        let Some((ours, our_hash)) = light.header(below) else {
            break;
        };
        if our_hash == hash {
            let parted = ours.clone();
            return Ok((headers, Some(parted)));
        }
        if below == 0 {
            let reason = format!("they begin at genesis {hash}, and that of this chain is {our_hash}");
            return Err(lied("headers of another chain", &reason).into());
        }
        if below < oldest {
            break;
        }
        let from = below.saturating_sub(node.batch(light) - 1).max(oldest);
        let more = node.headers(light, from, below - from + 1).await?;
        let mut more: Vec<Header> = more.into_iter().map(|entry| entry.header).collect();
        if !leads_to(&more, below, hash) {
            let reason = format!("the ancestors of {hash} at height {below} do not lead to it");
            return Err(lied("headers", &reason).into());
        }
        more.append(&mut headers);
        headers = above_common(light, more);
    }
    Ok((headers, None))
}

/// Headers without the newest that is kept and those before it.
fn above_common(light: &LightClient, mut headers: Vec<Header>) -> Vec<Header> {
    let is_kept = |header: &Header| {
        light
            .header(header.height)
            .is_some_and(|(kept, _)| kept == header)
    };
    headers.drain(..headers.iter().rposition(is_kept).map_or(0, |place| place + 1));
    headers
}

fn parent_of(header: &Header) -> Option<(Height, Hash)> {
    Some((header.height.checked_sub(1)?, header.parent_hash))
}

/// Whether headers follow each other up to the one with this height and hash.
fn leads_to(headers: &[Header], height: Height, hash: Hash) -> bool {
    let linked = headers
        .windows(2)
        .all(|pair| parent_of(&pair[1]) == Some((pair[0].height, pair[0].hash())));
    let last = headers.last();
    linked && last.is_some_and(|last| last.height == height && last.hash() == hash)
}
