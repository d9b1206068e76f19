//! Decisions of consensus that no correct consensus makes: the engine stops, by name, and takes nothing of them over.

use millrace_pipeline::Submission;
use millrace_types::certificate::MAX_CERTIFICATE_BYTES;
use millrace_types::{Block, ChainSpec, Hash};

use super::block::{valid, with};
use super::chain::{Chain, named, spec, spec_a, transfer};
use super::{Case, case, check};

/// Why the engine stops when consensus finalizes what `decide` gives, a chain of two blocks before it.
fn decision(
    name: &'static str,
    chain: fn() -> ChainSpec,
    decide: fn(&Chain) -> (Block, Vec<u8>),
    expected: &'static str,
) -> Case {
    let finalize = move || {
        let chain = Chain::of(chain(), 2);
        let last = chain.engine.last_finalized();
        let (block, certificate) = decide(&chain);
        assert_eq!(chain.submit(&block, certificate), Submission::Accepted);
        let reason = chain.stopped();
        assert_eq!(
            chain.submit(&valid(&Chain::of(spec(), 2)), vec![1]),
            Submission::Stopped
        );
        assert_eq!(chain.engine.last_finalized(), last, "nothing was taken over");
        let names = [(block.hash(), "{block}"), (last.hash, "{last}")];
        Err::<(), _>(named(reason.to_string(), &names))
    };
    case(name, finalize, expected)
}

fn decision_cases() -> Vec<Case> {
    vec![
        decision(
            "decision: a height skipped",
            spec,
            |chain| {
                let mut block = valid(chain);
                block.header.height += 1;
                block.header.parent_hash = Hash([7; 32]);
                (block, vec![1])
            },
            "PluginFault: finalized block {block} at height 4 has an unknown parent; the last finalized is 2",
        ),
        decision(
            "decision: a second block at a height",
            spec,
            |chain| {
                let mut block = valid(chain);
                block.header.height -= 1;
                (block, vec![1])
            },
            "PluginFault: finalized block {block} at height 2 conflicts with the finalized {last}",
        ),
        decision(
            "decision: a child of a block that lost",
            spec,
            |chain| {
                let mut block = valid(chain);
                block.header.parent_hash = Hash([7; 32]);
                (block, vec![1])
            },
            "PluginFault: finalized block {block} at height 3 conflicts with the finalized {last}",
        ),
        decision(
            "decision: a certificate too long",
            spec,
            |chain| (valid(chain), vec![0; MAX_CERTIFICATE_BYTES + 1]),
            "PluginFault: the certificate of block {block} has 1048577 bytes, more than 1048576",
        ),
        decision(
            "decision: an invalid block",
            spec,
            |chain| {
                let mut block = valid(chain);
                with(&mut block, transfer(1, 1));
                (block, vec![1])
            },
            "ConsensusViolation: block {block} at height 3 is finalized and invalid: transaction 1: nonce 1, the sender's next is 0",
        ),
    ]
}

fn divergence_case() -> Case {
    let finalize = || {
        let chain = Chain::of(spec_a(), 2);
        let mut block = valid(&chain);
        block.header.delayed_state_root = Some(Hash([7; 32]));
        let own = valid(&chain).header.delayed_state_root.unwrap();
        assert_eq!(chain.submit(&block, vec![1]), Submission::Accepted);
        Err::<(), _>(named(chain.stopped().to_string(), &[(own, "{own}")]))
    };
    case(
        "decision: a block that execution contradicts",
        finalize,
        "Divergence at height 2: settled by the chain state root 0x0707070707070707070707070707070707070707070707070707070707070707, executed here state root {own}",
    )
}

pub fn cases() -> Vec<Case> {
    let mut cases = decision_cases();
    cases.push(divergence_case());
    cases
}

#[test]
fn decisions() {
    check("decision", 6, &cases());
}
