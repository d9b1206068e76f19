//! Data directories that were damaged, or belong to something else. No chain begins anew over one, and none ends in a
//! panic.

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tempfile::TempDir;

use super::process::{Node, refusal};
use super::{Case, case, check};

const LEDGER: &str = "ledger.redb";
const SPEC: &str = "chain-spec.json";

/// A chain of a few blocks with transactions, stopped in good order, and another one.
#[derive(Default)]
struct Chains(OnceCell<TempDir>);

impl Chains {
    /// The directory that holds `chain` and `other`.
    fn get(&self) -> &Path {
        let made = self.0.get_or_init(|| {
            let directory = tempfile::tempdir().unwrap();
            let work = ["--txs", "20", "--load", "transfer", "--block-interval-ms", "1"];
            let of = |name, more: &[&str]| {
                let said = dev(directory.path(), name, &[&work, more].concat());
                assert_eq!(said, Ok(()), "what is damaged below is in order");
                // A process that ends leaves the last clean-up to the next one. Done here, so that equal damage meets
                // equal states.
                drop(redb::Database::open(directory.path().join(name).join(LEDGER)).unwrap());
            };
            of("chain", &[]);
            of("other", &["--seed", "9"]);
            directory
        });
        made.path()
    }

    /// A copy of `chain` to be damaged.
    fn copy(&self) -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        fs::create_dir(&data).unwrap();
        for file in [LEDGER, SPEC] {
            fs::copy(self.get().join("chain").join(file), data.join(file)).unwrap();
        }
        directory
    }
}

fn dev(directory: &Path, data: &str, more: &[&str]) -> Result<(), String> {
    let data = directory.join(data);
    let dev = [
        "dev",
        "--json",
        "--rpc-listen",
        "127.0.0.1:0",
        "--data-dir",
        data.to_str().unwrap(),
    ];
    refusal(&[&dev, more].concat(), directory).map_or(Ok(()), Err)
}

#[test]
fn an_undamaged_copy_is_accepted() {
    let directory = Chains::default().copy();
    dev(directory.path(), "data", &["--txs", "0"]).unwrap();
}

/// The chain after `damage` was done to its directory. How long its ledger became varies, so `{whole}` and `{left}` stand
/// for its lengths before and after.
fn damaged(
    name: &'static str,
    chains: &Rc<Chains>,
    damage: fn(&Path, &Chains),
    expected: &'static str,
) -> Case {
    let chains = Rc::clone(chains);
    let start = move || {
        let directory = chains.copy();
        let data = directory.path().join("data");
        let length = || fs::metadata(data.join(LEDGER)).unwrap().len();
        let whole = length();
        damage(&data, &chains);
        let left = length();
        dev(directory.path(), "data", &["--txs", "0"]).map_err(|said| {
            said.replace(&format!("_len={whole}"), "_len={whole}")
                .replace(&format!("_len={left}"), "_len={left}")
        })
    };
    case(name, start, expected)
}

fn cut(data: &Path, length: impl FnOnce(u64) -> u64) {
    let file = fs::File::options().write(true).open(data.join(LEDGER)).unwrap();
    file.set_len(length(file.metadata().unwrap().len())).unwrap();
}

fn overwrite(data: &Path, change: impl FnOnce(&mut [u8])) {
    let path = data.join(LEDGER);
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// Sets a value of the ledger's table `meta`.
fn set_meta(data: &Path, key: &[u8], value: &[u8]) {
    let meta = redb::TableDefinition::<&[u8], &[u8]>::new("meta");
    let database = redb::Database::open(data.join(LEDGER)).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(meta).unwrap().insert(key, value).unwrap();
    transaction.commit().unwrap();
}

fn ledger_cases(chains: &Rc<Chains>) -> Vec<Case> {
    vec![
        damaged(
            "data directory: an empty ledger",
            chains,
            |data, _| cut(data, |_| 0),
            "ledger {dir}/data/ledger.redb: it has 0 bytes, fewer than any ledger; restore it from a backup or start with an empty data directory",
        ),
        damaged(
            "data directory: a hundred bytes of a ledger",
            chains,
            |data, _| cut(data, |_| 100),
            "ledger {dir}/data/ledger.redb: it has 100 bytes, fewer than any ledger; restore it from a backup or start with an empty data directory",
        ),
        damaged(
            "data directory: a page of a ledger",
            chains,
            |data, _| cut(data, |_| 4096),
            "ledger {dir}/data/ledger.redb: DB corrupted: File truncated below stored layout: file_len={left}, layout_len={whole}; if the file is damaged, restore it from a backup or start with an empty data directory",
        ),
        damaged(
            "data directory: half a ledger",
            chains,
            |data, _| cut(data, |length| length / 2),
            "ledger {dir}/data/ledger.redb: DB corrupted: File truncated below stored layout: file_len={left}, layout_len={whole}; if the file is damaged, restore it from a backup or start with an empty data directory",
        ),
        damaged(
            "data directory: random bytes for a ledger",
            chains,
            |data, _| {
                overwrite(data, |bytes| {
                    let mut random = blake3::Hasher::new().update(b"any").finalize_xof();
                    random.fill(bytes);
                });
            },
            "ledger {dir}/data/ledger.redb: I/O error: Not a redb database: magic number mismatch; if the file is damaged, restore it from a backup or start with an empty data directory",
        ),
        damaged(
            "data directory: another magic number",
            chains,
            |data, _| overwrite(data, |bytes| bytes[0] ^= 1),
            "ledger {dir}/data/ledger.redb: I/O error: Not a redb database: magic number mismatch; if the file is damaged, restore it from a backup or start with an empty data directory",
        ),
        damaged(
            "data directory: every page damaged",
            chains,
            |data, _| {
                overwrite(data, |bytes| {
                    bytes[4096..].iter_mut().for_each(|byte| *byte ^= 0x5a)
                });
            },
            "ledger {dir}/data/ledger.redb: a page of the database does not decode (internal error: entered unreachable code); restore it from a backup or start with an empty data directory",
        ),
        damaged(
            "data directory: zeros after the first page",
            chains,
            |data, _| overwrite(data, |bytes| bytes[4096..].fill(0)),
            "ledger {dir}/data/ledger.redb: a page of the database does not decode (internal error: entered unreachable code); restore it from a backup or start with an empty data directory",
        ),
        damaged(
            "data directory: a newer ledger",
            chains,
            |data, _| set_meta(data, b"format", &2_u32.to_le_bytes()),
            "ledger {dir}/data/ledger.redb has format 2, this build reads formats up to 1; use the newer build that wrote it",
        ),
        damaged(
            "data directory: a ledger of no chain",
            chains,
            |data, _| set_meta(data, b"chain-spec-hash", b"short"),
            "ledger {dir}/data/ledger.redb: its chain-spec hash has not 32 bytes; restore it from a backup or start with an empty data directory",
        ),
        damaged(
            "data directory: a ledger of no format",
            chains,
            |data, _| set_meta(data, b"format", b"one"),
            "ledger {dir}/data/ledger.redb: its format version has not 4 bytes; restore it from a backup or start with an empty data directory",
        ),
        damaged(
            "data directory: a database of something else",
            chains,
            |data, _| {
                fs::remove_file(data.join(LEDGER)).unwrap();
                drop(redb::Database::create(data.join(LEDGER)).unwrap());
            },
            "ledger {dir}/data/ledger.redb: it is a database, but no ledger; restore it from a backup or start with an empty data directory",
        ),
        damaged(
            "data directory: a directory for a ledger",
            chains,
            |data, _| {
                fs::remove_file(data.join(LEDGER)).unwrap();
                fs::create_dir(data.join(LEDGER)).unwrap();
            },
            "ledger {dir}/data/ledger.redb: it is no file; restore it from a backup or start with an empty data directory",
        ),
    ]
}

fn other_chain_case(chains: &Rc<Chains>) -> Case {
    let chains = Rc::clone(chains);
    let start = move || {
        let directory = chains.copy();
        let other = chains.get().join("other");
        fs::copy(other.join(LEDGER), directory.path().join("data").join(LEDGER)).unwrap();
        let names = [
            (spec_hash(&other.join(SPEC)), "{other}"),
            (spec_hash(&chains.get().join("chain").join(SPEC)), "{chain}"),
        ];
        let said = dev(directory.path(), "data", &["--txs", "0"]);
        said.map_err(|said| {
            names
                .iter()
                .fold(said, |said, (hash, name)| said.replace(hash, name))
        })
    };
    case(
        "data directory: the ledger of another chain",
        start,
        "ledger {dir}/data/ledger.redb belongs to the chain with spec hash {other}, the chain spec given hashes to {chain}; give the spec that created it, or another data directory",
    )
}

fn spec_hash(path: &Path) -> String {
    let mut file: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert_eq!(file.as_object_mut().unwrap().remove("format"), Some(1.into()));
    let spec: millrace_types::ChainSpec = serde_json::from_value(file).unwrap();
    spec.hash().to_string()
}

fn records_case(chains: &Rc<Chains>) -> Case {
    damaged(
        "data directory: headers gone",
        chains,
        |data, _| {
            let headers = redb::TableDefinition::<&[u8; 32], &[u8]>::new("headers");
            let database = redb::Database::open(data.join(LEDGER)).unwrap();
            let transaction = database.begin_write().unwrap();
            {
                let mut headers = transaction.open_table(headers).unwrap();
                headers.retain(|_, _| false).unwrap();
            }
            transaction.commit().unwrap();
        },
        "the ledger has no block for height 1, though a later one is there; restore it from a backup",
    )
}

fn spec_cases(chains: &Rc<Chains>) -> Vec<Case> {
    let flags = |name, more: &'static [&'static str], expected| {
        let chains = Rc::clone(chains);
        let start = move || dev(chains.copy().path(), "data", &[&["--txs", "0"], more].concat());
        case(name, start, expected)
    };
    vec![
        damaged(
            "data directory: an empty chain spec",
            chains,
            |data, _| fs::write(data.join(SPEC), "").unwrap(),
            "chain spec {dir}/data/chain-spec.json: not the JSON of a chain spec: EOF while parsing a value at line 1 column 0; docs/spec/blocks.md describes its fields",
        ),
        damaged(
            "data directory: half a chain spec",
            chains,
            |data, _| {
                let text = fs::read(data.join(SPEC)).unwrap();
                fs::write(data.join(SPEC), &text[..text.len() / 2]).unwrap();
            },
            "chain spec {dir}/data/chain-spec.json: not the JSON of a chain spec: EOF while parsing a value at line 36 column 16; docs/spec/blocks.md describes its fields",
        ),
        damaged(
            "data directory: a chain spec of a newer format",
            chains,
            |data, _| {
                let text = fs::read_to_string(data.join(SPEC)).unwrap();
                fs::write(data.join(SPEC), text.replace("\"format\": 1,", "\"format\": 2,")).unwrap();
            },
            "chain spec {dir}/data/chain-spec.json: format 2 is newer than 1, which this build reads; use the build that the file was written for, or a newer one",
        ),
        damaged(
            "data directory: the chain spec of another chain",
            chains,
            |data, chains| {
                fs::copy(chains.get().join("other").join(SPEC), data.join(SPEC)).unwrap();
            },
            "{dir}/data/chain-spec.json: this chain was started with other flags (--seed, --accounts, --commitment or --max-receipt-lag differ); give the same, or another --data-dir",
        ),
        flags(
            "data directory: another seed",
            &["--seed", "9"],
            "{dir}/data/chain-spec.json: this chain was started with other flags (--seed, --accounts, --commitment or --max-receipt-lag differ); give the same, or another --data-dir",
        ),
        flags(
            "data directory: another commitment",
            &["--commitment", "a"],
            "{dir}/data/chain-spec.json: this chain was started with other flags (--seed, --accounts, --commitment or --max-receipt-lag differ); give the same, or another --data-dir",
        ),
    ]
}

/// A data directory at this path in a new directory that holds a file `file`.
fn place(name: &'static str, data: &'static str, expected: &'static str) -> Case {
    let start = move || {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("file"), "text").unwrap();
        dev(directory.path(), data, &["--txs", "0"])
    };
    case(name, start, expected)
}

fn in_use_case() -> Case {
    let start = || {
        let directory = tempfile::tempdir().unwrap();
        let data: PathBuf = directory.path().join("data");
        let node = Node::start(&["--data-dir", data.to_str().unwrap()]);
        let said = dev(directory.path(), "data", &["--txs", "0"]);
        node.assert_well();
        said
    };
    case(
        "data directory: in use",
        start,
        "ledger {dir}/data/ledger.redb is in use by another process; stop that node first, or name another data directory",
    )
}

pub fn cases() -> Vec<Case> {
    let chains = Rc::new(Chains::default());
    let mut cases = ledger_cases(&chains);
    cases.push(other_chain_case(&chains));
    cases.push(records_case(&chains));
    cases.extend(spec_cases(&chains));
    cases.push(place("data directory: a file", "file", "data directory {dir}/file: File exists (os error 17); name a directory that this user may make and write to"));
    cases.push(place("data directory: below a file", "file/data", "data directory {dir}/file/data: Not a directory (os error 20); name a directory that this user may make and write to"));
    // No user may make one there, root neither.
    cases.push(place("data directory: where none can be made", "/proc/data", "data directory /proc/data: No such file or directory (os error 2); name a directory that this user may make and write to"));
    cases.push(in_use_case());
    cases
}

#[test]
fn data_directories() {
    check("data directory", 20, &cases());
}
