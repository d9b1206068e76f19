//! Bytes that rot on the disk. Alone in its process: it silences panic messages.
#![allow(clippy::unwrap_used)]

mod common;

use common::{block, open, spec, transaction};
use millrace_ledger::{Batch, Ledger};
use millrace_types::Hash;

#[test]
fn any_damaged_byte_of_the_file_is_an_error_or_harmless_and_never_a_panic() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.redb");
    let ledger = open(&path);
    let mut batch = Batch::new();
    let (mut parent, mut blocks) = (Hash::ZERO, Vec::new());
    for height in 0..40 {
        let next = block(height, parent, 0, vec![transaction(height)]);
        parent = next.hash();
        blocks.push(next.clone());
        batch.block(next).finalized(height, parent);
    }
    ledger.commit(&batch).unwrap();
    drop(ledger);
    let whole = std::fs::read(&path).unwrap();
    let damaged = directory.path().join("damaged.redb");
    let step = whole.len() / 120 + 1;
    // The database's own panics are contained; their messages would only fill the test's output.
    std::panic::set_hook(Box::new(|_| {}));
    for position in (0..whole.len()).step_by(step) {
        let mut bytes = whole.clone();
        for byte in bytes.iter_mut().skip(position).take(64) {
            *byte ^= 0x5a;
        }
        std::fs::write(&damaged, &bytes).unwrap();
        let result = std::panic::catch_unwind(|| {
            let Ok(ledger) = Ledger::open(&damaged, &spec("one")) else {
                return;
            };
            for height in 0..40 {
                let Ok(Some(hash)) = ledger.finalized_hash(height) else {
                    continue;
                };
                if let Ok(Some(read)) = ledger.block(&hash) {
                    assert_eq!(
                        read,
                        blocks[usize::try_from(height).unwrap()],
                        "a changed block came back as data"
                    );
                }
            }
        });
        assert!(result.is_ok(), "panic with 64 bytes damaged at {position}");
    }
}
