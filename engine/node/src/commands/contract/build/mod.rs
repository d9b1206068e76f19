//! `millrace contract build`: from a project to the files that go on chain and to users.
//!
//! One link makes both ELF files ([`strip`]), so that what a chain runs is what the symbols are of.

mod c;
pub mod project;
mod strip;
pub mod toolchain;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use self::project::{Project, cargo, no_cargo};
use self::toolchain::{TARGET, Toolchain};
use super::check::{Check, RulesArgs};
use super::interface::{Interface, MOST_BYTES};
use crate::commands::{print_json, print_text};
use crate::failure::Failure;

/// Builds a contract: its ELF file, the same with symbols, its interface; and checks it.
#[derive(clap::Args, Debug)]
pub struct BuildArgs {
    /// The contract's folder: of a cargo package, or with one C file.
    #[arg(default_value = ".")]
    directory: PathBuf,
    /// The program, where the package has several.
    #[arg(long, value_name = "NAME")]
    bin: Option<String>,
    /// Where the files go; by default `out` in the contract's folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Rules of which chain; without it, those of `millrace dev`.
    #[command(flatten)]
    rules: RulesArgs,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

/// A linked program.
pub struct Built {
    /// The contract's name, of which the files' are made.
    pub name: String,
    /// With symbols and lines.
    pub elf: Vec<u8>,
    /// What built it.
    pub toolchain: String,
}

impl Built {
    /// What goes on chain of it.
    ///
    /// # Errors
    /// When the linker left no ELF file.
    pub fn stripped(&self) -> Result<Vec<u8>, Failure> {
        strip::strip(&self.elf)
            .ok_or_else(|| Failure::new(format!("{}: the linker left no ELF file for RISC-V", self.name)))
    }
}

impl BuildArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When there is no toolchain, the project does not build, or a chain would refuse the program.
    pub fn run(self) -> Result<(), Failure> {
        let (built, interface) = match c::source(&self.directory)? {
            Some(source) => {
                let described = c::interface(&source).map_err(|error| Failure::new(error.to_string()))?;
                (c::build(&source)?, described)
            }
            None => {
                let project = Project::find(&self.directory, self.bin.as_deref())?;
                // Soonest first: what to install, what the contract says of itself, and then the long build.
                Toolchain::find(&project.directory)?;
                let described = interface(&project)?;
                (build(&project)?, described)
            }
        };
        let out = self.out.clone().unwrap_or_else(|| self.directory.join("out"));
        let stripped = built.stripped()?;
        let elf = write(&out, &format!("{}.elf", built.name), &stripped)?;
        let symbols = write(&out, &format!("{}.symbols.elf", built.name), &built.elf)?;
        let described = match &interface {
            Some(described) => Some(write(&out, &format!("{}.json", built.name), &described.text)?),
            None => {
                // One of an earlier build would describe another program.
                let _ = std::fs::remove_file(out.join(format!("{}.json", built.name)));
                None
            }
        };
        let check = Check::of(&stripped, Some(&built.elf), &self.rules)?;
        if self.json {
            print_json(&json!({
                "elf": elf.display().to_string(),
                "symbols": symbols.display().to_string(),
                "interface": described.map(|path| path.display().to_string()),
                "toolchain": built.toolchain,
                "check": check.as_json(&elf),
            }));
        } else {
            let interface = match &described {
                Some(path) => path.display().to_string(),
                None => {
                    "none: `cargo run -- --interface` prints none, or no interface.json lies beside the C"
                        .into()
                }
            };
            print_text(&format!(
                "toolchain  {}\nsymbols    {}\ninterface  {interface}\n\n{}",
                built.toolchain,
                symbols.display(),
                check.as_text(&elf)
            ))?;
        }
        check.verdict(&elf)
    }
}

/// Builds the program of a project for the chain.
///
/// # Errors
/// When there is no toolchain, or cargo fails.
pub fn build(project: &Project) -> Result<Built, Failure> {
    let toolchain = Toolchain::find(&project.directory)?;
    let target_directory = project.target_directory.join("contract");
    let mut command = cargo(&project.directory);
    command
        .args([
            "build",
            "--release",
            "--quiet",
            "--target",
            TARGET,
            "--target-dir",
        ])
        .arg(&target_directory)
        .args(["--package", &project.package, "--bin", &project.program])
        .args(["--config", "profile.release.debug=\"line-tables-only\""])
        .args(["--config", "profile.release.strip=false"]);
    let local: Vec<_> = project
        .local
        .iter()
        .map(|(folder, name)| (folder.clone(), name.as_str()))
        .collect();
    toolchain.configure(&mut command, &local);
    run(&mut command, &project.directory, "build")?;
    let path = target_directory
        .join(TARGET)
        .join("release")
        .join(&project.program);
    let elf = std::fs::read(&path)
        .map_err(|error| Failure::new(format!("contract build: {}: {error}", path.display())))?;
    Ok(Built {
        name: project.program.clone(),
        elf,
        toolchain: toolchain.to_string(),
    })
}

/// What a contract says of itself.
pub struct Described {
    /// As it is printed, with everything that this program does not know.
    text: Vec<u8>,
    /// As far as this program knows it.
    pub interface: Interface,
}

/// The interface that the contract's build for this machine prints, if it prints one.
///
/// # Errors
/// When that build or its run fails, or it prints what is no interface.
pub fn interface(project: &Project) -> Result<Option<Described>, Failure> {
    let mut build = cargo(&project.directory);
    build.args([
        "build",
        "--quiet",
        "--package",
        &project.package,
        "--bin",
        &project.program,
    ]);
    run(&mut build, &project.directory, "build for this machine")?;
    let mut program = cargo(&project.directory)
        .args([
            "run",
            "--quiet",
            "--package",
            &project.package,
            "--bin",
            &project.program,
        ])
        .args(["--", "--interface"])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| no_cargo(&error))?;
    let mut text = Vec::new();
    let stdout = program.stdout.take().expect("it is piped");
    let read = stdout.take(MOST_BYTES + 1).read_to_end(&mut text);
    let failed = |reason: &dyn std::fmt::Display| Failure::new(format!("cargo run -- --interface: {reason}"));
    read.map_err(|error| failed(&error))?;
    let status = program.wait().map_err(|error| failed(&error))?;
    if !status.success() {
        return Err(failed(&format!("{status}; it says why above")));
    }
    if text.is_empty() {
        return Ok(None);
    }
    let interface = Interface::parse(&text).map_err(|error| failed(&error))?;
    Ok(Some(Described { text, interface }))
}

/// Runs cargo, whose messages go to stderr.
fn run(command: &mut Command, directory: &Path, what: &str) -> Result<(), Failure> {
    let status = command
        .stdout(Stdio::null())
        .status()
        .map_err(|error| no_cargo(&error))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{}: cargo {what}: {status}; cargo says why above",
        directory.display()
    )))
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, Failure> {
    let path = folder.join(name);
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&path, bytes))
        .map_err(|error| Failure::new(format!("contract build: {}: {error}", path.display())))?;
    Ok(path)
}
