//! `millrace run` and `millrace inspect`, as commands, on a guest that a stock toolchain built.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use millrace_tests::tools;
use serde_json::Value;
use tempfile::TempDir;

mod guests;

/// The directory with `echo.elf`, built once.
fn built() -> &'static Path {
    static GUESTS: OnceLock<TempDir> = OnceLock::new();
    let build = || {
        let directory = TempDir::new().expect("a temporary directory");
        guests::build("echo.c", "-g", directory.path(), "echo");
        directory
    };
    GUESTS.get_or_init(build).path()
}

fn guest() -> PathBuf {
    built().join("echo.elf")
}

fn millrace() -> Command {
    Command::new(env!("CARGO_BIN_EXE_millrace"))
}

fn run<S: AsRef<OsStr>>(options: &[&str], args: &[S]) -> Output {
    millrace()
        .arg("run")
        .args(options)
        .arg(guest())
        .args(args)
        .output()
        .expect("the command starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

/// The JSON object that `--stats` prints, the last line on stderr.
fn stats(output: &Output) -> Value {
    let line = text(&output.stderr).lines().last().expect("a line on stderr");
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn arguments_output_and_status_are_those_under_qemu() {
    let qemu = tools::find("qemu-riscv64", "qemu-user");
    for args in [
        &["one"][..],
        &["two", "", "x y"],
        &["-x", "--stats", "--", "group"],
        &["Over"],
    ] {
        let here = run(&[], args);
        let there = Command::new(&qemu)
            .arg(guest())
            .args(args)
            .output()
            .expect("qemu starts");
        assert!(
            here.stdout == there.stdout,
            "{args:?}: {} bytes",
            here.stdout.len()
        );
        assert_eq!(text(&here.stderr), text(&there.stderr), "{args:?}");
        assert_eq!(here.status.code(), there.status.code(), "{args:?}");
        assert_eq!(
            here.status.code(),
            Some(41 + args.len() as i32),
            "{args:?}: the low 8 bits"
        );
    }
}

#[test]
fn there_is_no_environment_no_auxiliary_vector_no_other_descriptor_and_no_other_call() {
    assert_eq!(run(&[], &["bare"]).status.code(), Some(42));
}

#[test]
fn arguments_need_not_be_text() {
    use std::os::unix::ffi::OsStrExt;
    let output = run(&[], &[OsStr::from_bytes(b"\xff\xfe")]);
    assert_eq!(output.stdout, b"[\xff\xfe]\n");
}

#[test]
fn arguments_that_fill_the_stack_are_refused() {
    let output = run(&[], &["x".repeat(70_000)]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("the limit is 65536: pass fewer or shorter ones"),
        "{output:?}"
    );
}

#[test]
fn traps_end_with_134_and_say_where() {
    let file = "tests/guests/echo.c";
    let cases = [
        (
            "poke",
            "access fault: write of 4 bytes at 0x10",
            "in poke+0x",
            "access_fault",
        ),
        (
            "illegal",
            "illegal instruction",
            "in start+0x",
            "illegal_instruction",
        ),
        (
            "wild write",
            "access fault: read of 1 bytes at 0x1000",
            "in start+0x",
            "access_fault",
        ),
    ];
    for (arg, kind, function, name) in cases {
        let output = run(&["--stats"], &[arg]);
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(134), "{arg}: {errors}");
        let message = errors
            .lines()
            .find(|line| line.starts_with("millrace: "))
            .expect("a message");
        assert!(
            message.starts_with(&format!("millrace: trap: {kind}, pc 0x10")),
            "{message}"
        );
        assert!(message.contains(function) && message.contains(file), "{message}");
        let stats = stats(&output);
        assert_eq!(
            (&stats["outcome"], &stats["status"]),
            (&"trapped".into(), &134.into())
        );
        assert_eq!(stats["trap"]["kind"], name);
    }
}

#[test]
fn a_jump_out_of_text_has_a_pc_but_no_function() {
    let output = run(&[], &["far"]);
    assert_eq!(output.status.code(), Some(134));
    let errors = text(&output.stderr);
    let mut lines = errors.lines();
    let expected = [
        "to stderr",
        "millrace: trap: jump outside text, pc 0x8",
        "guest backtrace:",
        "   0: 0x8",
    ];
    assert_eq!(lines.by_ref().take(4).collect::<Vec<_>>(), expected);
    let caller = lines.next().expect("who jumped there");
    assert!(
        caller.contains(" start at ") && caller.contains("echo.c:"),
        "{caller}"
    );
    assert_eq!(
        text(&output.stdout),
        "[far]\n",
        "what was written before the trap stays written"
    );
}

#[test]
fn gas_bounds_the_run() {
    let output = run(&["--gas", "100000", "--stats"], &["loop"]);
    assert_eq!(output.status.code(), Some(134));
    let stats = stats(&output);
    assert_eq!(
        (&stats["trap"]["kind"], &stats["gas_used"]),
        (&"out_of_gas".into(), &100_000.into())
    );
    assert!(
        stats["instructions"]
            .as_u64()
            .is_some_and(|n| n > 10_000 && n < 100_000),
        "{stats}"
    );

    let over = run(&["--gas", "4611686018427387905"], &["x"]);
    assert_eq!(over.status.code(), Some(2), "the limit is 2^62");
}

#[test]
fn stats_count_and_measure() {
    let output = run(&["--stats", "--tier", "interpreter"], &["x"]);
    let stats = stats(&output);
    assert_eq!(
        (&stats["outcome"], &stats["status"]),
        (&"exited".into(), &42.into())
    );
    assert_eq!(
        (&stats["tier"], &stats["compile_ns"]),
        (&"interpreter".into(), &0.into())
    );
    let number = |name: &str| {
        stats[name]
            .as_u64()
            .unwrap_or_else(|| panic!("{name} in {stats}"))
    };
    assert!(number("gas_used") > number("instructions") && number("instructions") > 50);
    assert!(number("load_ns") > 0 && number("execute_ns") > 0);
    let again = self::stats(&run(&["--stats"], &["x"]));
    for name in ["gas_used", "instructions"] {
        assert_eq!(stats[name], again[name], "{name} is the same on every run");
    }
}

#[test]
fn what_cannot_run_is_refused_with_2() {
    let run = |path: &Path| {
        millrace()
            .args(["run", "--stats"])
            .arg(path)
            .output()
            .expect("the command starts")
    };
    let text_file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests/echo.c");
    let missing = built().join("missing.elf");
    let cases = [
        (&missing, "cannot read ", "No such file or directory"),
        (&built().to_owned(), "cannot read ", "Is a directory"),
        (
            &text_file,
            "",
            " is refused by machine version 2: bytes 0 to 3 are [2f, 2f, 20, 41], not 7f 45 4c 46",
        ),
    ];
    for (path, start, end) in cases {
        let output = run(path);
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(
            errors.starts_with(&format!("millrace: {start}{}", path.display())),
            "{errors}"
        );
        assert!(errors.contains(end), "{errors}");
        assert_eq!(stats(&output)["outcome"], "refused");
    }
}

#[test]
fn output_that_nobody_takes_is_an_error() {
    let full = File::options().write(true).open("/dev/full").expect("/dev/full");
    let output = millrace()
        .arg("run")
        .arg(guest())
        .arg("x")
        .stdout(full)
        .output()
        .expect("the command starts");
    assert_eq!(
        output.status.code(),
        Some(42),
        "the guest's write to stderr met the error; the guest ignored it"
    );

    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = millrace()
        .args(["run", "--stats"])
        .arg(guest())
        .arg("Over")
        .stdout(writer)
        .output()
        .expect("the command starts");
    assert_eq!(output.status.code(), Some(141), "as if SIGPIPE had ended it");
    assert_eq!(stats(&output)["outcome"], "output_lost");
}

#[test]
fn inspect_shows_segments_functions_and_instructions() {
    let output = millrace()
        .arg("inspect")
        .arg(guest())
        .output()
        .expect("the command starts");
    assert_eq!(output.status.code(), Some(0));
    let shown = text(&output.stdout);
    for part in [
        "valid for machine version 2",
        "00010000 to 00011000  RX",
        "  poke\n",
        "<poke>:\n",
        "  ecall\n",
    ] {
        assert!(shown.contains(part), "{part:?} is missing in:\n{shown}");
    }
    let one = millrace()
        .args(["inspect", "--function", "poke"])
        .arg(guest())
        .output()
        .expect("the command starts");
    let one = text(&one.stdout);
    assert!(one.contains("<poke>:\n") && !one.contains("<start>:\n"), "{one}");
}

#[test]
fn inspect_as_json_agrees_with_the_program() {
    let output = millrace()
        .args(["inspect", "--json"])
        .arg(guest())
        .output()
        .expect("the command starts");
    let shown: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let instructions = shown["instructions"].as_array().expect("instructions");
    let bytes: u64 = instructions
        .iter()
        .map(|line| line["len"].as_u64().expect("a length"))
        .sum();
    assert_eq!(
        Some(bytes),
        shown["text"]["len"].as_u64(),
        "the listing covers all of text"
    );
    let entry = instructions
        .iter()
        .find(|line| line["pc"] == shown["entry"])
        .expect("the entry is listed");
    assert_eq!(entry["text"], "c.mv a0, sp");

    let refused = millrace()
        .args(["inspect", "--json", "/dev/null"])
        .output()
        .expect("the command starts");
    assert_eq!(refused.status.code(), Some(2));
    let reason: Value = serde_json::from_slice(&refused.stdout).expect("JSON");
    assert!(
        reason["refused"]
            .as_str()
            .is_some_and(|text| text.contains("file has 0 bytes")),
        "{reason}"
    );
}

#[test]
fn floating_point_runs_from_machine_version_2_on() {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/tests/floats/kernels-gcc.elf");
    let status = |options: &[&str]| {
        let output = millrace()
            .arg("run")
            .args(options)
            .arg(&program)
            .output()
            .expect("the command starts");
        (output.status.code(), text(&output.stderr).to_owned())
    };
    assert_eq!(status(&[]), (Some(0), String::new()), "the newest is the default");
    assert_eq!(status(&["--machine-version", "2", "--tier", "jit"]).0, Some(0));
    let (code, errors) = status(&["--machine-version", "1"]);
    assert_eq!(code, Some(134), "{errors}");
    assert!(errors.contains("illegal instruction"), "{errors}");
    for unknown in ["0", "3"] {
        let (code, errors) = status(&["--machine-version", unknown]);
        assert_eq!(code, Some(2), "{errors}");
        assert!(errors.contains("--machine-version"), "{errors}");
    }
}
