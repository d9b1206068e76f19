//! The shape of overlays, which reads through [`crate::View`] cannot see.

use std::sync::Arc;

use millrace_proof::Path;

use super::Overlay;
use crate::changes::Changes;
use crate::header::Epoch;
use crate::log::Position;
use crate::trie::Trie;
use crate::version::{Committed, Contents, Version, VersionId};

fn id(number: u64) -> VersionId {
    let mut id = VersionId([0; 32]);
    id.0[..8].copy_from_slice(&number.to_be_bytes());
    id
}

/// Writes the height under a path of its own, and under one that all versions share.
fn changes(height: u64) -> Arc<Changes> {
    let value: Arc<[u8]> = height.to_be_bytes().as_slice().into();
    Arc::new(
        [(id(height).0, Some(value.clone())), ([0xff; 32], Some(value))]
            .into_iter()
            .collect(),
    )
}

/// Where nothing lies, known by a height.
fn committed(height: u64) -> Committed {
    Committed {
        trie: Trie::default(),
        digest: [0; 32],
        epoch: Epoch {
            floor: Position::from_bytes(height.to_le_bytes()),
            ..Epoch::first(0, 0)
        },
        sequence: height,
        position: Position::default(),
    }
}

/// What is written to a path above the base.
fn written(overlay: &Overlay, path: &Path) -> Option<u64> {
    let (_, first) = overlay.newest_base();
    let value = overlay.get(first, path)??;
    Some(u64::from_be_bytes(value[..].try_into().unwrap()))
}

/// `length` uncommitted versions above genesis, oldest first.
fn chain(length: u64) -> Vec<Version> {
    let mut versions = vec![Version::committed(id(0), 0, None, committed(0))];
    for height in 1..=length {
        let parent = versions.last().unwrap();
        versions.push(Version::child(parent, id(height), changes(height)));
    }
    versions
}

fn layers_of(version: &Version) -> usize {
    match version.contents() {
        Contents::Trie(_) => 0,
        Contents::Overlay(overlay) => overlay.layers.len(),
    }
}

#[test]
fn a_deep_chain_has_logarithmically_many_layers() {
    let versions = chain(1000);
    assert_eq!(layers_of(&versions[3]), 3, "a short chain is not merged");
    let most = versions.iter().map(layers_of).max();
    assert!(
        most <= Some(6 * 5),
        "{most:?}: 4^5 > 1000, and at most 3 of each rank, 4 that are being merged, less half a one that comes meanwhile"
    );
    let Contents::Overlay(newest) = versions[1000].contents() else {
        panic!("nothing is committed")
    };
    for height in 1..=1000 {
        assert_eq!(written(&newest, &id(height).0), Some(height));
    }
    assert_eq!(written(&newest, &[0xff; 32]), Some(1000));
    assert_eq!(written(&newest, &id(0).0), None, "that is in the base");
}

#[test]
fn a_child_reaches_no_deeper_than_the_newest_committed_ancestor() {
    let versions = chain(40);
    for version in &versions[1..=37] {
        version
            .commit(|_| Ok::<_, ()>(committed(version.height)))
            .unwrap();
    }
    assert_eq!(layers_of(&versions[37]), 0);
    let child = Version::child(&versions[40], id(41), changes(41));
    assert!(
        layers_of(&child) <= 4,
        "layers below the committed ancestor are dropped"
    );
    let Contents::Overlay(overlay) = child.contents() else {
        panic!("the child is not committed")
    };
    assert!(
        overlay.floor() >= Position::from_bytes(36_u64.to_le_bytes()),
        "the base moved up with the commits"
    );
    for height in 38..=41 {
        assert_eq!(written(&overlay, &id(height).0), Some(height));
    }
    assert_eq!(written(&overlay, &id(36).0), None);
}
