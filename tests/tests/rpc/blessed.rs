//! Documents that are generated and committed: a test compares, and `MILLRACE_BLESS=1` writes them anew.

use std::fs;
use std::path::Path;

/// Compares `text` with the file at `path` below the repository's root.
#[track_caller]
pub fn compare(path: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    if std::env::var_os("MILLRACE_BLESS").is_some() {
        fs::write(&file, text).unwrap();
        return;
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    let pairs = committed.lines().zip(text.lines());
    let differing = pairs.clone().position(|(committed, given)| committed != given);
    let line = differing.unwrap_or_else(|| pairs.count());
    assert!(
        committed == text,
        "{path} is not what the code gives, from line {} on, which should be {:?}: run this test with MILLRACE_BLESS=1 and \
         commit the file",
        line + 1,
        text.lines().nth(line).unwrap_or_default()
    );
}
