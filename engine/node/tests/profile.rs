//! Guests as perf and gdb show them: `--profile` of `millrace run`, and the session of `docs/profiling.md`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use millrace_tests::tools;
use tempfile::TempDir;

mod guests;

/// The directory with the guests, built once: `hot.elf` with debug information, `stripped.elf` without names, and
/// `pointers.elf` with nothing but frame pointers.
fn built() -> &'static Path {
    static GUESTS: OnceLock<TempDir> = OnceLock::new();
    let build = || {
        let directory = TempDir::new().expect("a temporary directory");
        for (name, extra) in [
            ("hot", "-g"),
            ("stripped", "-s"),
            ("pointers", "-fno-omit-frame-pointer"),
        ] {
            guests::build("hot.c", extra, directory.path(), name);
        }
        directory
    };
    GUESTS.get_or_init(build).path()
}

fn guest(name: &str) -> PathBuf {
    built().join(name).with_extension("elf")
}

/// Number of the line of `hot.c` that ends with this comment.
fn line(comment: &str) -> usize {
    let source = include_str!("guests/hot.c");
    let mut lines = source.lines();
    1 + lines
        .position(|line| line.ends_with(&format!("// {comment}")))
        .expect("the comment stands there")
}

fn millrace() -> Command {
    Command::new(env!("CARGO_BIN_EXE_millrace"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn checked(command: &mut Command) -> Output {
    let output = command.output().expect("the command starts");
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    output
}

/// Runs a guest with a profile in `directory`, and gives the process's number.
fn profiled(directory: &Path, options: &[&str], program: &str) -> u32 {
    let child = millrace()
        .arg("run")
        .args(options)
        .arg(guest(program))
        .arg("100")
        .current_dir(directory)
        .spawn();
    let mut child = child.expect("the command starts");
    let number = child.id();
    assert!(child.wait().expect("it was started").success());
    number
}

#[test]
fn a_perf_map_names_guest_functions() {
    let directory = TempDir::new().expect("a temporary directory");
    let number = profiled(directory.path(), &["--profile", "perfmap"], "hot");
    let path = format!("/tmp/perf-{number}.map");
    let map = fs::read_to_string(&path).expect("the map is there");
    fs::remove_file(path).expect("it is ours");
    let names: Vec<&str> = map
        .lines()
        .map(|line| {
            let mut words = line.splitn(3, ' ');
            let mut number = || u64::from_str_radix(words.next().expect("a number"), 16).expect("in hex");
            assert!(number() > 0 && number() > 0, "{line}");
            words.next().expect("a name")
        })
        .collect();
    for name in ["guest::hot::mix", "guest::hot::work", "guest::hot::work (entry)"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
}

#[test]
fn a_jitdump_goes_to_its_directory_and_names_what_symbols_are_given_for() {
    let directory = TempDir::new().expect("a temporary directory");
    let to = directory.path().join("dumps");
    fs::create_dir(&to).expect("it is new");
    let to = to.to_str().expect("a plain path");
    let symbols = guest("hot");
    let symbols = symbols.to_str().expect("a plain path");
    let options = ["--profile", "jitdump", "--profile-dir", to];
    let holds = |number: u32, name: &str| {
        let dump = fs::read(format!("{to}/jit-{number}.dump")).expect("the dump is there");
        dump.windows(name.len()).any(|window| window == name.as_bytes())
    };
    let alone = profiled(directory.path(), &options, "stripped");
    assert!(holds(alone, "guest::stripped::0x1") && !holds(alone, "mix"));
    let given = profiled(
        directory.path(),
        &[&options[..], &["--profile-symbols", symbols]].concat(),
        "stripped",
    );
    assert!(holds(given, "guest::hot::mix\0") && holds(given, "tests/guests/hot.c\0"));
}

#[test]
fn a_profile_that_cannot_be_made_is_refused_with_what_to_do() {
    let run = |options: &[&str]| {
        let output = millrace().arg("run").args(options).arg(guest("hot")).output();
        let output = output.expect("the command starts");
        (output.status.code(), text(&output.stderr))
    };
    let (status, message) = run(&["--profile", "jitdump", "--profile-dir", "/nowhere"]);
    assert_eq!(status, Some(1), "{message}");
    assert!(
        message.contains("/nowhere/jit-") && message.contains("give a directory"),
        "{message}"
    );
    let (status, message) = run(&["--profile", "gdb", "--tier", "interpreter"]);
    assert_eq!(status, Some(2), "{message}");
    assert!(message.contains("choose tier jit or auto"), "{message}");
}

#[test]
fn every_tier_gives_the_same_result() {
    let gas = |tier: &str| {
        let output = millrace()
            .args(["run", "--stats", "--tier", tier])
            .arg(guest("hot"))
            .arg("500")
            .output();
        let stats: serde_json::Value =
            serde_json::from_slice(&output.expect("the command starts").stderr).expect("a JSON object");
        assert_eq!((&stats["status"], &stats["tier"]), (&0.into(), &tier.into()));
        stats["gas_used"].as_u64().expect("a number")
    };
    let expected = gas("interpreter");
    for tier in ["jit", "auto"] {
        assert_eq!(gas(tier), expected, "{tier}");
    }
}

/// What `millrace run` says of a trap below several frames, the same on every tier.
fn trap(program: &str, argument: &str) -> String {
    let report = |tier: &str| {
        let mut command = millrace();
        command
            .args(["run", "--tier", tier])
            .arg(guest(program))
            .arg(argument);
        let output = command.output().expect("the command starts");
        assert_eq!(output.status.code(), Some(134));
        text(&output.stderr)
    };
    let expected = report("interpreter");
    for tier in ["jit", "auto"] {
        assert_eq!(report(tier), expected, "{tier}");
    }
    expected
}

/// The functions of a backtrace's lines, outermost last, each with what follows it.
fn frames(report: &str) -> Vec<String> {
    let (_, lines) = report.split_once("guest backtrace:\n").expect("a backtrace");
    let frame = |line: &str| line.trim_start().split_once(' ').map(|(_, rest)| rest.to_owned());
    lines.lines().filter_map(frame).collect()
}

#[test]
fn a_trap_shows_its_callers_by_file_and_line() {
    let report = trap("hot", "trap");
    let at = |function: &str, comment: &str| {
        let frames = frames(&report);
        let place = format!("hot.c:{}", line(comment));
        let found = frames
            .iter()
            .filter(|frame| frame.contains(function) && frame.ends_with(&place));
        assert!(found.count() > 0, "{function} at {place} in {report}");
    };
    at("store at", "trap");
    at("twice at", "inlined");
    at("deep at", "again");
    assert!(report.contains("\n      inlined into deep at "), "{report}");
    assert_eq!(report.matches(" deep at ").count(), 4, "{report}");
    assert!(report.ends_with(" _start\n"), "{report}");
}

#[test]
fn without_frame_information_a_backtrace_says_how_it_was_found() {
    let by_pointer = trap("pointers", "trap");
    assert_eq!(
        by_pointer.matches(" deep (by frame pointer)\n").count(),
        4,
        "{by_pointer}"
    );
    assert!(
        by_pointer.ends_with(" _start (by frame pointer)\n"),
        "{by_pointer}"
    );
    let by_ra = trap("stripped", "trap");
    assert!(by_ra.ends_with(" (by return address)\n"), "{by_ra}");
    assert_eq!(by_ra.lines().count(), 4, "{by_ra}");
}

#[test]
fn a_call_to_nowhere_shows_who_made_it() {
    let report = trap("hot", "nowhere");
    assert!(report.contains("jump outside text, pc 0x8"), "{report}");
    assert!(
        report.contains(" start at ") && report.ends_with(" _start\n"),
        "{report}"
    );
}

#[test]
fn gdb_stops_in_guest_functions_and_shows_their_callers_and_lines() {
    let gdb = tools::find("gdb", "gdb");
    let commands = [
        "set breakpoint pending on",
        "break guest::hot::mix",
        "run",
        "backtrace 3",
        "delete",
        &format!("break hot.c:{}", line("hot line") + 1),
        "continue",
        "delete",
        "continue",
    ];
    let mut command = Command::new(gdb);
    command.args(["-nx", "-batch"]);
    for text in commands {
        command.args(["-ex", text]);
    }
    command
        .arg("--args")
        .arg(env!("CARGO_BIN_EXE_millrace"))
        .args(["run", "--profile", "gdb"])
        .arg(guest("hot"))
        .arg("10");
    let said = text(&checked(&mut command).stdout);
    for frame in [
        "#0  guest::hot::mix ()",
        "in guest::hot::work ()",
        "in guest::hot::start ()",
    ] {
        assert!(said.contains(frame), "{frame} in {said}");
    }
    let place = format!("tests/guests/hot.c:{}\n", line("hot line") + 1);
    assert!(said.contains(&place), "{place} in {said}");
    assert!(said.contains("exited normally"), "{said}");
}

/// The commands of the document's first session, each a line after `$ `.
fn session() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/profiling.md");
    let document = fs::read_to_string(path).expect("the document is there");
    let commands: Vec<String> = document
        .lines()
        .filter_map(|line| line.strip_prefix("$ "))
        .map(str::to_owned)
        .collect();
    assert!(commands.len() > 5, "the document has its commands");
    commands
}

/// Why `perf record` cannot be used here, if it cannot: containers and strict kernels forbid it.
fn perf_is_forbidden() -> Option<String> {
    let directory = TempDir::new().expect("a temporary directory");
    let output = Command::new("perf")
        .args(["record", "-q", "-e", "cpu-clock", "-o"])
        .arg(directory.path().join("perf.data"))
        .arg("true")
        .output();
    match output {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(text(&output.stderr)),
        Err(error) => Some(format!("{error}; install the package linux-perf")),
    }
}

#[test]
fn every_command_of_the_document_works_and_finds_the_hot_line() {
    if let Some(reason) = perf_is_forbidden() {
        println!("skipped: perf record does not work here: {reason}");
        return;
    }
    let directory = TempDir::new().expect("a temporary directory");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = root.canonicalize().expect("the repository is there");
    let program = Path::new(env!("CARGO_BIN_EXE_millrace"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = [program.parent().expect("a directory").to_owned()]
        .into_iter()
        .chain(std::env::split_paths(&path));
    let path = std::env::join_paths(path).expect("directories without colons");
    let mut said = String::new();
    for command in session() {
        let output = checked(
            Command::new("sh")
                .args(["-ec", &command])
                .env("PATH", &path)
                .env("MILLRACE", &root)
                .current_dir(directory.path()),
        );
        said += &format!("$ {command}\n{}", text(&output.stdout));
    }
    for expected in ["guest::hot::work", &format!("hot.c:{}", line("hot line"))] {
        assert!(said.contains(expected), "{expected} in {said}");
    }
}
