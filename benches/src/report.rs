//! What a bench of guests says: one row a program, means, the worst, and a file with everything.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::host;
use crate::programs::Program;

/// All times of one thing that was run by turns with others.
#[derive(Clone, Debug, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Adds a round.
    pub fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// The least: whatever else the machine does only ever adds.
    #[must_use]
    pub fn best(&self) -> Duration {
        self.0.iter().min().copied().unwrap_or_default()
    }

    /// By how much the median is above the least, as a share of it: how far the figure is to be trusted.
    #[must_use]
    pub fn spread(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
        median.as_secs_f64() / self.best().as_secs_f64() - 1.0
    }

    fn json(&self) -> Value {
        self.0.iter().map(|time| nanoseconds(*time)).collect()
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).expect("no run takes 500 years")
}

/// One program in one tier.
#[derive(Clone, Debug)]
pub struct TierResult {
    /// The tier's name.
    pub tier: &'static str,
    /// The run before the rounds: with a tier that compiles, what compiling adds.
    pub first: Duration,
    /// The rounds.
    pub times: Times,
}

/// One program, everywhere.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which.
    pub program: Program,
    /// x86-64-v2: 1.0.
    pub native: Times,
    /// The same with the host's features that translated code uses.
    pub features: Times,
    /// In the order of the columns.
    pub tiers: Vec<TierResult>,
    /// In the tier `jit` with code that does not pay for gas.
    pub unmetered: Option<Times>,
    /// Gas of one run.
    pub gas: u64,
    /// Instructions of one run, where a tier counted them.
    pub instructions: Option<u64>,
    /// Bytes of the guest's text.
    pub text_bytes: u32,
}

impl Row {
    fn ratio(&self, time: Duration) -> f64 {
        time.as_secs_f64() / self.native.best().as_secs_f64()
    }

    /// What paying for gas adds in the tier `jit`, as a share of the time without.
    fn gas_share(&self) -> Option<f64> {
        let without = self.unmetered.as_ref()?.best();
        let with = self.tiers.iter().find(|result| result.tier == "jit")?;
        Some(with.times.best().as_secs_f64() / without.as_secs_f64() - 1.0)
    }

    fn ns_per_gas(&self, time: Duration) -> f64 {
        nanoseconds(time) as f64 / self.gas as f64
    }
}

fn geometric_mean(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let count = values.clone().count();
    (values.map(f64::ln).sum::<f64>() / count as f64).exp()
}

/// Prints one table. Columns:
///
/// - `native ms`: the native twin, best round;
/// - `+bmi`: the twin built with the host features that translated code uses, over `native`;
/// - per tier, its time over `native`, and nanoseconds per gas;
/// - `gas`: what paying for gas adds to the time of `jit`;
/// - `M gas`, `M instr`: of one run, in millions;
/// - `spread`: the largest of the row's spreads, see [`Times::spread`].
///
/// # Panics
/// If there is no row.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let mut text = format!("{:<14}{:>10}{:>7}", "program", "native ms", "+bmi");
    for result in &rows[0].tiers {
        let _ = write!(text, "{:>13}{:>8}", result.tier, "ns/gas");
    }
    let _ = writeln!(text, "{:>7}{:>9}{:>9}{:>8}", "gas", "M gas", "M instr", "spread");
    for row in rows {
        let _ = write!(
            text,
            "{:<14}{:>10.2}{:>7.2}",
            row.program.name,
            row.native.best().as_secs_f64() * 1e3,
            row.ratio(row.features.best())
        );
        for result in &row.tiers {
            let best = result.times.best();
            let _ = write!(text, "{:>13.2}{:>8.2}", row.ratio(best), row.ns_per_gas(best));
        }
        let instructions = row.instructions.map_or_else(
            || "-".to_owned(),
            |instructions| format!("{:.1}", instructions as f64 / 1e6),
        );
        let spreads = row.tiers.iter().map(|result| &result.times);
        let spread = spreads
            .chain([&row.native, &row.features])
            .map(Times::spread)
            .fold(0.0, f64::max);
        let _ = writeln!(
            text,
            "{:>7}{:>9.1}{:>9}{:>7.0}%",
            row.gas_share()
                .map_or_else(|| "-".to_owned(), |share| format!("{:.0}%", share * 100.0)),
            row.gas as f64 / 1e6,
            instructions,
            spread * 100.0
        );
    }
    let summary = summary(rows);
    let _ = write!(
        text,
        "{:<14}{:>10}{:>7.2}",
        "geometric mean", "", summary.features
    );
    for tier in &summary.tiers {
        let _ = write!(text, "{:>13.2}{:>8.2}", tier.mean, tier.ns_per_gas);
    }
    text.push('\n');
    for tier in &summary.tiers {
        let _ = writeln!(
            text,
            "{}: worst {:.2} ({}); dearest gas {:.1} times the cheapest ({} and {})",
            tier.name, tier.worst.0, tier.worst.1, tier.gas_range.0, tier.gas_range.1, tier.gas_range.2
        );
    }
    if let Some((mean, worst, name)) = summary.gas {
        let _ = writeln!(
            text,
            "gas: adds {:.1}% in the geometric mean, {:.1}% at worst ({name})",
            mean * 100.0,
            worst * 100.0
        );
    }
    text
}

struct TierSummary {
    name: &'static str,
    mean: f64,
    ns_per_gas: f64,
    worst: (f64, &'static str),
    /// Most nanoseconds per gas over least, and whose they are.
    gas_range: (f64, &'static str, &'static str),
}

struct Summary {
    features: f64,
    tiers: Vec<TierSummary>,
    /// What paying for gas adds: mean, most, and whose that is.
    gas: Option<(f64, f64, &'static str)>,
}

fn summary(rows: &[Row]) -> Summary {
    let tier = |index: usize| {
        let ratios = rows
            .iter()
            .map(|row| (row.ratio(row.tiers[index].times.best()), row.program.name));
        let costs = rows
            .iter()
            .map(|row| (row.ns_per_gas(row.tiers[index].times.best()), row.program.name));
        let by_value = |a: &(f64, &str), b: &(f64, &str)| a.0.total_cmp(&b.0);
        let dearest = costs.clone().max_by(by_value).expect("there is a row");
        let cheapest = costs.clone().min_by(by_value).expect("there is a row");
        TierSummary {
            name: rows[0].tiers[index].tier,
            mean: geometric_mean(ratios.clone().map(|(ratio, _)| ratio)),
            ns_per_gas: geometric_mean(costs.map(|(cost, _)| cost)),
            worst: ratios.max_by(by_value).expect("there is a row"),
            gas_range: (dearest.0 / cheapest.0, dearest.1, cheapest.1),
        }
    };
    let shares: Option<Vec<(f64, &str)>> = rows
        .iter()
        .map(|row| row.gas_share().map(|share| (share, row.program.name)))
        .collect();
    let gas = shares.and_then(|shares| {
        let &(worst, name) = shares.iter().max_by(|a, b| a.0.total_cmp(&b.0))?;
        let mean = geometric_mean(shares.iter().map(|(share, _)| share + 1.0)) - 1.0;
        Some((mean, worst, name))
    });
    Summary {
        gas,
        features: geometric_mean(rows.iter().map(|row| row.ratio(row.features.best()))),
        tiers: (0..rows[0].tiers.len()).map(tier).collect(),
    }
}

/// Writes everything measured, every round of it, to `results/NAME.json`.
///
/// # Panics
/// If the file cannot be written.
#[must_use]
pub fn save(name: &str, rows: &[Row]) -> PathBuf {
    let programs = rows.iter().map(|row| {
        let tiers = row.tiers.iter().map(|result| {
            json!({
                "tier": result.tier,
                "ratio": row.ratio(result.times.best()),
                "ns_per_gas": row.ns_per_gas(result.times.best()),
                "first_ns": nanoseconds(result.first),
                "rounds_ns": result.times.json(),
            })
        });
        json!({
            "program": row.program.name,
            "stresses": row.program.stresses,
            "work": row.program.work,
            "gas": row.gas,
            "instructions": row.instructions,
            "text_bytes": row.text_bytes,
            "native_rounds_ns": row.native.json(),
            "native_with_features_rounds_ns": row.features.json(),
            "native_with_features_ratio": row.ratio(row.features.best()),
            "jit_unmetered_rounds_ns": row.unmetered.as_ref().map(Times::json),
            "gas_share": row.gas_share(),
            "tiers": tiers.collect::<Value>(),
        })
    });
    let summary = summary(rows);
    let means = summary.tiers.iter().map(|tier| {
        json!({
            "tier": tier.name,
            "geometric_mean": tier.mean,
            "worst": { "program": tier.worst.1, "ratio": tier.worst.0 },
            "dearest_gas_over_cheapest": tier.gas_range.0,
        })
    });
    let everything = json!({
        "machine": host::describe(),
        "native_with_features_geometric_mean": summary.features,
        "gas_share_geometric_mean": summary.gas.map(|(mean, ..)| mean),
        "tiers": means.collect::<Value>(),
        "programs": programs.collect::<Value>(),
    });
    save_json(name, &everything)
}

/// Writes a bench's figures to `results/NAME.json`.
///
/// # Panics
/// If the file cannot be written.
#[must_use]
pub fn save_json(name: &str, everything: &Value) -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("results");
    std::fs::create_dir_all(&directory).expect("the results' directory can be made");
    let path = directory.join(format!("{name}.json"));
    let mut text = serde_json::to_string_pretty(everything).expect("plain values");
    text.push('\n');
    std::fs::write(&path, text).expect("the result file can be written");
    path
}
