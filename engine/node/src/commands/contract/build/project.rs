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
    /// The package, as cargo tells it from others of its name.
    pub package: String,
    /// The program's name.
    pub program: String,
    /// Whether the package has others.
    pub is_one_of_several: bool,
    /// Where cargo puts what it builds.
    pub target_directory: PathBuf,
    /// Folders of packages that come from no registry, the workspace's first; of the others each with its name.
    pub local: Vec<(PathBuf, String)>,
    /// Programs that can be built beside it: those of packages that come from no registry.
    pub programs: Vec<Program>,
}

/// A program and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// Its package's folder.
    pub directory: PathBuf,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    id: String,
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

impl Package {
    fn programs(&self) -> impl Iterator<Item = &str> {
        let is_program = |target: &&Target| target.kind.iter().any(|kind| kind == "bin");
        let programs = self.targets.iter().filter(is_program);
        programs.map(|target| target.name.as_str())
    }
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
        let bins: Vec<_> = package.programs().collect();
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
        let built_here = metadata
            .packages
            .iter()
            .filter(|package| package.source.is_none());
        let programs = built_here.flat_map(|package| {
            let directory = package.manifest_path.parent().unwrap_or(Path::new("/"));
            package.programs().map(|name| Program {
                name: name.to_owned(),
                directory: directory.to_owned(),
            })
        });
        Ok(Self {
            package: package.id.clone(),
            program: program.to_owned(),
            is_one_of_several: bins.len() > 1,
            programs: programs.collect(),
            directory,
            target_directory: metadata.target_directory,
            local,
        })
    }
}

impl Project {
    /// The project of another program, of this package or of one beside it.
    ///
    /// # Errors
    /// When there is none, or several packages have one.
    pub fn beside(&self, name: &str) -> Result<Self, Failure> {
        let named: Vec<_> = self
            .programs
            .iter()
            .filter(|program| program.name == name)
            .collect();
        let own = named.iter().find(|program| program.directory == self.directory);
        match (own, named.as_slice()) {
            (Some(program), _) | (None, [program]) => Self::find(&program.directory, Some(name)),
            (None, []) => Err(Failure::new(format!(
                "no package here has a program {name:?}; there are {}",
                self.program_names()
            ))),
            (None, several) => Err(Failure::new(format!(
                "{} packages have a program {name:?}: rename all but one",
                several.len()
            ))),
        }
    }

    fn program_names(&self) -> String {
        let mut names: Vec<_> = self
            .programs
            .iter()
            .map(|program| program.name.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        names.join(", ")
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
