//! What a folder holds that can be built, as cargo sees it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::failure::Failure;

/// A contract's package.
#[derive(Debug, Clone)]
pub struct Project {
    /// Its folder.
    pub directory: PathBuf,
    /// The package's name.
    pub package: String,
    /// The program's name.
    pub program: String,
    /// Where cargo puts what it builds.
    pub target_directory: PathBuf,
    /// Folders of packages that come from no registry, the workspace's first; of the others each with its name.
    pub local: Vec<(PathBuf, String)>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    source: Option<String>,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl Project {
    /// The project in `directory`, and in it the program `bin`, which need not be named where there is one.
    ///
    /// # Errors
    /// When cargo finds no package there, or there is no such program.
    pub fn find(directory: &Path, bin: Option<&str>) -> Result<Self, Failure> {
        let directory = directory.canonicalize().map_err(|error| {
            Failure::new(format!(
                "{}: {error}; give the folder of a contract, which `millrace contract new` makes",
                directory.display()
            ))
        })?;
        let manifest = directory.join("Cargo.toml");
        if !manifest.is_file() {
            return Err(Failure::new(format!(
                "{} holds no Cargo.toml: give the folder of a contract, which `millrace contract new` makes",
                directory.display()
            )));
        }
        let metadata = metadata(&directory)?;
        let package = metadata
            .packages
            .iter()
            .find(|package| package.manifest_path == manifest)
            .ok_or_else(|| {
                Failure::new(format!(
                    "{} is of a workspace, not of a package: give the folder of a contract in it",
                    manifest.display()
                ))
            })?;
        let bins: Vec<_> = package
            .targets
            .iter()
            .filter(|target| target.kind.iter().any(|kind| kind == "bin"))
            .map(|target| target.name.as_str())
            .collect();
        let program = match (bin, bins.as_slice()) {
            (Some(bin), bins) if bins.contains(&bin) => bin,
            (None, [one]) => *one,
            (_, []) => {
                return Err(Failure::new(format!(
                    "package {} has no program: a contract is a binary, src/main.rs",
                    package.name
                )));
            }
            (_, bins) => {
                return Err(Failure::new(format!(
                    "package {} has the programs {}: choose one by --bin",
                    package.name,
                    bins.join(", ")
                )));
            }
        };
        let others = metadata
            .packages
            .iter()
            .filter(|other| {
                other.source.is_none() && !other.manifest_path.starts_with(&metadata.workspace_root)
            })
            .filter_map(|other| Some((other.manifest_path.parent()?.to_owned(), other.name.clone())));
        let mut local = vec![(metadata.workspace_root.clone(), "contract".to_owned())];
        local.extend(others);
        Ok(Self {
            package: package.name.clone(),
            program: program.to_owned(),
            directory,
            target_directory: metadata.target_directory,
            local,
        })
    }
}

fn metadata(directory: &Path) -> Result<Metadata, Failure> {
    let said = cargo(directory)
        .args(["metadata", "--format-version", "1", "--quiet"])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| no_cargo(&error))?;
    if !said.status.success() {
        return Err(Failure::new(format!(
            "cargo cannot read the project in {}; it says why above",
            directory.display()
        )));
    }
    serde_json::from_slice(&said.stdout)
        .map_err(|error| Failure::new(format!("cargo metadata answers what is none: {error}")))
}

/// Cargo, in the folder of a project.
pub fn cargo(directory: &Path) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(directory).stdin(Stdio::null());
    cargo
}

/// Why cargo did not run.
pub fn no_cargo(error: &std::io::Error) -> Failure {
    Failure::new(format!(
        "cargo: {error}; install Rust (https://rustup.rs, or `apt install cargo`)"
    ))
}
