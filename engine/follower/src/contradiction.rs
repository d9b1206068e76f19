//! The end of following: two certified branches, and what their certifiers say of the blocks that both have.

use millrace_light_client::{Branch, Evidence, Opening};
use millrace_types::{ExecutionReceipt, Height};

use crate::fault::FollowError;
use crate::follower::Follower;
use crate::headers::Fork;
use crate::questions::settle;

impl Follower {
    /// What a node's fork shows. If the two branches also open to different receipts for a block that both have, that is
    /// evidence of its own.
    pub(crate) async fn contradiction(&mut self, index: usize, fork: Fork) -> FollowError {
        let receipts = self.two_receipts(index, &fork).await.map(Box::new);
        FollowError::Contradiction {
            url: self.nodes[index].url.clone(),
            height: fork.height,
            evidence: fork.evidence,
            receipts,
        }
    }

    async fn two_receipts(&mut self, index: usize, fork: &Fork) -> Option<Evidence> {
        let common = fork.common.as_ref()?;
        let mut settled = common.settled_height;
        for (place, header) in fork.headers.iter().enumerate() {
            let due = settled.checked_add(1).filter(|due| *due <= common.height)?;
            if header.settled_height < due {
                continue;
            }
            // What this node says is checked by the header's settlement hash, as part of the evidence.
            let node = &self.nodes[index];
            let (_, receipts) = node.settlement(self.light.spec(), due).await.ok()?;
            let second = opening(fork, place, receipts)?;
            if self.open(due, index).await
                && let Some(evidence) = self.light.contradiction(second)
            {
                return Some(evidence);
            }
            settled = header.settled_height;
        }
        None
    }

    /// Opens what settles a height on the branch that is followed, with whoever has it, but for the node of the fork.
    async fn open(&mut self, height: Height, but: usize) -> bool {
        for index in self.order() {
            if index != but && settle(&self.nodes[index], &mut self.light, height).await.is_ok() {
                return true;
            }
        }
        self.light.receipt(height).is_ok()
    }
}

/// The fork from one of its headers up to the one that is known to be certified, with what that header settles.
fn opening(fork: &Fork, place: usize, receipts: Vec<ExecutionReceipt>) -> Option<Opening> {
    let Evidence::Blocks {
        second: certified, ..
    } = &*fork.evidence
    else {
        return None;
    };
    let last = certified.headers.last()?.height;
    let headers = fork
        .headers
        .get(place..)?
        .iter()
        .take_while(|header| header.height <= last)
        .cloned();
    Some(Opening {
        branch: Branch {
            headers: headers.collect(),
            certificate: certified.certificate.clone(),
        },
        receipts,
    })
}
