//! Tables for people, JSON for files.

use std::fmt::Write as _;

use millrace_benches::host;
use millrace_jit::{Machine, Tier};
use serde_json::{Value, json};

use super::measure::{Cost, Prepared, classes_per_turn};
use super::programs::{Measured, tier_name};
use super::search::{Found, Search};
use super::sequence::{CLASSES, Sequence};

/// What the generator makes of a seed changes with this number.
pub const GENERATOR: u32 = 2;
/// Turns that instructions are counted over.
const COUNTED_TURNS: u64 = 64;
/// Instructions of a listing; the code is in the file whole.
const LISTED: usize = 200;
/// Time and number of the runs of a replay.
const REPLAY: (std::time::Duration, u32) = (std::time::Duration::from_millis(25), 7);

fn weights_json(machine: &Machine) -> Value {
    CLASSES
        .iter()
        .map(|(name, class)| ((*name).to_owned(), json!(machine.weights.of(*class))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn cost_json(cost: &Cost) -> Value {
    json!({
        "ns_per_gas": cost.ns_per_gas(),
        "ns_per_turn": cost.nanoseconds / cost.turns as f64,
        "gas_per_turn": cost.gas as f64 / cost.turns as f64,
        "turns": cost.turns,
        "interpreted": cost.interpreted,
    })
}

/// One row a kind and tier, dearest first.
pub fn found(found: &[Found]) -> String {
    let mut rows: Vec<&Found> = found.iter().collect();
    rows.sort_by(|a, b| b.cost.ns_per_gas().total_cmp(&a.cost.ns_per_gas()));
    let mut text = format!(
        "{:<30}{:<12}{:>10}{:>12}{:>12}{:>8}{:>8}\n",
        "kind", "tier", "ns/gas", "ns/turn", "gas/turn", "tier 0", "tried"
    );
    for row in rows {
        let turns = row.cost.turns as f64;
        let _ = writeln!(
            text,
            "{:<30}{:<12}{:>10.3}{:>12.1}{:>12.1}{:>7.0}%{:>8}",
            row.island.name,
            tier_name(row.tier),
            row.cost.ns_per_gas(),
            row.cost.nanoseconds / turns,
            row.cost.gas as f64 / turns,
            row.cost.interpreted * 100.0,
            row.tried
        );
    }
    text
}

/// Everything of a search.
pub fn search_json(search: &Search, minutes: f64, found: &[Found]) -> Value {
    let rows = found.iter().map(|row| {
        let listing: Vec<String> = row.sequence.listing().into_iter().take(LISTED).collect();
        json!({
            "kind": row.island.name,
            "tier": tier_name(row.tier),
            "cost": cost_json(&row.cost),
            "tried": row.tried,
            "classes_per_turn": classes_per_turn(&row.sequence, COUNTED_TURNS),
            "sequence": row.sequence.json(),
            "listing": listing,
        })
    });
    json!({
        "machine": host::describe(),
        "generator": GENERATOR,
        "seed": search.seed,
        "minutes": minutes,
        "threads": search.threads,
        "weights": weights_json(search.machine),
        "classes": CLASSES.map(|(name, _)| name),
        "worst": rows.collect::<Value>(),
    })
}

/// A sequence of a file, measured again.
pub struct Replayed {
    kind: String,
    found_in: String,
    then: f64,
    tier: Tier,
    now: Option<Cost>,
    classes_per_turn: Option<Vec<f64>>,
}

/// Measures every sequence of a file in every tier.
pub fn replay(saved: &Value, tiers: &[Tier], machine: &'static Machine) -> Vec<Replayed> {
    let rows = saved["worst"].as_array().expect("the file is one of a search");
    let mut replayed = Vec::new();
    for row in rows {
        let sequence = Sequence::from_json(&row["sequence"]).expect("the file is one of a search");
        for &tier in tiers {
            let prepared = Prepared::new(&sequence, tier, machine);
            replayed.push(Replayed {
                kind: row["kind"].as_str().unwrap_or_default().to_owned(),
                found_in: row["tier"].as_str().unwrap_or_default().to_owned(),
                then: row["cost"]["ns_per_gas"].as_f64().unwrap_or_default(),
                tier,
                now: prepared.and_then(|prepared| prepared.cost(REPLAY.0, REPLAY.1)),
                classes_per_turn: classes_per_turn(&sequence, COUNTED_TURNS),
            });
        }
    }
    replayed
}

/// One row a sequence and tier.
pub fn replayed(rows: &[Replayed]) -> String {
    let mut text = format!(
        "{:<30}{:<14}{:>8}  {:<12}{:>8}\n",
        "kind", "found in", "ns/gas", "here in", "ns/gas"
    );
    for row in rows {
        let now = row
            .now
            .map_or_else(|| "trap".to_owned(), |cost| format!("{:.3}", cost.ns_per_gas()));
        let _ = writeln!(
            text,
            "{:<30}{:<14}{:>8.3}  {:<12}{now:>8}",
            row.kind,
            row.found_in,
            row.then,
            tier_name(row.tier)
        );
    }
    text
}

/// Everything of a replay.
pub fn replay_json(rows: &[Replayed]) -> Value {
    let rows = rows.iter().map(|row| {
        json!({
            "kind": row.kind,
            "found_in": row.found_in,
            "tier": tier_name(row.tier),
            "cost": row.now.as_ref().map(cost_json),
            "classes_per_turn": row.classes_per_turn,
        })
    });
    json!({ "machine": host::describe(), "classes": CLASSES.map(|(name, _)| name), "replayed": rows.collect::<Value>() })
}

fn geometric_mean(values: &[f64]) -> f64 {
    (values.iter().map(|value| value.ln()).sum::<f64>() / values.len() as f64).exp()
}

/// Nanoseconds per gas of every program in every tier; means, dearest over cheapest.
pub fn programs(rows: &[Measured], machine: &Machine) -> String {
    let mut text = format!("{:<16}{:>10}", "program", "M gas");
    let tiers: Vec<Tier> = rows[0].nanoseconds.iter().map(|(tier, _)| *tier).collect();
    for tier in &tiers {
        let _ = write!(text, "{:>14}", tier_name(*tier));
    }
    text.push('\n');
    for row in rows {
        let gas = row.gas(machine);
        let _ = write!(text, "{:<16}{:>10.1}", row.name, gas / 1e6);
        for (_, time) in &row.nanoseconds {
            let _ = write!(text, "{:>14.3}", time / gas);
        }
        text.push('\n');
    }
    for (index, tier) in tiers.iter().enumerate() {
        let figures: Vec<f64> = rows
            .iter()
            .map(|row| row.nanoseconds[index].1 / row.gas(machine))
            .collect();
        let most = figures.iter().copied().fold(0.0, f64::max);
        let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
        let _ = writeln!(
            text,
            "{}: mean {:.3}, dearest {most:.3}, cheapest {least:.3}, one over the other {:.2}",
            tier_name(*tier),
            geometric_mean(&figures),
            most / least
        );
    }
    text
}

/// Everything of the programs.
pub fn programs_json(rows: &[Measured], machine: &Machine) -> Value {
    json!({
        "machine": host::describe(),
        "weights": weights_json(machine),
        "classes": CLASSES.map(|(name, _)| name),
        "programs": rows.iter().map(|row| row.json(machine)).collect::<Value>(),
    })
}
