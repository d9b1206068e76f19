//! `millrace bench pipeline`, as a command: sections that take no time show figures, and what is asked for wrongly is said.

use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args(["bench", "pipeline"])
        .args(arguments)
        .output()
        .expect("the command starts")
}

#[test]
fn blocks_on_several_workers_come_to_equal_results_and_a_page_shows_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let page = directory.path().join("report.html");
    let output = bench(&[
        "--section",
        "parallel",
        "--transactions",
        "200",
        "--rounds",
        "1",
        "--workers",
        "1,3",
        "--load",
        "a",
        "--html",
        page.to_str().expect("a path of text"),
    ]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    for load in ["transfers, random", "one sender's chain", "swaps, 1 pools"] {
        assert!(text.contains(load), "{load}: {text}");
    }
    assert!(!text.contains("compute"), "it has no such letter: {text}");
    let page = std::fs::read_to_string(page).expect("the page was written");
    assert!(page.contains("swaps, 100 pools"));
}

#[test]
fn a_load_that_there_is_not_is_refused_with_those_that_there_are() {
    let output = bench(&["--section", "parallel", "--load", "nothing"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let error = String::from_utf8(output.stderr).expect("text");
    assert!(
        error.contains("`nothing`") && error.contains("swaps, 100 pools"),
        "{error}"
    );
}
