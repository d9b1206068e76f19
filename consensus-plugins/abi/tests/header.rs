//! The C header: in step with the source, and usable by a C compiler.
//!
//! After a change of the ABI, write it anew: `MILLRACE_BLESS=1 cargo test -p millrace-plugin-abi --test header`.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// In reading order, which becomes the header's.
const SOURCES: [&str; 9] = [
    "lib",
    "status",
    "bytes",
    "note",
    "event",
    "pressure",
    "host",
    "fork_choice",
    "plugin",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn source(name: &str) -> PathBuf {
    root().join("src").join(name).with_extension("rs")
}

/// Every public constant, which the header spells `MILLRACE_NAME`.
fn constants() -> Vec<String> {
    let text: String = SOURCES
        .iter()
        .map(|name| std::fs::read_to_string(source(name)).unwrap())
        .collect();
    let name = |line: &str| Some(line.strip_prefix("pub const ")?.split_once(':')?.0.to_owned());
    let is_constant = |name: &String| {
        name.chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    };
    text.lines().filter_map(name).filter(is_constant).collect()
}

fn generate() -> String {
    let mut config = cbindgen::Config::from_file(root().join("cbindgen.toml")).unwrap();
    let renamed = constants()
        .into_iter()
        .map(|name| (name.clone(), format!("MILLRACE_{name}")));
    config.export.rename.extend(renamed);
    let mut builder = cbindgen::Builder::new().with_config(config);
    for name in SOURCES {
        builder = builder.with_src(source(name));
    }
    let mut header = Vec::new();
    builder.generate().unwrap().write(&mut header);
    without_rust_links(&String::from_utf8(header).unwrap())
}

/// Turns links of Rust's documentation into the header's names: ``[`crate::event::EVENT_TIMER`]`` into
/// `MILLRACE_EVENT_TIMER`, ``[`PressureValues::rung`]`` into `MillracePressureValues::rung`.
fn without_rust_links(header: &str) -> String {
    let mut parts = header.split("[`");
    let mut plain = parts.next().unwrap().to_owned();
    for part in parts {
        let (path, rest) = part.split_once("`]").unwrap();
        let segments: Vec<&str> = path
            .split("::")
            .filter(|s| s.chars().any(char::is_uppercase) || !path.starts_with("crate"))
            .collect();
        let constant = segments.last().unwrap().chars().all(|c| !c.is_lowercase());
        plain.push_str(if constant { "MILLRACE_" } else { "Millrace" });
        plain.push_str(&segments.join("::"));
        plain.push_str(rest);
    }
    plain
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the bless switch of a golden test is an environment variable"
)]
fn the_committed_header_is_the_generated_one() {
    let path = root().join("include/millrace_plugin.h");
    let generated = generate();
    if std::env::var("MILLRACE_BLESS").is_ok_and(|value| value == "1") {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "{} is not what the source says: run this test with MILLRACE_BLESS=1 and commit the result",
        path.display()
    );
}

/// Compiles C that includes the header and runs it.
fn run_c(name: &str, text: &str) -> std::process::Output {
    let folder = tempfile::tempdir().unwrap();
    let (file, program) = (
        folder.path().join(name).with_extension("c"),
        folder.path().join(name),
    );
    std::fs::write(&file, text).unwrap();
    let compiled = Command::new("cc")
        .args([
            "-std=c11",
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Werror",
            "-O1",
            "-I",
        ])
        .arg(root().join("include"))
        .arg(&file)
        .arg("-o")
        .arg(&program)
        .output()
        .expect("a C compiler is there as `cc`");
    assert!(
        compiled.status.success(),
        "{}",
        String::from_utf8_lossy(&compiled.stderr)
    );
    Command::new(program).output().unwrap()
}

#[test]
fn the_header_compiles_without_a_warning_and_has_the_layout_of_the_source() {
    use millrace_plugin_abi as abi;
    let types = [
        ("Plugin", size_of::<abi::Plugin>()),
        ("Host", size_of::<abi::Host>()),
        ("ForkChoice", size_of::<abi::ForkChoice>()),
        ("ChainState", size_of::<abi::ChainState>()),
        ("BuildRequest", size_of::<abi::BuildRequest>()),
        ("Event", size_of::<abi::Event>()),
        ("EventData", size_of::<abi::EventData>()),
        ("Pressure", size_of::<abi::Pressure>()),
        ("PressureValues", size_of::<abi::PressureValues>()),
        ("Note", size_of::<abi::Note>()),
        ("Buffer", size_of::<abi::Buffer>()),
    ];
    let mut text = String::from(
        "#include \"millrace_plugin.h\"\n#include <stdio.h>\nMILLRACE_PLUGIN_NOTE(\"solo/1\");\nint main(void) {\n",
    );
    for (name, size) in types {
        text.push_str(&format!(
            "    _Static_assert(sizeof(Millrace{name}) == {size}, \"{name}\");\n"
        ));
    }
    text.push_str(
        r#"    const unsigned char *note = (const unsigned char *)&millrace_plugin_note;
    for (size_t i = 0; i < sizeof millrace_plugin_note; i++) printf("%02x", note[i]);
    return 0;
}
"#,
    );
    let output = run_c("layout", &text);
    let note = abi::Note::new("solo/1");
    let mut expected = Vec::new();
    expected.extend(note.name_size.to_le_bytes());
    expected.extend(note.descriptor_size.to_le_bytes());
    expected.extend(note.note_type.to_le_bytes());
    expected.extend(note.name);
    expected.extend(note.descriptor.abi_major.to_le_bytes());
    expected.extend(note.descriptor.abi_minor.to_le_bytes());
    expected.extend(note.descriptor.schema.to_le_bytes());
    expected.extend(note.descriptor.identity);
    let expected: String = expected.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        expected,
        "the note of C is the note of Rust"
    );
}

#[test]
fn the_header_reads_the_pressure_record_whole_or_not_at_all() {
    let output = run_c(
        "pressure",
        r#"#include "millrace_plugin.h"
int main(void)
{
    MillracePressure record = {.size = sizeof record};
    MillracePressureValues values = {.rung = 99};
    if (millrace_pressure_read(&record, &values) || values.rung != 99) return 1;
    record.sequence = 3;
    record.rung = 4;
    if (millrace_pressure_read(&record, &values) || values.rung != 99) return 2;
    record.sequence = 4;
    record.credit_blocks = 5;
    if (!millrace_pressure_read(&record, &values)) return 3;
    return values.rung == 4 && values.credit_blocks == 5 ? 0 : 4;
}
"#,
    );
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn the_header_names_every_status_and_event() {
    let header = std::fs::read_to_string(root().join("include/millrace_plugin.h")).unwrap();
    for name in constants() {
        let is_text = ["ENTRY_SYMBOL", "NOTE_SECTION", "NOTE_NAME", "FORK_CHOICE_1"].contains(&name.as_str());
        assert!(
            is_text || header.contains(&format!("#define MILLRACE_{name} ")),
            "{name} is missing"
        );
    }
    assert!(
        !header.contains("[`") && !header.contains("crate::"),
        "the header speaks C"
    );
}
