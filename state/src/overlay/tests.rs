//! The shape of overlays, which reads through [`crate::View`] cannot see.

use std::sync::Arc;

use crate::changes::Changes;
use crate::trie::Trie;
use crate::version::{Contents, Version, VersionId};

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

/// `length` uncommitted versions above genesis, oldest first.
fn chain(length: u64) -> Vec<Version> {
    let mut versions = vec![Version::genesis(id(0), 0, &changes(0))];
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
    assert!(
        versions.iter().all(|version| layers_of(version) <= 3 * 5),
        "4^5 > 1000, at most 3 of each rank"
    );
    let Contents::Overlay(newest) = versions[1000].contents() else {
        panic!("nothing is committed")
    };
    for height in 0..=1000 {
        assert_eq!(
            newest.get(&id(height).0).map(|v| &v[..]),
            Some(&height.to_be_bytes()[..])
        );
    }
    assert_eq!(
        newest.get(&[0xff; 32]).map(|v| &v[..]),
        Some(&1000u64.to_be_bytes()[..])
    );
}

#[test]
fn a_child_reaches_no_deeper_than_the_newest_committed_ancestor() {
    let versions = chain(40);
    let mut trie: Trie = versions[0].trie().unwrap();
    for version in &versions[1..=37] {
        version.commit(&trie);
        trie = version.trie().unwrap();
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
        overlay.base.get(&id(36).0).is_some(),
        "the base moved up with the commits"
    );
    for height in 0..=41 {
        assert_eq!(
            overlay.get(&id(height).0).map(|v| &v[..]),
            Some(&height.to_be_bytes()[..])
        );
    }
}
