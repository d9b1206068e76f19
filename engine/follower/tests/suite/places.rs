//! Where a follower begins: at a checkpoint, or at a block that is trusted.

use millrace_follower::files::{
    FileError, check_directory, keep_checkpoint, read_checkpoint, write_atomically,
};
use millrace_follower::{Fault, FollowError, Options, Trust};
use millrace_light_client::checkpoint::MAX_CHECKPOINT_BYTES;
use millrace_light_client::{CheckpointError, LightClient, Verifiers};
use millrace_types::Hash;

use crate::proxy::{Proxy, Reply, with_result};
use crate::questions;
use crate::world::{Consensus, OPTIONS, World, spec};

#[test]
fn a_follower_goes_on_from_the_file_that_it_wrote() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("checkpoint");
    for option in OPTIONS {
        for consensus in [Consensus::Solo, Consensus::Rotating] {
            let mut world = World::with_history(option, consensus);
            let options = Options::default();
            let mut follower = world.wait(world.follower(&[&world.url], &options)).unwrap();
            world.wait(follower.sync()).unwrap();
            let height = follower.light().finalized_height();
            write_atomically(&path, &follower.light().checkpoint().unwrap()).unwrap();
            for nonce in 6..9 {
                world.increment(nonce);
                world.settle();
            }
            let trust = Trust::Checkpoint(read_checkpoint(&path).unwrap().unwrap());
            let recorder = Proxy::new(&world.url, crate::proxy::honesty());
            let urls = [&*recorder.url];
            let mut resumed = world.wait(world.follower_from(&urls, trust, &options)).unwrap();
            assert_eq!(resumed.light().finalized_height(), height);
            for known in questions::all(&world) {
                known.judge_newest(&world.wait(known.ask(&mut resumed)).unwrap(), "from a checkpoint");
            }
            let asked = recorder.exchanges();
            assert!(
                asked.iter().all(|exchange| exchange.method != "chainSpec"),
                "it is in the file"
            );
            let first = asked
                .iter()
                .find(|exchange| exchange.method == "getHeaders")
                .unwrap();
            assert_eq!(first.params[0].as_u64(), Some(height - options.allowed_behind));
        }
    }
    assert_eq!(read_checkpoint(&directory.path().join("none")).unwrap(), None);
}

#[test]
fn a_checkpoint_of_another_chain_or_a_damaged_one_is_refused() {
    let world = World::with_history(OPTIONS[0], Consensus::Solo);
    let other = World::with_history(OPTIONS[1], Consensus::Solo);
    let options = Options::default();
    let mut follower = world.wait(world.follower(&[&world.url], &options)).unwrap();
    world.wait(follower.sync()).unwrap();
    let bytes = follower.light().checkpoint().unwrap();
    let start = |on: &World, bytes| {
        let trust = Trust::Checkpoint(bytes);
        on.wait(on.follower_from(&[&on.url], trust, &options))
            .err()
            .unwrap()
    };
    let refused = start(&other, bytes.clone());
    let FollowError::Checkpoint(CheckpointError::OtherChain { found, expected }) = refused else {
        panic!("{refused}")
    };
    assert_eq!((found, expected), (world.genesis, other.genesis));
    let damaged = start(&world, [&bytes[..100], &[bytes[100] ^ 1], &bytes[101..]].concat());
    assert!(
        matches!(damaged, FollowError::Checkpoint(CheckpointError::Damaged { .. })),
        "{damaged}"
    );
}

#[test]
fn a_trusted_block_is_a_beginning_and_another_hash_is_none() {
    for option in OPTIONS {
        let world = World::with_history(option, Consensus::Solo);
        let options = Options::default();
        let height = world.chain.head.height - 2;
        let block = questions::call(&world.url, "getBlock", &serde_json::json!([height]));
        let hash: Hash = serde_json::from_value(block["result"]["hash"].clone()).unwrap();
        // The first node swaps an ancestor for another header.
        let liar = Proxy::new(
            &world.url,
            Box::new(move |exchange| {
                if exchange.method != "getHeaders" {
                    return Reply::Honest;
                }
                let mut result = exchange.answer["result"].clone();
                result[1] = result[0].clone();
                with_result(exchange, result)
            }),
        );
        let urls = [&*liar.url, &*world.url];
        let mut follower = world
            .wait(world.follower_from(&urls, Trust::Block { height, hash }, &options))
            .unwrap();
        assert_eq!(follower.light().finalized().1, hash);
        assert!(matches!(follower.take_news()[0].fault, Fault::Lied { .. }));
        for known in questions::all(&world) {
            known.judge_newest(
                &world.wait(known.ask(&mut follower)).unwrap(),
                "from a trusted block",
            );
        }
        let wrong = Trust::Block {
            height,
            hash: Hash([7; 32]),
        };
        let error = world
            .wait(world.follower_from(&[&world.url], wrong, &options))
            .err()
            .unwrap();
        assert!(matches!(error, FollowError::NoAnswer { .. }), "{error}");
        let above = Trust::Block {
            height: height + 100,
            hash,
        };
        let error = world
            .wait(world.follower_from(&[&world.url], above, &options))
            .err()
            .unwrap();
        assert!(error.to_string().contains("behind"), "{error}");
    }
    let world = World::with_history(OPTIONS[0], Consensus::Rotating);
    let trust = Trust::Block {
        height: world.chain.head.height,
        hash: world.chain.head.hash,
    };
    assert!(
        world.chain.head.height > 2 * 4 + 2,
        "its ancestors do not reach genesis"
    );
    let error = world
        .wait(world.follower_from(&[&world.url], trust, &Options::default()))
        .err()
        .unwrap();
    assert!(
        matches!(error, FollowError::Start(_)),
        "a hash does not say who certifies: {error}"
    );
}

#[test]
fn a_file_that_several_clients_share_is_never_taken_back_or_to_another_branch() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("checkpoint");
    let [mut world, fork] = [5, 6].map(|value| {
        let mut world = World::new(spec(OPTIONS[0], Consensus::Solo));
        world.transfer(1, 0, value);
        world.settle();
        world
    });
    let follow = |world: &World| {
        let options = Options::default();
        let mut follower = world.wait(world.follower(&[&world.url], &options)).unwrap();
        world.wait(follower.sync()).unwrap();
        follower
    };
    let verifiers = Verifiers::built_in();
    let keep = |light: &LightClient| keep_checkpoint(&path, light, &verifiers);
    let kept = || read_checkpoint(&path).unwrap().unwrap();
    let nothing = world
        .wait(world.follower(&[&world.url], &Options::default()))
        .unwrap();
    keep(nothing.light()).unwrap();
    assert!(!path.exists(), "there is nothing to keep");
    let early = follow(&world);
    keep(early.light()).unwrap();
    assert_eq!(kept(), early.light().checkpoint().unwrap());

    let other = follow(&fork);
    let refused = keep(other.light()).unwrap_err();
    let FileError::OtherBranch {
        height: at, found, ..
    } = refused
    else {
        panic!("{refused}")
    };
    assert_eq!(Some(found), early.light().header(at).map(|(_, hash)| hash));

    let genesis = world.genesis;
    world.transfer(1, 1, 5);
    world.settle();
    let late = follow(&world);
    keep(late.light()).unwrap();
    keep(early.light()).unwrap();
    let bytes = kept();
    assert_eq!(bytes, late.light().checkpoint().unwrap());

    let damaged = &bytes[..bytes.len() - 1];
    std::fs::write(&path, damaged).unwrap();
    let refused = keep(late.light()).unwrap_err();
    assert!(matches!(refused, FileError::Checkpoint { .. }), "{refused}");
    assert_eq!(std::fs::read(&path).unwrap(), damaged);
    assert!(LightClient::resume(damaged, genesis, &verifiers).is_err());

    // Whoever reads while it is written has the old content or the new one, whole.
    let mut reads = std::fs::File::open(&path).unwrap();
    write_atomically(&path, b"new").unwrap();
    let mut old = Vec::new();
    std::io::Read::read_to_end(&mut reads, &mut old).unwrap();
    assert_eq!(old, damaged);
    assert_eq!(std::fs::read(&path).unwrap(), b"new");

    let long = std::fs::File::create(&path).unwrap();
    long.set_len(MAX_CHECKPOINT_BYTES as u64 + 1).unwrap();
    assert!(matches!(read_checkpoint(&path), Err(FileError::TooLong { .. })));

    check_directory(&path).unwrap();
    let nowhere = directory.path().join("none").join("checkpoint");
    assert!(matches!(check_directory(&nowhere), Err(FileError::Io { .. })));
    assert_eq!(
        std::fs::read_dir(directory.path()).unwrap().count(),
        1,
        "nothing is left behind"
    );
}
