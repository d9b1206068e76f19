//! `millrace run --code-cache`, as a command, on a guest that a stock toolchain built.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

mod guests;

/// A guest, and a place for a cache.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        guests::build("echo.c", "", directory.path(), "echo");
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs the guest with these options, after `shell` has set things up.
    fn run_after(&self, shell: &str, options: &[&str]) -> Output {
        Command::new("sh")
            .args(["-c", &format!("{shell} exec \"$0\" run --stats \"$@\"")])
            .arg(env!("CARGO_BIN_EXE_millrace"))
            .args(options)
            .arg("echo.elf")
            .arg("one")
            .current_dir(self.directory.path())
            .output()
            .expect("the command starts")
    }

    fn run(&self, options: &[&str]) -> Output {
        self.run_after("", options)
    }
}

const WITH_CACHE: &[&str] = &["--tier", "jit", "--code-cache", "cache"];

/// The JSON object that `--stats` prints.
fn stats(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().last().expect("a line on stderr");
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// Hits, stored, failed.
fn counts(output: &Output) -> [u64; 3] {
    let stats = stats(output);
    ["hits", "stored", "failed"].map(|name| stats["code_cache"][name].as_u64().expect("a count"))
}

fn is_same(output: &Output, expected: &Output) {
    assert_eq!(output.stdout, expected.stdout);
    assert_eq!(output.status.code(), expected.status.code());
    assert_eq!(stats(output)["gas_used"], stats(expected)["gas_used"]);
}

#[test]
fn the_next_process_takes_the_code_of_the_one_before() {
    let place = Place::new();
    let expected = place.run(&["--tier", "interpreter"]);
    assert!(stats(&expected).get("code_cache").is_none());
    let first = place.run(WITH_CACHE);
    is_same(&first, &expected);
    assert_eq!(counts(&first), [0, 1, 0]);
    let second = place.run(WITH_CACHE);
    is_same(&second, &expected);
    assert_eq!(counts(&second), [1, 0, 0]);
    let mode = |name| {
        fs::metadata(place.path(name))
            .expect("it was made")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!((mode("cache"), mode("cache.key")), (0o700, 0o600));
}

#[test]
fn a_new_key_makes_the_code_of_the_old_one_worthless() {
    let place = Place::new();
    place.run(WITH_CACHE);
    fs::remove_file(place.path("cache.key")).expect("it was made");
    assert_eq!(counts(&place.run(WITH_CACHE)), [0, 1, 0]);
    assert_eq!(counts(&place.run(WITH_CACHE)), [1, 0, 0]);
}

/// No file may grow, which fails as a full disk does: in the middle of a write.
#[test]
fn a_disk_without_room_changes_nothing() {
    let place = Place::new();
    let expected = place.run(&["--tier", "interpreter"]);
    let first = place.run_after("mkdir -m 700 cache; head -c 32 /dev/zero > cache.key; chmod 600 cache.key; trap '' XFSZ; ulimit -f 0;", WITH_CACHE);
    is_same(&first, &expected);
    assert_eq!(counts(&first), [0, 0, 1]);
    let left = fs::read_dir(place.path("cache")).expect("it was made").count();
    assert_eq!(left, 0, "what was begun is gone");
}

#[test]
fn what_cannot_be_a_cache_is_refused_with_what_to_do() {
    let place = Place::new();
    let says = |options: &[&str], status, expected: &str| {
        let output = place.run(options);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(text.lines().next(), Some(expected));
        assert_eq!(output.status.code(), Some(status));
        assert!(output.stdout.is_empty(), "the program did not run");
    };
    says(
        &["--code-cache", "cache"],
        2,
        "millrace: --code-cache keeps native code, and the interpreter has none; choose tier jit or auto, or leave it",
    );
    fs::create_dir(place.path("cache")).expect("a directory");
    let mode =
        |mode| fs::set_permissions(place.path("cache"), fs::Permissions::from_mode(mode)).expect("a mode");
    mode(0o755);
    says(
        WITH_CACHE,
        1,
        "millrace: cache has mode 0755, so that others may get at it; run `chmod 700 cache` if nobody did, or remove it",
    );
    mode(0o700);
    fs::write(place.path("cache.key"), b"short").expect("a file");
    fs::set_permissions(place.path("cache.key"), fs::Permissions::from_mode(0o600)).expect("a mode");
    says(
        WITH_CACHE,
        1,
        "millrace: key of the code cache, cache.key: 5 bytes, not 32; remove the file, and a new key is made (what was cached is compiled again)",
    );
    says(
        &["--tier", "jit", "--code-cache", ".."],
        1,
        "millrace: code cache ..: its key lies beside it, so that it needs a name; name a directory like ./code-cache",
    );
}
