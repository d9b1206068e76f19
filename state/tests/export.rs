//! Streams of versions: whole ones give the same state, and none that was changed is believed.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use millrace_state::export::{CHUNK_BYTES, Counts, ImportError, export, import};
use millrace_state::files::MemoryFiles;
use millrace_state::{Changes, Config, Genesis, Path, Root, Store, Value, VersionId};
use rand::{Rng as _, RngCore as _};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

const GENESIS: VersionId = VersionId([7; 32]);
const BLOCK: VersionId = VersionId([8; 32]);

/// A store with `values` values at height 1; a few share long prefixes, if `is_deep`, and a few are long.
fn store(values: usize, seed: u64, is_deep: bool) -> Store {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut write = |paths: usize| -> Changes {
        let mut writes: Vec<(Path, Option<Value>)> = Vec::new();
        for _ in 0..paths {
            let mut path: Path = random.random();
            if is_deep && random.random_bool(0.05) {
                path[..30].fill(0x5a);
            }
            let len = [0, 1, 64, 64, 64, 5000][random.random_range(0..6)];
            let mut value = vec![0; len];
            random.fill_bytes(&mut value);
            writes.push((path, Some(value.into())));
        }
        writes.into_iter().collect()
    };
    let genesis = Genesis {
        id: GENESIS,
        height: 0,
        changes: write(values / 2),
    };
    let store = Store::open(Config::default(), genesis).unwrap();
    store
        .insert(GENESIS, BLOCK, 1, write(values - values / 2))
        .unwrap();
    store.commit(BLOCK).unwrap();
    store
}

fn exported(store: &Store, chunk_bytes: usize) -> (Vec<u8>, Counts, Root) {
    let view = store.view(BLOCK).unwrap();
    let mut stream = Vec::new();
    let counts = export(&view, store.genesis(), chunk_bytes, &mut stream, |_| {}).unwrap();
    assert_eq!(counts.bytes, stream.len() as u64);
    (stream, counts, view.root().unwrap())
}

fn imported(stream: &[u8], root: &Root) -> Result<(MemoryFiles, Counts), ImportError> {
    let files = MemoryFiles::default();
    let kept = Arc::new(files.clone());
    let (commit, counts) = import(kept, Config::default(), root, &mut &stream[..], |_| {})?;
    assert_eq!((commit.id, commit.height, commit.root), (BLOCK, 1, *root));
    Ok((files, counts))
}

fn all(store: &Store) -> Vec<(Path, Value)> {
    store.view(BLOCK).unwrap().iter().map(Result::unwrap).collect()
}

#[test]
fn what_is_imported_is_what_was_exported() {
    for (values, chunk_bytes) in [
        (0, CHUNK_BYTES),
        (1, CHUNK_BYTES),
        (2, 1),
        (300, CHUNK_BYTES),
        (300, 1),
        (300, 3000),
        (20_000, 40_000),
    ] {
        let store = store(values, values as u64, true);
        let (stream, counts, root) = exported(&store, chunk_bytes);
        let (files, taken) = imported(&stream, &root).unwrap();
        assert_eq!((taken, counts.values), (counts, all(&store).len() as u64));
        let copy = Store::open_existing(Arc::new(files.clone()), Config::default()).unwrap();
        assert_eq!((copy.genesis(), copy.finalized()), (GENESIS, (BLOCK, 1)));
        assert!(
            all(&copy) == all(&store),
            "{values} values, chunks of {chunk_bytes}"
        );
        // And it goes on from there.
        let next = VersionId([9; 32]);
        let changes: Changes = [([3; 32], Some(vec![1].into()))].into_iter().collect();
        for store in [&copy, &store] {
            store.insert(BLOCK, next, 2, changes.clone()).unwrap();
        }
        assert_eq!(copy.commit(next).unwrap().root, store.commit(next).unwrap().root);
        // Nothing is imported over it.
        drop(copy);
        let refused = import(
            Arc::new(files),
            Config::default(),
            &root,
            &mut &stream[..],
            |_| {},
        );
        assert!(matches!(refused, Err(ImportError::NotEmpty)));
    }
}

#[test]
fn no_stream_that_was_changed_is_believed() {
    let store = store(40, 1, false);
    let (stream, counts, root) = exported(&store, 3000);
    assert!(counts.chunks > 5, "{counts:?}");
    let mut named = 0;
    for at in 0..stream.len() {
        let mut changed = stream.clone();
        changed[at] ^= 1 << (at % 8);
        match imported_as_said(&changed, &root) {
            // Id, genesis and height are said by whoever wrote it.
            Ok(()) => assert!((16..88).contains(&at), "byte {at}"),
            Err(ImportError::Chunk { .. }) => named += 1,
            Err(_) => {}
        }
        if at % 97 == 0 {
            let cut = imported(&stream[..at], &root).err();
            assert!(matches!(cut, Some(ImportError::Io(_))), "cut at {at}: {cut:?}");
        }
    }
    assert!(named > stream.len() / 2);
    let other = imported(&stream, &[1; 32]).err();
    assert!(matches!(other, Some(ImportError::OtherRoot { .. })), "{other:?}");
    let no_state = imported(b"something else altogether", &root).err();
    assert!(matches!(no_state, Some(ImportError::NoState)), "{no_state:?}");
    let newer = imported(&[b"millrace-state/2", &stream[16..]].concat(), &root).err();
    assert!(
        matches!(newer, Some(ImportError::NewerFormat { .. })),
        "{newer:?}"
    );
}

fn imported_as_said(stream: &[u8], root: &Root) -> Result<(), ImportError> {
    let files = Arc::new(MemoryFiles::default());
    import(files, Config::default(), root, &mut &stream[..], |_| {}).map(|_| ())
}

#[test]
fn chunks_are_taken_once_and_in_order() {
    let store = store(200, 2, true);
    let view = store.view(BLOCK).unwrap();
    let (mut stream, mut ends) = (Vec::new(), vec![120]);
    export(&view, store.genesis(), 2000, &mut stream, |counts| {
        ends.push(counts.bytes as usize);
    })
    .unwrap();
    let root = view.root().unwrap();
    let chunk = |index: usize| &stream[ends[index]..ends[index + 1]];
    let rebuilt = |order: &[usize]| {
        let mut bytes = stream[..120].to_vec();
        order
            .iter()
            .for_each(|&index| bytes.extend_from_slice(chunk(index)));
        bytes
    };
    let whole: Vec<usize> = (0..ends.len() - 1).collect();
    assert_eq!(rebuilt(&whole), stream);
    let mut random = ChaCha8Rng::seed_from_u64(3);
    for _ in 0..200 {
        let mut order = whole.clone();
        let (a, b) = (
            random.random_range(0..order.len()),
            random.random_range(0..order.len()),
        );
        match random.random_range(0..3) {
            0 if a != b => order.swap(a, b),
            1 => {
                order.remove(a);
            }
            _ => order.insert(a, b),
        }
        if order == whole {
            continue;
        }
        let refused = imported(&rebuilt(&order), &root).err();
        assert!(
            matches!(
                refused,
                Some(ImportError::Chunk { .. } | ImportError::Io(_) | ImportError::Behind { .. })
            ),
            "{order:?}: {refused:?}"
        );
    }
}

/// Numbers that promise more than there is take no memory.
#[test]
fn promises_of_much_take_little() {
    let (stream, _, root) = exported(&store(3, 4, false), CHUNK_BYTES);
    let len = |at: usize| u32::from_le_bytes(stream[at..at + 4].try_into().unwrap());
    // Heading, depth, prefix: the count of leaves, then the first leaf's length.
    let count = 120 + 2 + 32;
    assert_eq!(len(count), 3);
    for (at, value) in [
        (count, u32::MAX),
        (count, 1 << 24),
        (count + 36, u32::MAX),
        (count + 36, 1 << 28),
    ] {
        let mut changed = stream.clone();
        changed[at..at + 4].copy_from_slice(&value.to_le_bytes());
        assert!(imported(&changed, &root).is_err());
    }
}

/// The bytes of a chunk.
fn chunk(prefix: Path, siblings: &[Root], leaves: &[(Path, &[u8])]) -> Vec<u8> {
    let mut bytes = (siblings.len() as u16).to_le_bytes().to_vec();
    bytes.extend(prefix);
    bytes.extend(siblings.as_flattened());
    bytes.extend((leaves.len() as u32).to_le_bytes());
    for (path, value) in leaves {
        bytes.extend(path);
        bytes.extend((value.len() as u32).to_le_bytes());
        bytes.extend(*value);
    }
    bytes
}

/// A lone leaf rises, so that it is the sibling of any nothing below it: a stream that says so leaves it out.
#[test]
fn a_leaf_that_rises_is_not_left_out() {
    let hash =
        |path: &Path, value: &[u8]| millrace_proof::hash_leaf(path, &millrace_proof::hash_value(value));
    let heading = |root: &Root| {
        let mut bytes = b"millrace-state/1".to_vec();
        bytes.extend(BLOCK.0);
        bytes.extend(GENESIS.0);
        bytes.extend(1_u64.to_le_bytes());
        bytes.extend(root);
        bytes
    };
    let first_bit = |byte: u8| {
        let mut path = [0; 32];
        path[0] = byte;
        path
    };
    // All of a state of one value.
    let lone = hash(&[0x10; 32], b"money");
    let mut stream = heading(&lone);
    stream.extend(chunk([0; 32], &[lone], &[]));
    stream.extend(chunk(first_bit(0x80), &[lone], &[]));
    assert!(matches!(
        imported(&stream, &lone),
        Err(ImportError::Chunk { chunk: 0, .. })
    ));
    // One of three.
    let (a, b, c) = ([0x00; 32], [0x40; 32], [0xff; 32]);
    let [la, lb, lc] = [(a, b"a"), (b, b"b"), (c, b"c")].map(|(path, value)| hash(&path, value));
    let below = millrace_proof::hash_internal(&la, &lb);
    let root = millrace_proof::hash_internal(&below, &lc);
    let honest_a = chunk(a, &[lc, lb], &[(a, b"a")]);
    let honest_c = chunk(first_bit(0x80), &[below], &[(c, b"c")]);
    let empty = |prefix: u8| chunk(first_bit(prefix), &[lc, la, lb], &[]);
    let forged = [
        heading(&root),
        honest_a.clone(),
        empty(0x40),
        empty(0x60),
        honest_c.clone(),
    ]
    .concat();
    assert!(matches!(
        imported(&forged, &root),
        Err(ImportError::Chunk { chunk: 1, .. })
    ));
    let honest_b = chunk(first_bit(0x40), &[lc, la], &[(b, b"b")]);
    let honest = [heading(&root), honest_a, honest_b, honest_c].concat();
    assert_eq!(imported(&honest, &root).unwrap().1.values, 3);
}

/// A chunk is kept in memory until it is verified: it ends before that is much.
#[test]
fn a_chunk_without_end_is_cut_short() {
    struct Endless {
        now: Vec<u8>,
        next: u64,
        given: u64,
    }
    impl std::io::Read for Endless {
        fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
            if self.now.is_empty() {
                let mut leaf = vec![0; 36 + (1 << 20)];
                leaf[..8].copy_from_slice(&self.next.to_be_bytes());
                leaf[32..36].copy_from_slice(&(1_u32 << 20).to_le_bytes());
                (self.now, self.next) = (leaf, self.next + 1);
            }
            let len = bytes.len().min(self.now.len());
            bytes[..len].copy_from_slice(&self.now[..len]);
            self.now.drain(..len);
            self.given += len as u64;
            Ok(len)
        }
    }
    let root = [1; 32];
    let mut head = b"millrace-state/1".to_vec();
    head.extend([0; 72]);
    head.extend(root);
    head.extend(chunk([0; 32], &[], &[]));
    let count = head.len() - 4;
    head[count..].copy_from_slice(&1_000_000_u32.to_le_bytes());
    let mut stream = Endless {
        now: head,
        next: 0,
        given: 0,
    };
    let files = Arc::new(MemoryFiles::default());
    let refused = import(files, Config::default(), &root, &mut stream, |_| {}).err();
    assert!(matches!(refused, Some(ImportError::Chunk { .. })), "{refused:?}");
    assert!(stream.given < 1 << 27, "{} bytes", stream.given);
}

/// Values out of order, or twice, which would share all bits of their paths.
#[test]
fn values_that_do_not_ascend_are_refused() {
    let store = store(3, 5, false);
    let (stream, counts, root) = exported(&store, CHUNK_BYTES);
    assert_eq!((counts.chunks, counts.values), (1, 3));
    // Behind the heading, depth, prefix and count.
    let begin = 16 + 32 + 32 + 8 + 32 + 2 + 32 + 4;
    let (head, mut rest) = stream.split_at(begin);
    let mut leaves = Vec::new();
    while !rest.is_empty() {
        let len = u32::from_le_bytes(rest[32..36].try_into().unwrap()) as usize;
        let (leaf, behind) = rest.split_at(36 + len);
        leaves.push(leaf);
        rest = behind;
    }
    let with = |order: &[usize]| {
        let mut head = head.to_vec();
        head[begin - 4..].copy_from_slice(&(order.len() as u32).to_le_bytes());
        let order = order.iter().map(|at| leaves[*at]);
        [head, order.collect::<Vec<_>>().concat()].concat()
    };
    imported(&with(&[0, 1, 2]), &root).unwrap();
    for order in [&[1, 0, 2][..], &[0, 0, 1, 2], &[0, 1, 2, 2], &[2, 1, 0]] {
        let error = imported(&with(order), &root).unwrap_err();
        assert!(error.to_string().contains("do not ascend"), "{error}");
    }
}
