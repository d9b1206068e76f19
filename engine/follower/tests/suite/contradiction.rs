//! Two branches that the same validators certified: the client stops, and what it leaves behind convinces anybody.

use millrace_follower::files::{FileError, check_evidence, describe, write_evidence};
use millrace_follower::{FollowError, Options};
use millrace_light_client::{Contradiction, EvidenceError, Verifiers};
use serde_json::Value;

use crate::world::{Consensus, OPTIONS, World, spec};

/// Asks from the first block on, whatever is known.
fn options() -> Options {
    Options {
        allowed_behind: 1_000,
        ..Options::default()
    }
}

/// Two chains that part after genesis, certified by the same keys.
fn two(option: millrace_types::Commitment, consensus: Consensus) -> [World; 2] {
    [5, 6].map(|value| {
        let mut world = World::new(spec(option, consensus));
        for nonce in 0..3 {
            world.transfer(1, nonce, value);
            world.settle();
        }
        world
    })
}

#[test]
fn contradicting_nodes_end_following_and_leave_evidence() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("evidence.json");
    for option in OPTIONS {
        for consensus in [Consensus::Solo, Consensus::Rotating] {
            let [first, second] = two(option, consensus);
            assert_eq!(first.genesis, second.genesis);
            let urls = [&*first.url, &*second.url];
            let mut follower = first.wait(first.follower(&urls, &options())).unwrap();
            let error = first.wait(follower.sync()).unwrap_err();
            let FollowError::Contradiction {
                url,
                height,
                evidence,
                receipts,
            } = error
            else {
                panic!("{error}")
            };
            assert_eq!((url, height), (second.url.clone(), 1));
            assert_eq!(receipts, None, "they have no executed block in common");
            let (_, newest) = follower.light().finalized();
            assert_eq!(
                newest, first.chain.head.hash,
                "the client stays on the branch that it knew"
            );

            write_evidence(&path, follower.light().spec(), &evidence).unwrap();
            let (read, shown) = check_evidence(&path, first.genesis, &crate::rotating::verifiers()).unwrap();
            assert_eq!(read, *evidence);
            let Contradiction::Blocks { height: 1, hashes } = shown else {
                panic!("{shown:?}")
            };
            assert_eq!(describe(&shown)["blocks"][1], hashes[1].to_string());
            let text: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let shown = &text["shows"]["branches"];
            assert_eq!(shown[0]["blocks"][0]["hash"], hashes[0].to_string());
            assert_eq!(shown[1]["blocks"][0]["hash"], hashes[1].to_string());
        }
    }
}

#[test]
fn a_file_that_is_no_evidence_is_refused_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("evidence.json");
    let [first, second] = two(OPTIONS[0], Consensus::Solo);
    let mut follower = first
        .wait(first.follower(&[&first.url, &second.url], &options()))
        .unwrap();
    let Err(FollowError::Contradiction { evidence, .. }) = first.wait(follower.sync()) else {
        panic!()
    };
    write_evidence(&path, follower.light().spec(), &evidence).unwrap();
    let check = |genesis| check_evidence(&path, genesis, &Verifiers::built_in()).unwrap_err();

    let other = millrace_types::Hash([4; 32]);
    assert!(matches!(check(other), FileError::OtherChain { expected, .. } if expected == other));
    let text = std::fs::read_to_string(&path).unwrap();
    let written = |change: &dyn Fn(&mut Value)| {
        let mut file: Value = serde_json::from_str(&text).unwrap();
        change(&mut file);
        std::fs::write(&path, file.to_string()).unwrap();
        check(first.genesis)
    };
    assert!(matches!(
        written(&|file| file["format"] = 2.into()),
        FileError::Newer { found: 2, .. }
    ));
    let renamed = written(&|file| *file = serde_json::json!({ "format": 3, "branches": [] }));
    assert!(
        matches!(renamed, FileError::Newer { found: 3, .. }),
        "a newer format may have other fields: {renamed}"
    );
    assert!(matches!(
        written(&|file| file["format"] = 0.into()),
        FileError::Form { .. }
    ));
    // What is for people is not even read: no such number can be kept.
    std::fs::write(
        &path,
        text.replacen("\"shows\": {", "\"shows\": [1e999], \"and\": {", 1),
    )
    .unwrap();
    check_evidence(&path, first.genesis, &Verifiers::built_in()).unwrap();
    let cut = written(&|file| file["evidence"] = "0x00".into());
    assert!(matches!(cut, FileError::Form { .. }), "{cut}");
    // Both branches the same; what is shown to people does not count.
    let same = written(&|file| {
        let millrace_light_client::Evidence::Blocks { first, .. } = &*evidence else {
            panic!()
        };
        let twice = millrace_light_client::Evidence::Blocks {
            first: first.clone(),
            second: first.clone(),
        };
        file["evidence"] = serde_json::json!(millrace_rpc::Bytes::of(&twice));
    });
    let consistent = matches!(
        &same,
        FileError::Evidence {
            error: EvidenceError::Consistent,
            ..
        }
    );
    assert!(consistent, "{same}");
    std::fs::write(&path, "{").unwrap();
    assert!(matches!(check(first.genesis), FileError::Form { .. }));
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(check(first.genesis), FileError::Io { .. }));
}
