//! Where gas is paid: static debts.
//!
//! Native code does not pay for each block as it enters it. It carries a *debt*, known when it is compiled, and pays
//! where it has to: at loop headers, so that every cycle checks, and before calls, returns, host calls and exits, where
//! the counter has to be exact. Where ways meet, the smallest debt among them goes on and the others pay the
//! difference on their edges. A trap consumes everything, so that paying late before one cannot be noticed.

use super::flow::{BlockId, Ending, Region, Target};

/// What each block of a region pays and owes.
#[derive(Debug)]
pub(crate) struct Debts {
    /// Owed when a block begins.
    owed: Vec<u64>,
    /// Paid at the end of a block, before its ending.
    paid: Vec<u64>,
    /// Owed on the edges out of a block, before they pay.
    left: Vec<u64>,
}

impl Debts {
    /// Places payments. Blocks are in reverse postorder.
    pub(crate) fn place(region: &Region) -> Self {
        let count = region.blocks.len();
        let mut is_header = vec![false; count];
        let mut before: Vec<Vec<BlockId>> = vec![Vec::new(); count];
        for (id, block) in region.blocks.iter().enumerate() {
            for next in block.successors() {
                if next <= id {
                    is_header[next] = true;
                } else {
                    before[next].push(id);
                }
            }
        }
        let mut debts = Self {
            owed: vec![0; count],
            paid: vec![0; count],
            left: vec![0; count],
        };
        for (id, block) in region.blocks.iter().enumerate() {
            if id != 0 && !is_header[id] {
                debts.owed[id] = before[id].iter().map(|&from| debts.left[from]).min().unwrap_or(0);
            }
            let total = debts.owed[id] + block.gas;
            let pays = match &block.ending {
                Ending::Jump(Target::Block(next)) => *next <= id,
                Ending::Branch { taken, fall, .. } => [taken, fall].into_iter().any(|target| match target {
                    Target::Block(next) => is_header[*next],
                    Target::Away(_) => false,
                }),
                Ending::Jump(Target::Away(_))
                | Ending::Call { .. }
                | Ending::CallIndirect { .. }
                | Ending::Return
                | Ending::Ecall { .. } => true,
                // A jump table pays on its edges, which mostly lead back to one loop.
                Ending::JumpIndirect { candidates, .. } => candidates.is_empty(),
                Ending::Back { .. } | Ending::Trap => false,
            };
            if pays {
                debts.paid[id] = total;
            } else {
                debts.left[id] = total;
            }
        }
        debts
    }

    /// Paid before the ending of a block.
    pub(crate) fn before_ending(&self, block: BlockId) -> u64 {
        self.paid[block]
    }

    /// Paid on the way from a block to one of its successors.
    pub(crate) fn on_edge(&self, from: BlockId, to: BlockId) -> u64 {
        self.left[from] - self.owed[to]
    }

    /// Paid on the way from a block out of the region.
    pub(crate) fn on_exit(&self, from: BlockId) -> u64 {
        self.left[from]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compiler::flow::Block;

    fn block(gas: u64, ending: Ending) -> Block {
        Block {
            start: 0,
            steps: Vec::new(),
            ending,
            ending_pc: 0,
            gas,
        }
    }

    fn branch(taken: BlockId, fall: BlockId) -> Ending {
        Ending::Branch {
            op: crate::isa::Op::Beq,
            rs1: 1,
            rs2: 2,
            taken: Target::Block(taken),
            fall: Target::Block(fall),
        }
    }

    /// Walks random ways through the region and compares what is paid with what is owed.
    fn check(region: &Region) {
        let debts = Debts::place(region);
        for seed in 1..200_u64 {
            let (mut at, mut paid, mut spent, mut state) = (0, 0, 0, seed);
            for _ in 0..50 {
                spent += region.blocks[at].gas;
                paid += debts.before_ending(at);
                let next: Vec<_> = region.blocks[at].successors().collect();
                if next.is_empty() {
                    assert_eq!(paid, spent, "all is paid at a return");
                    break;
                }
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let to = next[(state >> 33) as usize % next.len()];
                paid += debts.on_edge(at, to);
                assert_eq!(paid + debts.owed[to], spent, "what is owed is known");
                assert!(to > at || debts.owed[to] == 0, "every cycle pays");
                at = to;
            }
        }
    }

    #[test]
    fn every_way_pays_what_it_owes() {
        let region = Region {
            entry: 0,
            blocks: vec![
                block(3, branch(2, 1)),
                block(5, Ending::Jump(Target::Block(3))),
                block(7, branch(4, 3)),
                block(11, branch(2, 4)),
                block(13, branch(1, 5)),
                block(17, Ending::Return),
            ],
            cut: Vec::new(),
        };
        check(&region);
    }
}
