//! Hashing nodes: one by one, and many at once.
//!
//! Every node is the hash of 64 bytes, one block of BLAKE3, and vector units hash as many blocks at once as they have lanes.
//! The crate `blake3` has that for the chunks of one long input; what it is made of, [`Platform::hash_many`], is public
//! without being documented. The plain way, [`hash_internal`], is its oracle in the tests.

use blake3::IncrementCounter;
use blake3::platform::{MAX_SIMD_DEGREE, Platform};
use millrace_proof::{EMPTY, Node, hash_internal, hash_value};

use super::{WIDTH, is_leaf};

/// Initial state, from section 2.2 of the BLAKE3 paper.
const IV: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];
/// A block that is a whole input: its chunk's start and end, and the root of its tree.
const CHUNK_START: u8 = 1;
const CHUNK_END: u8 = 2;
const ROOT: u8 = 8;

/// The BLAKE3 hashes of inputs of 64 bytes.
pub(super) fn blocks(inputs: &[[u8; 64]], outputs: &mut Vec<[u8; 32]>) {
    outputs.clear();
    outputs.resize(inputs.len(), [0; 32]);
    hash_group(Platform::detect(), inputs, outputs);
}

fn hash_group(platform: Platform, inputs: &[[u8; 64]], outputs: &mut [[u8; 32]]) {
    let groups = inputs
        .chunks(MAX_SIMD_DEGREE)
        .zip(outputs.chunks_mut(MAX_SIMD_DEGREE));
    for (inputs, outputs) in groups {
        let mut group = [&[0; 64]; MAX_SIMD_DEGREE];
        for (place, input) in group.iter_mut().zip(inputs) {
            *place = input;
        }
        platform.hash_many(
            &group[..inputs.len()],
            &IV,
            0,
            IncrementCounter::No,
            0,
            CHUNK_START,
            CHUNK_END | ROOT,
            outputs.as_flattened_mut(),
        );
    }
}

/// The hashes of values.
pub(super) fn values<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<[u8; 32]> {
    let (mut inputs, mut places, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
    for (index, value) in values.enumerate() {
        match value.try_into() {
            Ok(block) => {
                inputs.push(block);
                places.push(index);
                hashes.push([0; 32]);
            }
            Err(_) => hashes.push(hash_value(value)),
        }
    }
    let mut outputs = Vec::new();
    blocks(&inputs, &mut outputs);
    for (place, output) in places.into_iter().zip(outputs) {
        hashes[place] = output;
    }
    hashes
}

/// The leaves of paths with the hashes of their values.
pub(super) fn leaves<'a>(leaves: impl Iterator<Item = (&'a [u8; 32], [u8; 32])>) -> Vec<Node> {
    let inputs: Vec<_> = leaves.map(|(path, hash)| pair(path, &hash)).collect();
    let mut nodes = Vec::new();
    blocks(&inputs, &mut nodes);
    for node in &mut nodes {
        node[0] |= 0x80;
    }
    nodes
}

fn pair(first: &[u8; 32], second: &[u8; 32]) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(first);
    bytes[32..].copy_from_slice(second);
    bytes
}

/// The node over two others, if it takes no hash: nothing, or a leaf that rises.
pub(crate) fn risen(left: &Node, right: &Node) -> Option<Node> {
    if *left == EMPTY && (*right == EMPTY || is_leaf(right)) {
        Some(*right)
    } else if *right == EMPTY && is_leaf(left) {
        Some(*left)
    } else {
        None
    }
}

/// The node over two others.
pub(crate) fn join(left: &Node, right: &Node) -> Node {
    risen(left, right).unwrap_or_else(|| hash_internal(left, right))
}

/// Makes of the nodes of a page's slots the page's node, which is in the first place then.
pub(super) fn fold_one(nodes: &mut [Node; WIDTH]) {
    let platform = Platform::detect();
    let mut inputs = [[0; 64]; WIDTH / 2];
    let mut targets = [0; WIDTH / 2];
    let mut outputs = [[0; 32]; WIDTH / 2];
    let mut width = WIDTH / 2;
    while width > 0 {
        let mut count = 0;
        for i in 0..width {
            let (left, right) = (&nodes[2 * i], &nodes[2 * i + 1]);
            match risen(left, right) {
                Some(node) => nodes[i] = node,
                None => {
                    (inputs[count], targets[count]) = (pair(left, right), i);
                    count += 1;
                }
            }
        }
        hash_group(platform, &inputs[..count], &mut outputs[..count]);
        for (&i, output) in targets[..count].iter().zip(&outputs) {
            nodes[i] = *output;
            nodes[i][0] &= 0x7f;
        }
        width /= 2;
    }
}

/// Makes of the nodes of pages' slots the pages' nodes, which are in the first place of each then.
pub(super) fn fold(pages: &mut [[Node; WIDTH]]) {
    let (mut inputs, mut targets, mut outputs) = (Vec::new(), Vec::new(), Vec::new());
    let mut width = WIDTH / 2;
    while width > 0 {
        inputs.clear();
        targets.clear();
        for (index, nodes) in pages.iter_mut().enumerate() {
            for i in 0..width {
                let (left, right) = (&nodes[2 * i], &nodes[2 * i + 1]);
                match risen(left, right) {
                    Some(node) => nodes[i] = node,
                    None => {
                        inputs.push(pair(left, right));
                        targets.push((index, i));
                    }
                }
            }
        }
        blocks(&inputs, &mut outputs);
        for (&(index, i), output) in targets.iter().zip(&outputs) {
            let mut node = *output;
            node[0] &= 0x7f;
            pages[index][i] = node;
        }
        width /= 2;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn many_at_once_are_what_each_is_alone(inputs in proptest::collection::vec(any::<[u8; 32]>(), 0..70)) {
            let inputs: Vec<_> = inputs.iter().map(|half| pair(half, &hash_value(half))).collect();
            let mut outputs = Vec::new();
            blocks(&inputs, &mut outputs);
            let alone: Vec<_> = inputs.iter().map(|input| hash_value(input)).collect();
            prop_assert_eq!(outputs, alone.clone());
            prop_assert_eq!(values(inputs.iter().map(|input| &input[..])), alone);
        }
    }
}
