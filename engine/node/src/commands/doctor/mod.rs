//! `millrace doctor`: what would keep a node from running well, before it does.
//!
//! One file for each part: [`data`] (the data directory and what is in it), [`machine`] (limits of the system), [`plugin`]
//! (in a process of its own, which is [`trial`]). Each answers [`Finding`]s. Nothing is made or changed.

mod data;
mod machine;
mod plugin;
mod trial;

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use clap::Args;
use millrace_types::ChainSpec;
use serde::Serialize;
use serde_json::json;

use crate::commands::code_cache::CodeCachePlan;
use crate::commands::dev::SPEC_FILE;
use crate::commands::{code_cache, print_text};
use crate::failure::{Failure, printable};
use crate::node::settings::{Flags, Settings, default_workers, read_chain_spec};

/// Looks for what would keep a node from running well: configuration, data, machine, plugin, port.
///
/// Changes nothing. Ends with status 1 if something is a failure; warnings alone are status 0.
#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// The node's configuration file (TOML).
    #[arg(long, required_unless_present = "data_dir")]
    config: Option<PathBuf>,
    /// A data directory of `millrace dev`, instead of a configuration file.
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    data_dir: Option<PathBuf>,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
    /// For the process that the plugin is loaded in.
    #[arg(long, hide = true, requires = "config")]
    load_plugin: bool,
    /// For the process that the plugin is started in.
    #[arg(long, hide = true, requires = "config")]
    start_plugin: bool,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// As it should be.
    Ok,
    /// It works, but not well, or not for long.
    Warning,
    /// The node will not start, or loses data.
    Failure,
}

/// What a check found.
#[derive(Clone, Debug, Serialize)]
struct Finding {
    /// What was looked at; stable.
    check: &'static str,
    status: Verdict,
    /// What there is, and what it means.
    found: String,
    /// What to do; null where there is nothing to do.
    advice: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        let found = found.into();
        Self {
            check,
            status: Verdict::Ok,
            found,
            advice: None,
        }
    }

    fn warning(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        let (found, advice) = (found.into(), Some(advice.into()));
        Self {
            check,
            status: Verdict::Warning,
            found,
            advice,
        }
    }

    fn failure(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        let (found, advice) = (found.into(), Some(advice.into()));
        Self {
            check,
            status: Verdict::Failure,
            found,
            advice,
        }
    }

    /// An error's own words, which say what to do behind the semicolon.
    fn of_error(check: &'static str, error: &dyn std::fmt::Display) -> Self {
        let text = error.to_string();
        match text.rsplit_once("; ") {
            Some((found, advice)) => Self::failure(check, found, advice),
            None => Self::failure(check, text, "mend what it says, and run this again"),
        }
    }
}

/// What is looked at.
struct Subject {
    data_directory: PathBuf,
    spec: Option<ChainSpec>,
    code_cache: Option<CodeCachePlan>,
    workers: usize,
    max_connections: u32,
    max_concurrent_calls: u32,
    profiles_with_perf: bool,
}

impl DoctorArgs {
    /// Looks.
    ///
    /// # Errors
    /// When something is a failure.
    pub fn run(self) -> Result<(), Failure> {
        if self.load_plugin || self.start_plugin {
            let config = self.config.as_deref().unwrap_or(Path::new(""));
            return trial::run(config, self.start_plugin);
        }
        let findings = match (&self.config, &self.data_dir) {
            (Some(config), _) => of_configuration(config),
            (None, directory) => of_directory(directory.as_deref().unwrap_or(Path::new("."))),
        };
        let count = |status| findings.iter().filter(|finding| finding.status == status).count();
        let (warnings, failures) = (count(Verdict::Warning), count(Verdict::Failure));
        if self.json {
            let said = json!({ "checks": findings, "warnings": warnings, "failures": failures });
            print_text(&format!("{said}\n"))?;
        } else {
            print_text(&findings.iter().map(lines).collect::<String>())?;
        }
        match failures {
            0 => Ok(()),
            1 => Err(Failure::new("doctor: 1 failure, which says above what to do")),
            more => Err(Failure::new(format!(
                "doctor: {more} failures, which say above what to do"
            ))),
        }
    }
}

/// As people read it.
fn lines(finding: &Finding) -> String {
    let word = match finding.status {
        Verdict::Ok => "ok",
        Verdict::Warning => "warning",
        Verdict::Failure => "failure",
    };
    // A plugin's words may be in it.
    let mut lines = format!("{word:8} {:16} {}\n", finding.check, printable(&finding.found));
    if let Some(advice) = &finding.advice {
        lines.push_str(&format!("{:25} → {}\n", "", printable(advice)));
    }
    lines
}

fn of_configuration(config: &Path) -> Vec<Finding> {
    let settings = match Settings::read(config, Flags::default()) {
        Ok(settings) => settings,
        // Whatever else would be looked at is named in it.
        Err(error) => return vec![Finding::of_error("configuration", &error)],
    };
    let subject = Subject {
        data_directory: settings.data_directory.clone().unwrap_or_default(),
        spec: Some(settings.spec.clone()),
        code_cache: settings.code_cache.clone(),
        workers: settings.engine.workers,
        max_connections: settings.rpc.max_connections,
        max_concurrent_calls: settings.rpc.max_concurrent_calls,
        profiles_with_perf: settings.profile.is_some(),
    };
    let mut findings = vec![
        Finding::ok("configuration", format!("{} can be used", config.display())),
        chain_spec(&settings.spec),
    ];
    findings.extend(readable_by_others(config));
    let data = data::look(&subject);
    let is_running = data::is_in_use(&data);
    let port = port(settings.rpc.listen, is_running);
    let why_not = plugin::why_not_to_start(is_running, data.iter().chain([&port]));
    findings.extend(data);
    findings.push(port);
    findings.extend(plugin::look(config, &settings, why_not));
    findings.extend(machine::look(&subject));
    findings
}

fn of_directory(directory: &Path) -> Vec<Finding> {
    let spec = read_chain_spec(&directory.join(SPEC_FILE));
    let mut findings = vec![match &spec {
        Ok(spec) => chain_spec(spec),
        Err(error) => Finding::of_error("chain spec", error),
    }];
    let cache = directory.join(code_cache::DIRECTORY_NAME);
    let rpc = millrace_rpc::RpcConfig::default();
    let subject = Subject {
        data_directory: directory.to_owned(),
        spec: spec.ok(),
        code_cache: Some(CodeCachePlan {
            directory: cache,
            mib: code_cache::DEFAULT_MIB,
        }),
        workers: default_workers(),
        max_connections: rpc.max_connections,
        max_concurrent_calls: rpc.max_concurrent_calls,
        profiles_with_perf: false,
    };
    findings.extend(data::look(&subject));
    findings.extend(machine::look(&subject));
    findings
}

fn chain_spec(spec: &ChainSpec) -> Finding {
    let (name, hash) = (&spec.name, spec.hash());
    Finding::ok(
        "chain spec",
        format!("{name:?}, chain {}, hash {hash}", spec.chain_id),
    )
}

/// The file may hold the plugin's key.
fn readable_by_others(config: &Path) -> Option<Finding> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(config).ok()?.permissions().mode() & 0o777;
    let text = std::fs::read_to_string(config).ok()?;
    (mode & 0o044 != 0 && text.contains("secret")).then(|| {
        Finding::warning(
            "secrets",
            format!(
                "{} has mode {mode:04o} and seems to hold a secret: others can read it",
                config.display()
            ),
            format!(
                "chmod 600 {}, or give the secret as a variable (MILLRACE_PLUGIN__CONFIG__SECRET_KEY)",
                config.display()
            ),
        )
    })
}

fn port(address: std::net::SocketAddr, is_running: bool) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => Finding::ok("port", format!("{address} is free")),
        Err(error) if is_running => Finding::warning(
            "port",
            format!("{address}: {error}, and the data directory is in use: the node seems to run"),
            "nothing, if it should",
        ),
        Err(error) => Finding::failure(
            "port",
            format!("{address}: {error}"),
            "choose another address with rpc.listen, or stop what has it (`ss -ltnp` shows what)",
        ),
    }
}
