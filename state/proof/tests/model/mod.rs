//! A trie by the letter of the rules, rebuilt for each question: the slow twin of every other one.

#![allow(dead_code, reason = "each test crate uses its part")]

use std::collections::BTreeMap;

use millrace_proof::path::bit;
use millrace_proof::{
    BatchProof, EMPTY, Node, Path, Proof, Root, Step, Terminal, ValueHash, hash_internal, hash_leaf,
};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// Value hashes by path.
pub type Model = BTreeMap<Path, ValueHash>;

type Entries<'a> = &'a [(Path, ValueHash)];

fn split(entries: Entries, depth: usize) -> (Entries, Entries) {
    entries.split_at(entries.partition_point(|(path, _)| !bit(path, depth)))
}

fn node(entries: Entries, depth: usize) -> Node {
    match entries {
        [] => EMPTY,
        [(path, value_hash)] => hash_leaf(path, value_hash),
        _ => {
            let (left, right) = split(entries, depth);
            hash_internal(&node(left, depth + 1), &node(right, depth + 1))
        }
    }
}

fn entries(model: &Model) -> Vec<(Path, ValueHash)> {
    model
        .iter()
        .map(|(path, value_hash)| (*path, *value_hash))
        .collect()
}

pub fn root(model: &Model) -> Root {
    node(&entries(model), 0)
}

/// The parts of a path's proof: where it ends, and all siblings from the root down.
pub fn proof_parts(model: &Model, path: &Path) -> (Terminal, Vec<Node>) {
    let all = entries(model);
    let (mut here, mut siblings) = (all.as_slice(), Vec::new());
    while here.len() > 1 {
        let depth = siblings.len();
        let (left, right) = split(here, depth);
        let (near, far) = if bit(path, depth) {
            (right, left)
        } else {
            (left, right)
        };
        siblings.push(node(far, depth + 1));
        here = near;
    }
    let terminal = match here {
        [] => Terminal::Empty,
        [(leaf, value_hash), ..] if leaf == path => Terminal::Present(*value_hash),
        [(leaf, value_hash), ..] => Terminal::Other {
            path: *leaf,
            value_hash: *value_hash,
        },
    };
    (terminal, siblings)
}

pub fn prove(model: &Model, path: &Path) -> Proof {
    let (terminal, siblings) = proof_parts(model, path);
    Proof::new(terminal, &siblings).unwrap()
}

/// The steps of a batch proof of `paths`, which ascend.
pub fn batch_steps(model: &Model, paths: &[Path]) -> Vec<Step> {
    fn walk(entries: Entries, paths: &[Path], depth: usize, steps: &mut Vec<Step>) {
        match (entries, paths) {
            ([], _) => steps.push(Step::Empty),
            ([(leaf, value_hash)], [path]) if leaf == path => steps.push(Step::Present(*value_hash)),
            ([(path, value_hash)], _) => {
                steps.push(Step::Leaf {
                    path: *path,
                    value_hash: *value_hash,
                });
            }
            _ => {
                let (left, right) = split(entries, depth);
                let (to_left, to_right) = paths.split_at(paths.partition_point(|path| !bit(path, depth)));
                steps.push(match (to_left, to_right) {
                    (_, []) => Step::Side(node(right, depth + 1)),
                    ([], _) => Step::Side(node(left, depth + 1)),
                    _ => Step::Fork,
                });
                if !to_left.is_empty() {
                    walk(left, to_left, depth + 1, steps);
                }
                if !to_right.is_empty() {
                    walk(right, to_right, depth + 1, steps);
                }
            }
        }
    }
    let mut steps = Vec::new();
    walk(&entries(model), paths, 0, &mut steps);
    steps
}

pub fn batch(steps: &[Step]) -> BatchProof {
    let mut proof = BatchProof::default();
    steps.iter().for_each(|step| proof.push(*step));
    proof
}

/// A path that shares a random number of bits with one that is there, so that tries are deep and lopsided.
pub fn random_path(rng: &mut ChaCha8Rng, model: &Model) -> Path {
    let mut path: Path = rng.random();
    let near = model
        .range(path..)
        .next()
        .or_else(|| model.iter().next())
        .map(|(near, _)| *near);
    if let (Some(near), true) = (near, rng.random_bool(0.5)) {
        let shared = rng.random_range(0..=256);
        for depth in 0..shared {
            let mask = 0x80 >> (depth % 8);
            path[depth / 8] = path[depth / 8] & !mask | near[depth / 8] & mask;
        }
    }
    path
}

pub fn random_model(rng: &mut ChaCha8Rng, size: usize) -> Model {
    let mut model = Model::new();
    for _ in 0..size {
        model.insert(random_path(rng, &model), rng.random());
    }
    model
}
