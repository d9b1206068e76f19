//! `millrace config`: what a node would run with.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::commands::code_cache::CodeCacheArgs;
use crate::commands::print_text;
use crate::commands::profile::ProfileArgs;
use crate::failure::Failure;
use crate::node::settings::Flags;
use crate::node::settings::effective::{self, Effective, Origin};

/// Looks at the configuration of a node.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    Show(ShowArgs),
}

/// Shows every value in force with its origin: default, file, variable or flag.
///
/// Takes the options of `millrace node` that change values. Texts of the plugin's own configuration, which may be secrets,
/// are hidden.
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// The configuration file (TOML).
    #[arg(long)]
    config: PathBuf,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    code_cache: CodeCacheArgs,
    #[command(flatten)]
    profile: ProfileArgs,
}

impl ConfigCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// When the configuration cannot be used, as `millrace node` would say it.
    pub fn run(self) -> Result<(), Failure> {
        let Self::Show(args) = self;
        let flags = Flags {
            profile: args.profile.plan(),
            code_cache: args.code_cache.code_cache,
        };
        let (values, _) =
            effective::read(&args.config, flags).map_err(|error| Failure::new(error.to_string()))?;
        if args.json {
            let config = args.config.display().to_string();
            return print_text(&format!("{}\n", json!({ "config": config, "values": values })));
        }
        let lines: Vec<(String, String)> = values.iter().map(|value| (line(value), origin(value))).collect();
        // A long path moves its own origin, and not everybody's.
        const WIDEST: usize = 60;
        let lengths = lines.iter().map(|(line, _)| line.chars().count());
        let width = lengths.filter(|length| *length <= WIDEST).max().unwrap_or(0);
        let text: String = lines
            .into_iter()
            .map(|(line, origin)| format!("{line:width$}  # {origin}\n"))
            .collect();
        print_text(&text)
    }
}

/// As it would stand in a file; what is not set, as a comment.
fn line(value: &Effective) -> String {
    match &value.value {
        Value::Null => format!("# {} is not set", value.key),
        set => format!("{} = {}", value.key, effective::toml_of(set)),
    }
}

fn origin(value: &Effective) -> String {
    let word = match value.origin {
        Origin::Default => "default",
        Origin::File => "file",
        Origin::Variable => "variable",
        Origin::Flag => "flag",
    };
    match &value.source {
        Some(source) => format!("{word} {source}"),
        None => word.to_owned(),
    }
}
