//! `millrace contract new`: a project that builds and whose tests pass.
//!
//! The template is the folder `template` beside this file; `{{name}}` in it is the contract's name, `{{sdk}}` the path of
//! the SDK.

pub mod sdk;

use std::io;
use std::path::{Path, PathBuf};

use crate::commands::print_text;
use crate::failure::Failure;

/// Makes a project for a new contract: sources, tests, and the SDK to build it with.
#[derive(clap::Args, Debug)]
pub struct NewArgs {
    /// The contract's name: letters, digits, `-` and `_`, a letter first.
    name: String,
    /// Its folder; by default one of that name here.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Uses the SDK in this folder instead of writing it to the project.
    #[arg(long, value_name = "PATH")]
    sdk: Option<PathBuf>,
}

/// Name in the project → text.
const TEMPLATE: [(&str, &str); 5] = [
    ("Cargo.toml", include_str!("template/Cargo.toml.template")),
    (".gitignore", include_str!("template/gitignore")),
    ("README.md", include_str!("template/README.md")),
    ("src/main.rs", include_str!("template/main.rs")),
    ("src/tests.rs", include_str!("template/tests.rs")),
];

const MOST_NAME_BYTES: usize = 64;
/// Names that packages of the SDK or of Rust itself have, and words that no crate may be named.
const TAKEN: [&str; 13] = [
    "alloc",
    "build",
    "core",
    "deps",
    "examples",
    "incremental",
    "millrace-contract",
    "millrace_contract",
    "out",
    "proc_macro",
    "sdk",
    "std",
    "test",
];

impl NewArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the name will not do, or the folder holds something.
    pub fn run(self) -> Result<(), Failure> {
        check_name(&self.name)?;
        let folder = self.dir.unwrap_or_else(|| PathBuf::from(&self.name));
        let (sdk, sdk_files) = match &self.sdk {
            None => ("sdk".to_owned(), sdk::files()?),
            Some(path) => (checkout(path)?, Vec::new()),
        };
        make_empty(&folder)?;
        for (name, text) in TEMPLATE {
            let text = text.replace("{{name}}", &self.name).replace("{{sdk}}", &sdk);
            write(&folder, name, text.as_bytes())?;
        }
        write(&folder, "Cargo.lock", sdk::lock_file())?;
        for (name, bytes) in &sdk_files {
            write(&folder, name, bytes)?;
        }
        print_text(&format!(
            "{0} is a contract now; next:\n  cd {0}\n  \
             cargo test                 # the tests, on the host in memory\n  \
             millrace contract test     # the same tests, on the executor\n  \
             millrace contract build    # out/{1}.elf\n",
            folder.display(),
            self.name
        ))
    }
}

fn check_name(name: &str) -> Result<(), Failure> {
    let wrong = |why: &str| Err(Failure::new(format!("contract new: {name:?} {why}")));
    let mut bytes = name.bytes();
    if !bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic())
        || !bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    {
        return wrong("is no name: letters, digits, `-` and `_`, a letter first");
    }
    if name.len() > MOST_NAME_BYTES {
        return wrong("is too long: 64 bytes at most");
    }
    if TAKEN.contains(&name) {
        return wrong("is taken; choose another name");
    }
    Ok(())
}

/// The path of an SDK that somebody has, as it is written to a manifest.
fn checkout(path: &Path) -> Result<String, Failure> {
    let failed = |why: &str| Failure::new(format!("contract new: --sdk {}: {why}", path.display()));
    let path = path.canonicalize().map_err(|error| failed(&error.to_string()))?;
    let manifest = std::fs::read_to_string(path.join("Cargo.toml"));
    if !manifest.is_ok_and(|text| text.contains("name = \"millrace-contract\"")) {
        return Err(failed(
            "holds no package millrace-contract: give the folder contracts/sdk",
        ));
    }
    let text = path.to_str().ok_or_else(|| failed("the path is not UTF-8"))?;
    Ok(text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn make_empty(folder: &Path) -> Result<(), Failure> {
    let failed = |why: &str| Failure::new(format!("contract new: {}: {why}", folder.display()));
    match std::fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(failed("the folder holds something; choose another by --dir")),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            std::fs::create_dir_all(folder).map_err(|error| failed(&error.to_string()))
        }
        Err(error) => Err(failed(&error.to_string())),
    }
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    let path = folder.join(name);
    let folder = path.parent().unwrap_or(folder);
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&path, bytes))
        .map_err(|error| Failure::new(format!("contract new: {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cargo_or_the_sdk_could_not_take_are_refused() {
        for name in [
            "",
            "1st",
            "a b",
            "../up",
            "a/b",
            "ünder",
            "std",
            "sdk",
            "incremental",
            &"a".repeat(65),
        ] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        for name in ["token", "my-token_2", "T"] {
            check_name(name).expect("a name");
        }
    }
}
