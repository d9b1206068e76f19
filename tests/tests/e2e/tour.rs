//! The README's tour, run as printed: every command of its `console` blocks, in order, in one shell, in a folder that
//! holds what a checkout holds after the first build.
//!
//! The port alone is not the README's: the environment moves it to a free one.

use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use millrace_tests::program;
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests have a folder of their own")
}

/// The commands of all `console` blocks of a document.
fn commands(document: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut inside = false;
    for line in document.lines() {
        match (inside, line) {
            (false, "```console") => inside = true,
            (true, "```") => inside = false,
            (true, line) => {
                let command = line.strip_prefix("$ ");
                commands.push(
                    command
                        .unwrap_or_else(|| panic!("no command: {line:?}"))
                        .to_owned(),
                );
            }
            (false, _) => {}
        }
    }
    commands
}

/// One shell for all commands, because they share variables and a job; the first that fails ends it, by its name.
fn script(commands: &[String]) -> String {
    let mut script = "set -o pipefail\ntrap 'kill $(jobs -p) 2>/dev/null' EXIT\n".to_owned();
    for command in commands {
        let name = command.replace('\'', r"'\''");
        script += &format!(
            "echo '$ {name}'\n{command}\n[ $? -eq 0 ] || {{ echo 'failed: {name}' >&2; exit 1; }}\n"
        );
    }
    script
}

#[test]
fn the_readmes_tour_works_as_printed() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let commands = commands(&readme);
    assert!(commands.len() >= 20, "the tour was found");
    let folder = tempfile::tempdir().unwrap();
    let release = folder.path().join("target/release");
    std::fs::create_dir_all(&release).unwrap();
    symlink(program::millrace(), release.join("millrace")).unwrap();
    symlink(root().join("contracts"), folder.path().join("contracts")).unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = Command::new("bash")
        .args(["-c", &script(&commands)])
        .current_dir(folder.path())
        .env("MILLRACE_RPC__LISTEN", free.to_string())
        .env("MILLRACE_RPC", format!("http://{free}"))
        .env_remove("MILLRACE_LOG")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (shown, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    println!("{shown}");
    assert!(output.status.success(), "{errors}\n{shown}");
    assert!(errors.is_empty(), "nothing goes wrong on the side: {errors}");
    for claim in [
        "verified: holds after height",
        "nothing: its absence is proven",
        "verified ",
        "executed ",
    ] {
        assert!(shown.contains(claim), "{claim:?} is shown:\n{shown}");
    }
    let roots: Vec<Value> = shown
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["event"] == "summary")
        .map(|summary| summary["last_root"].clone())
        .collect();
    assert!(roots.len() >= 3 && roots[0].is_string(), "{roots:?}");
    assert!(roots.iter().all(|root| *root == roots[0]), "one root: {roots:?}");
}
