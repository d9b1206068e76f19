//! Verifying all of it.

use std::path::Path;

use millrace_state::check::{Condition, Report, check};
use millrace_types::Hash;
use serde_json::{Value, json};

use super::{bar, open};
use crate::commands::print_json;
use crate::failure::Failure;
use crate::output::outln;

pub(super) fn run(directory: &Path, json: bool) -> Result<(), Failure> {
    let files = open(directory)?;
    let bar = bar("versions");
    let report = check(&files, |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let report = report.map_err(|error| Failure::new(format!("state check: {error}")))?;
    if json {
        print_json(&report_json(&report));
    } else {
        print_report(&report);
    }
    let damaged = report
        .versions
        .iter()
        .filter(|version| is_damaged(&version.condition))
        .count();
    if report.damage.is_empty() && damaged == 0 {
        return Ok(());
    }
    let newest = report
        .versions
        .iter()
        .rev()
        .find(|version| version.condition == Condition::Whole);
    Err(Failure::new(match newest {
        Some(version) => format!(
            "state check: damaged; what is at height {} is whole: delete the directory of states, and the node executes \
             its blocks again from the ledger, or import a state again if it began with one",
            version.height
        ),
        None => "state check: damaged, and no version is whole: delete the directory of states, and the node executes its \
                 blocks again from the ledger, or import a state again if it began with one"
            .to_owned(),
    }))
}

fn is_damaged(condition: &Condition) -> bool {
    matches!(condition, Condition::Damaged(_))
}

/// Heights of whole versions, as ranges.
fn whole(report: &Report) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for version in report
        .versions
        .iter()
        .filter(|version| version.condition == Condition::Whole)
    {
        match ranges.last_mut() {
            Some((_, last)) if version.height <= *last + 1 => *last = version.height,
            _ => ranges.push((version.height, version.height)),
        }
    }
    ranges
}

fn print_report(report: &Report) {
    outln!("records    {}", report.records);
    outln!("versions   {}", report.versions.len());
    for (from, to) in whole(report) {
        outln!("whole      heights {from} to {to}");
    }
    if let Some((place, bytes)) = &report.torn {
        outln!("unfinished {bytes} bytes in {place}: what a power failure left, nobody was promised it");
    }
    for error in &report.damage {
        outln!("damage     {error}");
    }
    for version in &report.versions {
        if let Condition::Damaged(place) = &version.condition {
            outln!(
                "damage     the version at height {} reaches {place}",
                version.height
            );
        }
    }
}

fn report_json(report: &Report) -> Value {
    let versions = report.versions.iter().map(|version| {
        let (condition, place) = match &version.condition {
            Condition::Whole => ("whole", None),
            Condition::Forgotten => ("forgotten", None),
            Condition::Damaged(place) => ("damaged", Some(place.to_string())),
        };
        json!({
            "id": version.id.to_string(),
            "height": version.height,
            "root": Hash(version.root).to_string(),
            "condition": condition,
            "place": place,
        })
    });
    json!({
        "records": report.records,
        "versions": versions.collect::<Vec<_>>(),
        "damage": report.damage.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "unfinished": report.torn.as_ref().map(|(place, bytes)| json!({
            "file": place.file, "offset": place.offset, "bytes": bytes,
        })),
    })
}
