//! A plugin that would end the node by its panics does not compile.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PLUGIN: &str = r#"
//! A plugin.
use millrace_plugin_sdk::{ChainState, Event, StartError, Step, Stepped};
struct Silent;
impl Stepped for Silent {
    const CONSENSUS_ID: &'static str = "silent/1";
    const VERSION: &'static str = "1";
    fn start(_: &ChainState, _: &mut Step) -> Result<Self, StartError> { Ok(Self) }
    fn on_event(&mut self, _: Event, _: &mut Step) {}
}
millrace_plugin_sdk::export_plugin!(stepped Silent);
"#;

/// The SDK as the running test was linked with it.
fn sdk(deps: &Path) -> PathBuf {
    let found = std::fs::read_dir(deps)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let is_sdk = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("libmillrace_plugin_sdk-") && name.ends_with(".rlib")
    };
    found
        .filter(is_sdk)
        .max_by_key(|path| path.metadata().unwrap().modified().unwrap())
        .unwrap()
}

fn compile(folder: &Path, panic: &str) -> Output {
    let deps = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let source = folder.join("silent.rs");
    std::fs::write(&source, PLUGIN).unwrap();
    Command::new("rustc")
        .args([
            "--edition",
            "2024",
            "--crate-type",
            "cdylib",
            "--emit",
            "metadata",
            "-C",
        ])
        .arg(format!("panic={panic}"))
        .arg("--extern")
        .arg(format!("millrace_plugin_sdk={}", sdk(&deps).display()))
        .arg("-L")
        .arg(format!("dependency={}", deps.display()))
        .arg("--out-dir")
        .arg(folder)
        .arg(source)
        .output()
        .unwrap()
}

#[test]
fn panic_abort_is_refused_at_compile_time() {
    let folder = tempfile::tempdir().unwrap();
    let unwind = compile(folder.path(), "unwind");
    assert!(
        unwind.status.success(),
        "{}",
        String::from_utf8_lossy(&unwind.stderr)
    );
    let abort = compile(folder.path(), "abort");
    let message = String::from_utf8_lossy(&abort.stderr);
    assert!(!abort.status.success());
    assert!(
        message.contains("a Millrace plugin is built with panic = \"unwind\": with \"abort\" a panic of the plugin would end the node; remove `panic = \"abort\"` from the profile"),
        "{message}"
    );
}
