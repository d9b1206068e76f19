//! Which compiler and linker build contracts, and what to install where there is none.
//!
//! Two can: the project's own Rust, where rustup has added the target; or Debian's `rustc-web`, whose sources of the
//! standard library lie beside it, so that cargo builds `core` and `alloc` for the target by itself.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;

/// What contracts are compiled for.
pub const TARGET: &str = "riscv64imac-unknown-none-elf";
/// Every extension of the machine that the target does not name (docs/spec/machine.md).
pub const FEATURES: &str = "+zba,+zbb,+zbc,+zbs,+zicond";

/// Where Debian's compiler lies, whatever `rustc` comes first.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_LINKERS: [&str; 4] = ["ld.lld-19", "ld.lld", "ld.lld-20", "ld.lld-18"];

/// A compiler with the target, and its linker.
#[derive(Debug, Clone)]
pub struct Toolchain {
    /// The compiler.
    pub rustc: PathBuf,
    /// LLD.
    pub linker: PathBuf,
    /// Sources of the standard library, where it is to be built.
    pub library: Option<PathBuf>,
    /// What the compiler calls itself.
    pub version: String,
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.library.is_some() {
            "Debian"
        } else {
            "rustup"
        };
        write!(f, "{kind}: {}, {}", self.version, self.linker.display())
    }
}

impl Toolchain {
    /// The one that builds the project in `directory`.
    ///
    /// # Errors
    /// When there is none; the message says what to install.
    pub fn find(directory: &Path) -> Result<Self, Failure> {
        let rustup = Self::rustup(directory);
        let debian = rustup
            .as_ref()
            .map_or_else(|_| Self::debian(), |_| Err(String::new()));
        match (rustup, debian) {
            (Ok(found), _) | (_, Ok(found)) => Ok(found),
            (Err(rustup), Err(debian)) => Err(Failure::new(format!(
                "no toolchain for {TARGET} is installed; install one of two:\n  \
                 rustup   `rustup target add {TARGET}` ({rustup})\n  \
                 Debian   `apt install rustc-web rust-web-src lld` ({debian})"
            ))),
        }
    }

    fn rustup(directory: &Path) -> Result<Self, String> {
        let rustc = Path::new("rustc");
        let sysroot = ask(rustc, directory, &["--print", "sysroot"])?;
        let rustlib = Path::new(sysroot.trim()).join("lib/rustlib");
        if !rustlib.join(TARGET).join("lib").is_dir() {
            return Err(format!("the Rust in {} does not have the target", sysroot.trim()));
        }
        let version = ask(rustc, directory, &["-vV"])?;
        let host = version.lines().find_map(|line| line.strip_prefix("host: "));
        let host = host.ok_or("rustc -vV names no host")?;
        let linker = rustlib.join(host).join("bin/rust-lld");
        if !linker.is_file() {
            return Err(format!("{} is missing", linker.display()));
        }
        Ok(Self {
            rustc: rustc.to_owned(),
            linker,
            library: None,
            version: first_line(&version),
        })
    }

    fn debian() -> Result<Self, String> {
        let rustc = Path::new(DEBIAN_RUSTC);
        if !rustc.is_file() {
            return Err(format!("{DEBIAN_RUSTC} is missing: rustc-web"));
        }
        let here = Path::new("/");
        let sysroot = ask(rustc, here, &["--print", "sysroot"])?;
        let library = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library");
        if !library.join("Cargo.lock").exists() {
            return Err(format!("{} is missing: rust-web-src", library.display()));
        }
        let linker = DEBIAN_LINKERS.iter().find_map(|name| in_path(name));
        let linker = linker.ok_or("no ld.lld is in the PATH: lld")?;
        let version = ask(rustc, here, &["--version"])?;
        Ok(Self {
            rustc: rustc.to_owned(),
            linker,
            library: Some(library),
            version: first_line(&version),
        })
    }

    /// Has `cargo` build with it. `local` are folders of sources, and what they are called in the program: nothing of this
    /// machine's folders reaches the bytes.
    pub fn configure(&self, cargo: &mut Command, local: &[(PathBuf, &str)]) {
        clean(cargo);
        let mut flags = vec![
            OsString::from(format!("-Clinker={}", self.linker.display())),
            "-Clinker-flavor=ld.lld".into(),
            format!("-Ctarget-feature={FEATURES}").into(),
        ];
        let mut remap = |from: &Path, to: &str| {
            let mut flag = OsString::from("--remap-path-prefix=");
            flag.push(from);
            flag.push(format!("={to}"));
            flags.push(flag);
        };
        if let Some(library) = &self.library {
            remap(library, "library");
        }
        for source in registry_sources() {
            remap(&source, "crates");
        }
        for (folder, name) in local {
            remap(folder, name);
        }
        cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join(OsStr::new("\x1f")));
        if self.library.is_some() {
            cargo.env("RUSTC", &self.rustc).env("RUSTC_BOOTSTRAP", "1");
            cargo.args([
                "-Zbuild-std=core,alloc",
                "-Zbuild-std-features=compiler-builtins-mem",
            ]);
        }
    }
}

/// Nothing of the caller's settings may reach the bytes.
fn clean(cargo: &mut Command) {
    for name in [
        "RUSTC",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_BOOTSTRAP",
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
    ] {
        cargo.env_remove(name);
    }
    for (name, _) in std::env::vars_os() {
        let is_setting = [
            "CARGO_BUILD_",
            "CARGO_PROFILE_",
            "CARGO_TARGET_",
            "CARGO_UNSTABLE_",
        ]
        .iter()
        .any(|prefix| name.to_string_lossy().starts_with(prefix));
        if is_setting {
            cargo.env_remove(name);
        }
    }
    cargo.env("CARGO_INCREMENTAL", "0").env("LC_ALL", "C");
}

/// Folders that cargo unpacks crates into, ascending.
fn registry_sources() -> Vec<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let folders = home.and_then(|home| std::fs::read_dir(home.join("registry/src")).ok());
    let mut found: Vec<_> = folders
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    found.sort();
    found
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// What a compiler says of itself.
fn ask(rustc: &Path, directory: &Path, arguments: &[&str]) -> Result<String, String> {
    let said = Command::new(rustc)
        .args(arguments)
        .current_dir(directory)
        .env_remove("RUSTC")
        .output()
        .map_err(|error| format!("{}: {error}", rustc.display()))?;
    if !said.status.success() {
        return Err(format!(
            "{} {}: {}",
            rustc.display(),
            arguments.join(" "),
            first_line(&String::from_utf8_lossy(&said.stderr))
        ));
    }
    Ok(String::from_utf8_lossy(&said.stdout).into_owned())
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
